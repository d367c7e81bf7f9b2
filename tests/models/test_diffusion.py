"""The diffusion model against closed forms for Gaussian images, and its U-Net."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from latentbench.config.models import DiffusionModel
from latentbench.models.diffusion import INTERVAL_TERMS, Diffusion, time_density
from latentbench.models.networks.architectures import Shape, count_parameters
from latentbench.models.networks.layer_table import describe_networks
from latentbench.models.networks.layers import Resample
from latentbench.models.networks.unet import Block, mark_known
from latentbench.models.objective import Sampling, draw_latents
from latentbench.models.registry import build_objective
from latentbench.rng import torch_generator

SIDE = 32
MEAN, STD = 0.2, 0.1  # of the pixels of Gaussian images
CLASSES = 3


class GaussianVelocity(nn.Module):
    """The mean of ε - x given x_t = (1 - t) x + t ε, for pixels x of N(MEAN, STD²).

    With labels, the mean of a class is MEAN + 0.05 · class, and MEAN - 0.05 without a label.
    """

    def forward(self, states: Tensor, times: Tensor, labels: Tensor) -> Tensor:
        means = torch.full_like(times, MEAN)
        if labels.shape[1]:
            offsets = torch.tensor([0.0, 0.05, 0.1, 0.0]).to(labels)
            means = MEAN + labels @ offsets - 0.05 * (labels.sum(dim=1) == 0)
        t, mean = times[:, None, None, None], means[:, None, None, None]
        deviation = (states - (1 - t) * mean) / ((1 - t) ** 2 * STD**2 + t**2)
        noise = t * deviation
        image = mean + (1 - t) * STD**2 * deviation
        return noise - image


def _config(**settings: Any) -> DiffusionModel:
    values = {"name": "diffusion", "width": 4, **settings}
    return DiffusionModel.model_validate(values)


def _build(*, num_labels: int = 0, **settings: Any) -> Diffusion:
    if num_labels:
        settings = {"condition": "class"} | settings
    objective = build_objective(_config(**settings), Shape(SIDE, 1, num_labels), seed=0)
    assert isinstance(objective, Diffusion)
    objective.make_optimizers()
    return objective


def _gaussian(steps: int, **sampling: float) -> Diffusion:
    """Return an objective whose network is the closed form."""
    objective = _build()
    objective.averaged["unet"] = GaussianVelocity()
    objective.sampling = Sampling(steps, **sampling)
    return objective


def _latents(number: int) -> Tensor:
    return draw_latents(number, SIDE**2, torch_generator(0, "latents")).double()


def _no_labels(number: int) -> Tensor:
    return torch.zeros(number, 0, dtype=torch.float64)


def _decoding_error(steps: int) -> float:
    latents = _latents(2)
    images = _gaussian(steps).decode(latents, _no_labels(2))
    return float((images.flatten(1) - (MEAN + STD * latents)).abs().max())


def test_the_ode_maps_noise_to_gaussian_images() -> None:
    """A latent z becomes MEAN + STD z; Heun's error falls with the square of the steps."""
    errors = [_decoding_error(steps) for steps in (40, 80, 160)]
    assert errors[0] < 0.01
    for coarse, fine in pairwise(errors):
        assert 3 < coarse / fine < 5


def test_encoding_inverts_decoding() -> None:
    latents, labels = _latents(2), _no_labels(2)
    errors = []
    for steps in (40, 80, 160):
        objective = _gaussian(steps)
        codes = objective.encode(objective.decode(latents, labels), labels)
        errors.append(float((codes - latents).abs().max()))
    assert errors[0] < 0.2
    for coarse, fine in pairwise(errors):
        assert coarse / fine > 3


@pytest.mark.parametrize("steps", [1, 2, 5])
def test_evaluations_of_the_network(steps: int) -> None:
    objective, calls = _gaussian(steps), [0]

    def count(*_: object) -> None:
        calls[0] += 1

    objective.averaged["unet"].register_forward_pre_hook(count)
    images = objective.decode(_latents(1), _no_labels(1))
    assert calls[0] == objective.sampling.decoding_evaluations
    calls[0] = 0
    objective.encode(images, _no_labels(1))
    assert calls[0] == objective.sampling.encoding_evaluations


def test_states_and_denoised_images_on_the_path() -> None:
    """x_t has the mean (1 - t) MEAN and the variance of the mixture of image and noise."""
    steps, latents = 100, _latents(1)
    states, denoised = _gaussian(steps).denoising_path(latents, _no_labels(1))
    assert states.shape == denoised.shape == (1, steps + 1, 1, SIDE, SIDE)
    for step in (0, 25, 50, 75, 100):
        time = 1 - step / steps
        std = ((1 - time) ** 2 * STD**2 + time**2) ** 0.5
        expected = (1 - time) * MEAN + std * latents
        torch.testing.assert_close(states[:, step].flatten(1), expected, rtol=0, atol=0.01)
    torch.testing.assert_close(denoised[:, 0].mean().item(), MEAN, rtol=0, atol=1e-6)
    torch.testing.assert_close(denoised[:, -1], states[:, -1])


def test_losses_of_the_closed_form() -> None:
    """The least loss at a time is the variance of ε - x given x_t, here over each interval."""
    objective, number = _gaussian(1), 200
    generator = torch_generator(0, "images")
    images = MEAN + STD * torch.randn(number, 1, SIDE, SIDE, generator=generator)
    terms = objective.validate(images, torch.zeros(number, 0), generator=generator)
    times = (torch.arange(1000) + 0.5) / 1000
    variance = (1 - times) ** 2 * STD**2 + times**2
    least = 1 + STD**2 - (times - (1 - times) * STD**2) ** 2 / variance
    for name, expected in zip(INTERVAL_TERMS, least.chunk(4), strict=True):
        # 51,200 pixels: the standard error is below 1 %, plus that of the 50 times.
        assert terms[name].item() == pytest.approx(expected.mean().item(), rel=0.05)
    # In training, the logits of times are of N(0, 1).
    normal = torch.randn(100_000, generator=generator).sigmoid()
    weights = torch.histc(normal, bins=1000, min=0, max=1) / 100
    expected = (weights * least).mean().item()
    assert terms["loss"].item() == pytest.approx(expected, rel=0.05)


def test_times_of_training() -> None:
    """Their logits are of N(0, 1), and the density integrates to 1."""
    times = _build()._draw_times(1000, torch_generator(0, "times"))
    logits = times.double().logit()
    assert logits.mean().item() == pytest.approx(0, abs=0.01)
    assert logits.std().item() == pytest.approx(1, abs=0.02)
    grid = (torch.arange(10_000) + 0.5) / 10_000
    assert time_density(grid).mean().item() == pytest.approx(1, abs=1e-4)
    share = time_density(grid[:2500]).mean().item() / 4
    assert share == pytest.approx((times < 0.25).float().mean().item(), abs=0.002)


@pytest.mark.parametrize("churn", [2.0, 20.0])
def test_stochastic_sampling_keeps_the_distribution(churn: float) -> None:
    latents = _latents(20)
    images = _gaussian(200, churn=churn).decode(latents, _no_labels(20))
    # 20,480 pixels: the standard errors are 0.7 % of STD.
    assert images.mean().item() == pytest.approx(MEAN, abs=0.04 * STD)
    assert images.std().item() == pytest.approx(STD, rel=0.04)
    correlation = torch.corrcoef(torch.stack([images.flatten(), latents.flatten()]))[0, 1]
    assert correlation < 0.99


def test_stochastic_samples_depend_on_their_latent_alone() -> None:
    objective = _gaussian(5, churn=2.0)
    latents, labels = _latents(4), _no_labels(4)
    whole = objective.decode(latents, labels)
    assert torch.equal(objective.decode(latents.flip(0), labels).flip(0), whole)
    assert torch.equal(objective.decode(latents[2:3], labels[:1]), whole[2:3])


def test_guidance_extrapolates_from_no_label() -> None:
    latents = _latents(CLASSES)
    labels = torch.eye(CLASSES, dtype=torch.float64)
    objective = _build(num_labels=CLASSES)
    objective.averaged["unet"] = GaussianVelocity()
    images = {}
    for guidance in (0.0, 1.0, 1.0 + 1e-9, 3.0):
        objective.sampling = Sampling(50, guidance)
        images[guidance] = objective.decode(latents, labels)
    # 1 is no guidance: the formula has the same limit as the network with the label alone.
    torch.testing.assert_close(images[1.0], images[1.0 + 1e-9], rtol=0, atol=1e-7)
    means = {guidance: image.mean(dim=(1, 2, 3)) for guidance, image in images.items()}
    of_label = MEAN + 0.05 * torch.arange(CLASSES)
    torch.testing.assert_close(means[1.0].float(), of_label, rtol=0, atol=0.02)
    # The velocity is linear in the mean, so the means are extrapolated, too.
    expected = means[0.0] + 3 * (means[1.0] - means[0.0])
    torch.testing.assert_close(means[3.0], expected, rtol=0, atol=1e-6)


def test_labels_are_withheld_in_training() -> None:
    """With label_dropout near 1, the embedding of labels gets hardly any gradient."""
    norms = {}
    for dropout in (0.0, 0.999):
        objective = _build(num_labels=CLASSES, label_dropout=dropout).train()
        with torch.no_grad():
            for parameter in objective.unet.parameters():
                parameter.add_(0.05)
        seen = []
        objective.unet.embedding.register_forward_pre_hook(
            lambda _, inputs, seen=seen: seen.append(inputs[1])
        )
        images = torch.zeros(16, 1, SIDE, SIDE)
        labels = torch.eye(CLASSES)[torch.arange(16) % CLASSES]
        objective.step(images, labels, step=0, generator=torch_generator(0, "step"))
        norms[dropout] = seen[0].sum().item()
    assert norms[0.0] == 32  # a one of the class and one of the last column
    assert norms[0.999] < 16


def test_no_label_differs_from_a_vector_of_zeros() -> None:
    labels = torch.zeros(2, CLASSES)
    assert torch.equal(mark_known(labels)[:, -1], torch.ones(2))
    assert mark_known(torch.zeros(2, 0)).shape == (2, 0)


def test_averages_lose_half_of_the_past_in_a_half_life() -> None:
    objective = _build(ema_half_life=64)
    decay = objective._ema_decay(batch=16, step=10_000)
    assert decay**4 == pytest.approx(0.5)
    # At first it is 5 % of the images seen: of 160 images 8.
    assert objective._ema_decay(batch=16, step=9) == pytest.approx(0.5**2)
    assert _build(ema_half_life=0)._ema_decay(batch=16, step=10) == 0


def test_blocks_resample_before_the_convolution() -> None:
    """A second implementation of a block of DDPM++; all sums are divided by √2."""
    generator = torch_generator(0, "block")
    directions: list[Resample] = ["up", "down"]
    for direction in directions:
        block: Any = Block(4, 4, 8, attention=True, resample=direction).double()
        block.scale = 0.5**0.5
        for parameter in block.parameters():
            nn.init.normal_(parameter, std=0.3, generator=generator)
        maps = torch.randn(2, 4, 6, 6, generator=generator).double()
        embedded = torch.randn(2, 8, generator=generator).double()
        hidden, shortcut = functional.silu(block.first[0](maps)), maps
        if direction == "up":
            hidden, shortcut = (
                each.repeat_interleave(2, dim=2).repeat_interleave(2, dim=3)
                for each in (hidden, shortcut)
            )
        else:
            hidden, shortcut = (
                each.unflatten(3, (3, 2)).unflatten(2, (3, 2)).mean(dim=(3, 5))
                for each in (hidden, shortcut)
            )
        hidden = block.first[2](hidden) + block.embedding(embedded)[:, :, None, None]
        hidden = block.second(functional.silu(block.activation[0](hidden)))
        sums = (block.shortcut(shortcut) + hidden) / 2**0.5
        expected = block.attention(sums) / 2**0.5
        torch.testing.assert_close(block(maps, embedded, None), expected, rtol=1e-10, atol=1e-10)


def test_the_untrained_velocity_is_zero() -> None:
    """All residual branches end in a convolution that starts at zero."""
    objective = _build()
    images = torch.randn(2, 1, SIDE, SIDE, generator=torch_generator(0, "images"))
    velocity = objective.unet(images, torch.rand(2), torch.zeros(2, 0))
    assert torch.equal(velocity, torch.zeros_like(images))


@pytest.mark.parametrize(
    ("settings", "named"),
    [
        ({"guidance": 2.0}, "condition"),
        ({"condition": "class", "guidance": 2.0, "label_dropout": 0.0}, "label_dropout"),
    ],
)
def test_guidance_needs_labels(settings: dict[str, Any], named: str) -> None:
    with pytest.raises(ValueError, match=named):
        _config(**settings)


@pytest.mark.parametrize(
    ("settings", "named"),
    [
        ({"channel_multipliers": [1, 1, 1, 1, 1]}, "channel_multipliers"),
        ({"attention_resolution": 32}, "16, 8"),
    ],
)
def test_feature_maps_must_fit_the_image(settings: dict[str, Any], named: str) -> None:
    with pytest.raises(ValueError, match=named):
        _config(**settings).check_image_size(SIDE)


def test_layers_count_every_multiplication() -> None:
    """A 3×3 convolution multiplies each of its weights at each position of its output."""
    objective = _build(width=16)
    rows = {row["layer"]: row for row in describe_networks(objective, Shape(SIDE, 1))}
    assert sum(row["parameters"] for row in rows.values()) == count_parameters(objective.unet)
    halves = [row for row in rows.values() if row["stride"] == "2×2"]
    assert halves
    for row in halves:
        assert row["kind"] == "Conv2d"
        height, width = map(int, row["output"].split("×")[1:])
        assert row["multiply_adds"] == row["parameters"] * height * width
