"""What every objective offers: networks, optimizers, a step on real images, and samples."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Protocol, runtime_checkable

import torch
from torch import Tensor, nn

from latentbench.runtime.adam import Adam
from latentbench.runtime.distributed import SINGLE_PROCESS, ProcessGroup

Terms = dict[str, Tensor]


class Objective(nn.Module, ABC):
    """What is minimized, with the networks and optimizers that it takes.

    A new objective is a subclass in a file of its own and an entry in `registry.OBJECTIVES`. Labels are float: of a
    class one 1 among zeros, of attributes a 1 for each that is there. Without a condition num_labels is 0.
    """

    latent_dim: int
    # The loss terms that `step` may return, in the order in which history.csv lists them.
    terms: tuple[str, ...]

    def __init__(self) -> None:
        super().__init__()
        self.optimizers: dict[str, Adam] = {}
        self.precision = torch.float32
        self.processes: ProcessGroup = SINGLE_PROCESS

    @abstractmethod
    def make_optimizers(self) -> None:
        """Fill `optimizers`; to be called once the networks are on their device."""

    def distribute(self, processes: ProcessGroup) -> None:
        """Learn together with these, once there are optimizers: `step` is given this process's share of a batch."""
        self.processes = processes
        for optimizer in self.optimizers.values():
            optimizer.processes = processes

    @abstractmethod
    def step(
        self, images: Tensor, labels: Tensor, *, step: int, generator: torch.Generator
    ) -> Terms:
        """Learn from real images (batch, channel, height, width) in [-1, 1] and their labels (batch, num_labels).

        `step` counts from 0; all randomness comes from `generator`, on the images' device: what is drawn is drawn
        for the batch of all processes, and shared. Returns the loss terms of this step as detached scalars, of
        this process's share, without waiting for the device.
        """

    def validate(self, images: Tensor, labels: Tensor, *, generator: torch.Generator) -> Terms:  # noqa: ARG002
        """Terms of images that are looked at, not learned from; in inference mode, without gradients."""
        return {}

    @abstractmethod
    def networks(self) -> dict[str, nn.Module]:
        """The networks that a checkpoint holds, by name."""

    @abstractmethod
    def decode(self, latents: Tensor, labels: Tensor) -> Tensor:
        """Images in [-1, 1] of latents (batch, latent_dim) and labels (batch, num_labels); differentiable."""

    @torch.no_grad()
    def sample(self, latents: Tensor, labels: Tensor) -> Tensor:
        """Images (batch, channel, height, width) in [-1, 1] of latents drawn from N(0, I), as labels ask."""
        return self.decode(latents, labels)

    def weights(self) -> dict[str, Tensor]:
        """What a checkpoint holds: the tensors of `networks`."""
        return {
            f"{name}.{key}": tensor
            for name, network in self.networks().items()
            for key, tensor in network.state_dict().items()
        }

    def load_weights(self, weights: dict[str, Tensor]) -> None:
        """Take a checkpoint's tensors and turn to inference."""
        for name, network in self.networks().items():
            prefix = f"{name}."
            network.load_state_dict(
                {
                    key.removeprefix(prefix): tensor
                    for key, tensor in weights.items()
                    if key.startswith(prefix)
                }
            )
        self.eval()

    def training_state(self) -> dict[str, Tensor]:
        """What a resumed run needs: every network's tensors and the optimizers' state."""
        optimizers = {
            f"optimizers/{name}/{key}": tensor
            for name, optimizer in self.optimizers.items()
            for key, tensor in optimizer.state().items()
        }
        return self.state_dict() | optimizers

    def load_training_state(self, state: dict[str, Tensor]) -> None:
        for name, optimizer in self.optimizers.items():
            prefix = f"optimizers/{name}/"
            optimizer.load_state(
                {
                    key.removeprefix(prefix): tensor
                    for key, tensor in state.items()
                    if key.startswith(prefix)
                }
            )
        self.load_state_dict({key: state[key] for key in self.state_dict()})

    def compile_networks(self) -> None:
        """Compile what can be compiled; weights keep their names."""
        torch.use_deterministic_algorithms(True)  # tells the compiler as well
        for network in self.compilable():
            network.compile()

    def compilable(self) -> list[nn.Module]:
        return list(self.networks().values())

    def draw_latents(self, number: int, generator: torch.Generator) -> Tensor:
        """(number, latent_dim): this process's share of what a step draws for its whole batch."""
        whole = draw_latents(number * self.processes.world_size, self.latent_dim, generator)
        return self.processes.local_shard(whole)

    def autocast(self) -> AbstractContextManager[object]:
        """Networks compute in `precision`; losses are for the caller to compute in float32."""
        device = next(self.parameters()).device.type
        return torch.autocast(device, self.precision, enabled=self.precision != torch.float32)


# A dimension of a code is in use where it varies by more over images (Burda et al., 2016, section 5.2).
ACTIVE_VARIANCE = 0.01


@runtime_checkable
class HasEncoder(Protocol):
    """An objective that maps images to codes."""

    def encode(self, images: Tensor, labels: Tensor) -> Tensor:
        """Codes (batch, latent_dim) of images in [-1, 1] with labels (batch, num_labels)."""
        ...


@runtime_checkable
class HasPosterior(Protocol):
    """An objective whose codes are Gaussian."""

    def posterior(self, images: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        """Means and log-variances, both (batch, latent_dim), of images in [-1, 1] with labels (batch, num_labels)."""
        ...


@runtime_checkable
class HasDiscriminator(Protocol):
    """An objective that tells real images from generated ones."""

    def discriminate(self, images: Tensor, labels: Tensor) -> Tensor:
        """Scores (batch,) of images in [-1, 1] with labels (batch, num_labels); the higher, the more real."""
        ...


@contextmanager
def frozen(network: nn.Module) -> Iterator[None]:
    """No gradients for this network's weights, which saves a third of its backward pass."""
    network.requires_grad_(False)
    try:
        yield
    finally:
        network.requires_grad_(True)


@contextmanager
def use_batch_stats(network: nn.Module) -> Iterator[None]:
    """Batch norm takes each batch's own statistics, and remembers none."""
    norms = [
        module
        for module in network.modules()
        if isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d)
    ]
    before = [(norm.training, norm.track_running_stats) for norm in norms]
    for norm in norms:
        norm.training, norm.track_running_stats = True, False
    try:
        yield
    finally:
        for norm, (training, tracks) in zip(norms, before, strict=True):
            norm.training, norm.track_running_stats = training, tracks


def draw_latents(number: int, latent_dim: int, generator: torch.Generator) -> Tensor:
    """(number, latent_dim) from N(0, I), on the generator's device."""
    return torch.randn(number, latent_dim, generator=generator, device=generator.device)
