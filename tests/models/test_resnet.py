"""The networks of the published baselines: parameter counts and second implementations."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from latentbench.config.load import parse_params
from latentbench.config.models import AnyModel
from latentbench.models.networks.architectures import Decoder, Encoder, Shape, count_parameters
from latentbench.models.networks.initialization import initialize_weights
from latentbench.models.networks.layers import double_bilinear
from latentbench.models.registry import build_objective
from latentbench.rng import torch_generator

CIFAR = Shape(32, 3)


def _config(name: str = "dcgan", **settings: Any) -> AnyModel:
    model = {"name": name, "architecture": "resnet", **settings}
    raw = {
        "studies": {"s": {"title": "t"}},
        "datasets": {"d": {"source": "folder", "path": "x"}},
        "experiments": {"e": {"study": "s", "dataset": "d", "model": model}},
    }
    return parse_params(raw, where="params.yaml").experiment("e").model


def _baseline(name: str, **settings: Any) -> AnyModel:
    return _config(name, latent_dim=128, width=256, discriminator_width=128, **settings)


def _generator() -> torch.Generator:
    return torch_generator(0, "test")


def _convolution(inputs: int, outputs: int, kernel: int) -> int:
    return inputs * outputs * kernel**2 + outputs


@pytest.mark.parametrize(
    ("name", "settings"),
    [
        ("dcgan", {}),
        ("dcgan", {"loss": "hinge", "spectral_norm": True}),
        ("wgan_gp", {}),
    ],
)
def test_parameter_counts_are_those_of_lee_and_town(name: str, settings: dict[str, Any]) -> None:
    """Of DCGAN, SNGAN and WGAN-GP: 4,276,739 and 1,053,825, as their code has them."""
    networks = build_objective(_baseline(name, **settings), CIFAR, seed=0).networks()
    block = 2 * _convolution(256, 256, 3) + _convolution(256, 256, 1) + 4 * 256
    by_hand = 128 * 4096 + 4096 + 3 * block + 2 * 256 + _convolution(256, 3, 3)
    assert count_parameters(networks["generator"]) == by_hand == 4_276_739
    first = _convolution(3, 128, 3) + _convolution(128, 128, 3) + _convolution(3, 128, 1)
    down = 2 * _convolution(128, 128, 3) + _convolution(128, 128, 1)
    by_hand = first + down + 4 * _convolution(128, 128, 3) + 128 + 1
    assert count_parameters(networks["discriminator"]) == by_hand == 1_053_825


def _randomize(network: nn.Module) -> dict[str, Tensor]:
    """Give every tensor random values and return them, in float64."""
    network.double()
    generator = _generator()
    for tensor in network.state_dict().values():
        if tensor.is_floating_point():
            tensor.uniform_(0.1, 1.0, generator=generator).sub_(0.3).abs_()
    return dict(network.state_dict())


def _norm(weights: dict[str, Tensor], name: str, maps: Tensor) -> Tensor:
    mean, variance = weights[f"{name}.running_mean"], weights[f"{name}.running_var"]
    normalized = (maps - mean[:, None, None]) / (variance[:, None, None] + 1e-5).sqrt()
    return (
        normalized * weights[f"{name}.weight"][:, None, None]
        + (weights[f"{name}.bias"][:, None, None])
    )


def _convolve(weights: dict[str, Tensor], name: str, maps: Tensor) -> Tensor:
    weight = weights[f"{name}.weight"]
    return F.conv2d(maps, weight, weights[f"{name}.bias"], padding=weight.shape[-1] // 2)


def _double(maps: Tensor) -> Tensor:
    return F.interpolate(maps, scale_factor=2, mode="bilinear", align_corners=False)


def test_generator_equals_plain_operations() -> None:
    decoder = Decoder(_config(latent_dim=5, width=6), CIFAR).eval()
    weights = _randomize(decoder)
    latents = torch.randn(3, 5, generator=_generator()).double()
    maps = F.linear(latents, weights["layers.0.weight"], weights["layers.0.bias"])
    maps = maps.view(3, 4, 4, 6).permute(0, 3, 1, 2)
    for block in ("layers.2", "layers.3", "layers.4"):
        hidden = _double(_norm(weights, f"{block}.first.0", maps).relu())
        hidden = _convolve(weights, f"{block}.first.2", hidden)
        hidden = _norm(weights, f"{block}.second.0", hidden).relu()
        hidden = _convolve(weights, f"{block}.second.2", hidden)
        maps = hidden + _convolve(weights, f"{block}.shortcut", _double(maps))
    maps = _norm(weights, "layers.5", maps).relu()
    expected = _convolve(weights, "layers.7", maps)
    found = decoder(latents, torch.zeros(3, 0).double())
    torch.testing.assert_close(found, expected, rtol=1e-10, atol=0)


@pytest.mark.parametrize("pooling", ["sum", "mean"])
def test_discriminator_equals_plain_operations(pooling: Any) -> None:
    encoder = Encoder(2, _config(width=6), CIFAR, batch_norm=False, width=4, pooling=pooling)
    weights = _randomize(encoder)
    images = torch.randn(3, 3, 32, 32, generator=_generator()).double()
    hidden = _convolve(weights, "layers.0.first.0", images).relu()
    maps = F.avg_pool2d(_convolve(weights, "layers.0.second.1", hidden), 2)
    maps = maps + _convolve(weights, "layers.0.shortcut", F.avg_pool2d(images, 2))
    for block in ("layers.1", "layers.2", "layers.3"):
        hidden = _convolve(weights, f"{block}.first.1", maps.relu())
        hidden = _convolve(weights, f"{block}.second.1", hidden.relu())
        if block == "layers.1":
            hidden = F.avg_pool2d(hidden, 2)
            maps = F.avg_pool2d(_convolve(weights, f"{block}.shortcut", maps), 2)
        maps = maps + hidden
    assert maps.shape == (3, 4, 8, 8)
    pooled = getattr(maps.relu(), pooling)(dim=(2, 3))
    expected = F.linear(pooled, weights["layers.6.weight"], weights["layers.6.bias"])
    found = encoder(images, torch.zeros(3, 0).double())
    torch.testing.assert_close(found, expected, rtol=1e-10, atol=0)


def test_bilinear_upsampling_equals_pytorchs() -> None:
    images = torch.randn(2, 3, 5, 4, generator=_generator()).double().requires_grad_()
    weights = torch.randn(2, 3, 10, 8, generator=_generator()).double()
    ours, theirs = double_bilinear(images), _double(images)
    torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-12)
    [gradient] = torch.autograd.grad((ours * weights).sum(), images)
    [expected] = torch.autograd.grad((theirs * weights).sum(), images)
    torch.testing.assert_close(gradient, expected, rtol=0, atol=1e-12)


def test_convolutions_in_blocks_start_larger() -> None:
    """By the square root of 2 than Glorot & Bengio's; other layers start as theirs."""
    decoder = Decoder(_config(latent_dim=5, width=64), CIFAR)
    initialize_weights(decoder, "xavier", _generator())
    block: Any = decoder.layers[2]
    for layer in (block.first[-1], block.second[-1]):
        assert layer.weight.std().item() == pytest.approx((2 / (64 * 9)) ** 0.5, rel=0.03)
    assert block.shortcut.weight.std().item() == pytest.approx((1 / 64) ** 0.5, rel=0.05)
