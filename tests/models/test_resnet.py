"""The networks of the published baselines: parameter counts and second implementations."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from latentbench.config.load import parse_params, read_params
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


def _generator() -> torch.Generator:
    return torch_generator(0, "test")


def _convolution(inputs: int, outputs: int, kernel: int) -> int:
    return inputs * outputs * kernel**2 + outputs


def test_networks_of_the_study_replication_have_as_many_parameters_as_published() -> None:
    """As the code of Lee & Town (2020), Ho et al. (2020) and Karras et al. (2022) has them.

    EDM's 55.7 million include 1,152 for a label of the augmentation, which is not here.
    """
    block = 2 * _convolution(256, 256, 3) + _convolution(256, 256, 1) + 4 * 256
    generator = 128 * 4096 + 4096 + 3 * block + 2 * 256 + _convolution(256, 3, 3)
    first = _convolution(3, 128, 3) + _convolution(128, 128, 3) + _convolution(3, 128, 1)
    down = 2 * _convolution(128, 128, 3) + _convolution(128, 128, 1)
    discriminator = first + down + 4 * _convolution(128, 128, 3) + 128 + 1
    assert (generator, discriminator) == (4_276_739, 1_053_825)
    unconditional = {"generator": generator, "discriminator": discriminator}
    # Of ten classes: scales and shifts in six layers, and rows of the projection.
    conditional = {
        "generator": generator + 6 * (10 - 1) * 2 * 256,
        "discriminator": discriminator + 10 * 128,
    }
    assert conditional["generator"] == 4_304_387
    expected: dict[str, dict[str, int]] = {
        "replication-sngan": unconditional,
        "replication-cgan-pd": conditional,
        "replication-wgan-gp": unconditional,
        "replication-dcgan": unconditional,
        "replication-ddpm": {"unet": 35_746_307},
        "replication-edm": {"unet": 55_732_739},
    }
    params = read_params(Path(__file__).parents[2] / "params.yaml")
    assert params.study("replication").experiments == list(expected)
    for name, counts in expected.items():
        config = params.experiment(name)
        num_labels = 10 if config.model.condition else 0
        shape = Shape(config.image_size, config.channels, num_labels)
        networks = build_objective(config.model, shape, seed=0).networks()
        found = {part: count_parameters(network) for part, network in networks.items()}
        assert found == counts, name


@pytest.mark.parametrize(
    ("name", "steps"),
    [("replication-sngan", 500_000), ("replication-ddpm", 800_000), ("replication-edm", 390_625)],
)
def test_the_study_replication_trains_as_long_as_published(name: str, steps: int) -> None:
    """To whole epochs of 50,000 images: 100,000 steps of the generator; 200 million images."""
    params = read_params(Path(__file__).parents[2] / "params.yaml")
    training = params.experiment(name).training
    assert training.epochs * (50_000 // training.batch_size) == pytest.approx(steps, rel=0.01)


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
