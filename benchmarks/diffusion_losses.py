"""Losses of diffusion models for equal minutes: rectified flow, EDM and DDPM with one U-Net.

Each loss trains the same network, from the same weights, for the same processor time, with Adam and
averaged weights. Its own deterministic sampler then makes 1,000 images with about 20 evaluations of
the network; flow is also measured with about 10. The reference stage must have run before:

    snakemake --until reference STUDY
    .venv/bin/python benchmarks/diffusion_losses.py data/prepared/NAME data/reference/NAME
"""

from __future__ import annotations

import argparse
import copy
import math
import time
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from latentbench.config.experiments import Evaluation
from latentbench.config.models import DiffusionModel
from latentbench.data.images import to_model, to_uint8
from latentbench.data.prepared import PreparedDataset
from latentbench.evaluation.manifest import ReferenceManifest
from latentbench.evaluation.metrics.distances import Distances
from latentbench.models.networks.architectures import Shape
from latentbench.models.networks.initialization import initialize_weights
from latentbench.models.networks.unet import UNet
from latentbench.rng import torch_generator
from latentbench.runtime.adam import Adam

BATCH, SAMPLES, SAMPLE_BATCH = 32, 1_000, 250
WARMUP = 50  # steps in which the learning rate rises
EMA_SHARE = 0.1  # half-life of the averaged weights, as a share of the images seen
DATA_STD = 0.5  # σ_data of EDM
MIN_LEVEL, MAX_LEVEL, RHO = 0.002, 80.0, 7.0  # noise levels of EDM's sampler
LATEST = 0.98  # the time at which DDPM's sampler starts: at 1 it would divide by almost 0

Network = Callable[[Tensor, Tensor], Tensor]


class Flow:
    """Rectified flow, with uniform or logit-normal times; Heun's method."""

    def __init__(self, *, is_logit_normal: bool) -> None:
        self.is_logit_normal = is_logit_normal

    def loss(self, network: Network, images: Tensor, generator: torch.Generator) -> Tensor:
        """Return the mean squared error of the velocity."""
        number = len(images)
        times = (torch.arange(number) + torch.rand(1, generator=generator)) / number
        if self.is_logit_normal:
            times = torch.special.ndtri(times.clamp(min=1e-6)).sigmoid()
        noise = torch.randn(images.shape, generator=generator)
        states = torch.lerp(images, noise, _of_images(times))
        return (network(states, times) - (noise - images)).square().mean()

    def sample(self, network: Network, noise: Tensor, steps: int) -> Tensor:
        """Return images of noise."""
        state, times = noise, torch.linspace(1, 0, steps + 1)
        for now, after in pairwise(times):
            slope = network(state, now.expand(len(state)))
            proposal = state + (after - now) * slope
            if after > 0:
                slope = (slope + network(proposal, after.expand(len(state)))) / 2
            state = state + (after - now) * slope
        return state


class EDM:
    """Karras et al. (2022): preconditioning, noise distribution and weighting of table 1; Heun."""

    def loss(self, network: Network, images: Tensor, generator: torch.Generator) -> Tensor:
        """Return the weighted squared error of the denoised image."""
        levels = (1.2 * torch.randn(len(images), generator=generator) - 1.2).exp()
        sigma = _of_images(levels)
        noisy = images + sigma * torch.randn(images.shape, generator=generator)
        weights = (sigma**2 + DATA_STD**2) / (sigma * DATA_STD) ** 2
        return (weights * (self._denoise(network, noisy, levels) - images).square()).mean()

    def sample(self, network: Network, noise: Tensor, steps: int) -> Tensor:
        """Return images of noise."""
        ends = (MAX_LEVEL ** (1 / RHO), MIN_LEVEL ** (1 / RHO))
        levels = torch.cat([torch.linspace(*ends, steps) ** RHO, torch.zeros(1)])
        state = noise * MAX_LEVEL
        for now, after in pairwise(levels):
            slope = (state - self._denoise(network, state, now.expand(len(state)))) / now
            proposal = state + (after - now) * slope
            if after > 0:
                denoised = self._denoise(network, proposal, after.expand(len(state)))
                slope = (slope + (proposal - denoised) / after) / 2
            state = state + (after - now) * slope
        return state

    def _denoise(self, network: Network, noisy: Tensor, levels: Tensor) -> Tensor:
        sigma = _of_images(levels)
        total = sigma**2 + DATA_STD**2
        # The network's embedding expects levels of about 0 to 1.
        output = network(noisy / total.sqrt(), (levels.log() / 4 + 2) / 4)
        return DATA_STD**2 / total * noisy + sigma * DATA_STD / total.sqrt() * output


class DDPM:
    """Ho et al. (2020) with the cosine schedule (Nichol & Dhariwal, 2021); DDIM (Song et al.)."""

    def loss(self, network: Network, images: Tensor, generator: torch.Generator) -> Tensor:
        """Return the mean squared error of the noise."""
        times = torch.rand(len(images), generator=generator)
        kept = _of_images(self._kept(times))
        noise = torch.randn(images.shape, generator=generator)
        states = kept.sqrt() * images + (1 - kept).sqrt() * noise
        return (network(states, times) - noise).square().mean()

    def sample(self, network: Network, noise: Tensor, steps: int) -> Tensor:
        """Return images of noise, with 2 · steps evaluations."""
        state = noise
        for now, after in pairwise(torch.linspace(1, 0, 2 * steps + 1).clamp(max=LATEST)):
            kept, then = self._kept(now), self._kept(after)
            predicted = network(state, now.expand(len(state)))
            images = ((state - (1 - kept).sqrt() * predicted) / kept.sqrt()).clamp(-1, 1)
            predicted = (state - kept.sqrt() * images) / (1 - kept).sqrt()
            state = then.sqrt() * images + (1 - then).sqrt() * predicted
        return state

    @staticmethod
    def _kept(times: Tensor) -> Tensor:
        return torch.cos((times + 0.008) / 1.008 * math.pi / 2).square()


LOSSES: dict[str, Flow | EDM | DDPM] = {
    "flow": Flow(is_logit_normal=True),
    "flow, uniform times": Flow(is_logit_normal=False),
    "EDM": EDM(),
    "DDPM": DDPM(),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path, help="data/prepared/NAME")
    parser.add_argument("reference", type=Path, help="data/reference/NAME")
    parser.add_argument("--seconds", type=float, default=150.0, help="of processor time per loss")
    parser.add_argument("--width", type=int, default=32)
    parser.add_argument("--learning-rate", type=float, default=2e-3)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    images = torch.from_numpy(np.array(PreparedDataset.open(arguments.data).images("train")))
    for name, loss in LOSSES.items():
        network = train(
            loss,
            images,
            seconds=arguments.seconds,
            width=arguments.width,
            learning_rate=arguments.learning_rate,
            seed=arguments.seed,
        )
        measured = {}
        for steps in (5, 10):
            measured[steps] = distance(loss, network, images.shape[1:], arguments.reference, steps)
        print(f"{name}: FD (classifier) {measured[5]:.2f} in 5 steps, {measured[10]:.2f} in 10")


def train(
    loss: Flow | EDM | DDPM,
    images: Tensor,
    *,
    seconds: float,
    width: int,
    learning_rate: float,
    seed: int,
) -> nn.Module:
    """Return the averaged network after some seconds of processor time."""
    _, side, _, channels = images.shape
    generator = torch_generator(seed, "losses")
    config = DiffusionModel(name="diffusion", width=width, layers_per_stage=1)
    network = UNet(config, Shape(side, channels)).to(memory_format=torch.channels_last)
    initialize_weights(network, "xavier", generator)
    averaged = copy.deepcopy(network).requires_grad_(False).eval()
    optimizer = Adam(network.parameters(), learning_rate=learning_rate)
    order = torch.arange(0)
    step, start = 0, time.process_time()
    while time.process_time() - start < seconds:
        if len(order) < BATCH:
            order = torch.randperm(len(images), generator=generator)
        rows, order = order[:BATCH], order[BATCH:]
        loss.loss(_without_labels(network), to_model(images[rows]), generator).backward()
        step += 1
        optimizer.learning_rate = learning_rate * min(1, step / WARMUP)
        optimizer.step()
        decay = 0.5 ** (1 / (EMA_SHARE * step))
        with torch.no_grad():
            pairs = list(averaged.parameters()), list(network.parameters())
            torch._foreach_lerp_(*pairs, 1 - decay)
    print(f"{step * BATCH:,} images, {1e3 * (time.process_time() - start) / step:.0f} ms per step")
    return averaged


@torch.no_grad()
def distance(
    loss: Flow | EDM | DDPM, network: nn.Module, shape: torch.Size, reference: Path, steps: int
) -> float:
    """Return the Fréchet distance of samples over the classifier's features."""
    side, _, channels = shape
    manifest, device = ReferenceManifest.read(reference), torch.device("cpu")
    extractor = manifest.load_extractor("classifier", reference, device=device)
    settings = Evaluation(num_samples=SAMPLES)
    distances = Distances.load(reference, "classifier", settings, dim=extractor.dim, device=device)
    generator = torch_generator(0, "noise")
    features = []
    for _ in range(SAMPLES // SAMPLE_BATCH):
        noise = torch.randn(SAMPLE_BATCH, channels, side, side, generator=generator)
        noise = noise.contiguous(memory_format=torch.channels_last)
        samples = loss.sample(_without_labels(network), noise, steps)
        features.append(extractor(to_uint8(samples)))
    return distances.frechet(torch.cat(features))


def _without_labels(network: nn.Module) -> Network:
    return lambda states, times: network(states, times, torch.zeros(len(states), 0))


def _of_images(values: Tensor) -> Tensor:
    """Return values (batch,) as (batch, 1, 1, 1)."""
    return values[:, None, None, None]


if __name__ == "__main__":
    main()
