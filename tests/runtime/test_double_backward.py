from __future__ import annotations

from contextlib import nullcontext

import pytest
import torch
from torch import Tensor, nn

from latentbench.runtime.double_backward import EfficientDoubleBackward


def penalized(network: nn.Module, images: Tensor, *, cheap: bool) -> dict[str, Tensor]:
    """Return the scores and the gradients of a penalty on the input gradient."""
    network.zero_grad()
    points = images.clone().requires_grad_()
    with EfficientDoubleBackward() if cheap else nullcontext():
        scores = network(points)
    [gradients] = torch.autograd.grad(scores.sum(), points, create_graph=True)
    (gradients.square().sum() + scores.square().sum()).backward()
    weights = {
        name: parameter.grad
        for name, parameter in network.named_parameters()
        if parameter.grad is not None
    }
    assert points.grad is not None
    return {"scores": scores.detach(), "input": gradients.detach(), "again": points.grad, **weights}


@pytest.mark.parametrize("side", [8, 9, 11])  # the stride fits, and leaves a row over
@pytest.mark.parametrize(
    "activation", [nn.LeakyReLU(0.2, inplace=True), nn.LeakyReLU(), nn.SiLU(), nn.ReLU()]
)
def test_double_backward_matches_pytorch(side: int, activation: nn.Module) -> None:
    torch.manual_seed(0)
    network = nn.Sequential(
        nn.Conv2d(2, 3, 4, stride=2, padding=1),
        activation,
        nn.Conv2d(3, 4, 3, stride=2, padding=1, bias=False),
        activation,
        nn.Conv2d(4, 4, 3, padding=2, dilation=2),
        activation,
        nn.Conv2d(4, 2, 1, groups=2),  # left to PyTorch
        nn.Flatten(),
        nn.LazyLinear(1),
    ).double()
    images = torch.randn(5, 2, side, side, dtype=torch.float64)
    network(images)
    expected = penalized(network, images, cheap=False)
    found = penalized(network, images, cheap=True)
    assert found.keys() == expected.keys()
    for name, value in expected.items():
        torch.testing.assert_close(found[name], value, rtol=1e-12, atol=1e-12)
