"""The interface of all objectives: networks, optimizers, a training step, and samples."""

from __future__ import annotations

import copy
from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from typing import Protocol, Self, runtime_checkable

import torch
from torch import Tensor, nn

from latentbench.models.networks.layers import BATCH_NORMS
from latentbench.runtime.adam import Adam
from latentbench.runtime.distributed import SINGLE_PROCESS, ProcessGroup
from latentbench.runtime.ema import update_ema

Terms = dict[str, Tensor]


class Objective(nn.Module, ABC):
    """A loss to minimize, with its networks and optimizers.

    A new objective is a subclass in its own file and an entry in `registry.OBJECTIVES`. Labels are
    float vectors: one-hot for a class, a 1 for each attribute that is present. Without a condition
    num_labels is 0.
    """

    latent_dim: int
    # The loss terms of `step` and `validate`, in the order of the columns of history.csv.
    terms: tuple[str, ...]

    def __init__(self) -> None:
        super().__init__()
        self.optimizers: dict[str, Adam] = {}
        # Copies of networks with averaged weights (EMA), by the name of the network.
        self.averaged = nn.ModuleDict()
        self.precision = torch.float32
        self.processes: ProcessGroup = SINGLE_PROCESS

    def average_weights(self, *names: str) -> None:
        """Keep averaged weights of these networks; call it after their initialization."""
        for name in names:
            network: nn.Module = getattr(self, name)
            self.averaged[name] = copy.deepcopy(network).requires_grad_(False).eval()

    def update_averages(self, *, decay: float, updates: int) -> None:
        """Update the averaged weights after an optimizer step; see `update_ema`."""
        for name, average in self.averaged.items():
            update_ema(average, getattr(self, name), decay=decay, updates=updates)

    def train(self, mode: bool = True) -> Self:
        """Set the mode of the networks; averaged networks stay in inference mode."""
        super().train(mode)
        self.averaged.eval()
        return self

    @abstractmethod
    def make_optimizers(self) -> None:
        """Fill `optimizers`; call it when the networks are on their device."""

    def decay_learning_rates(self, factor: float) -> None:
        """Set the learning rates to this factor of the initial ones."""
        for optimizer in self.optimizers.values():
            optimizer.learning_rate = factor * optimizer.initial_learning_rate

    def distribute(self, processes: ProcessGroup) -> None:
        """Train with these processes; call it after `make_optimizers`.

        `step` then expects this process's shard of each batch.
        """
        self.processes = processes
        for optimizer in self.optimizers.values():
            optimizer.processes = processes

    @abstractmethod
    def step(
        self, images: Tensor, labels: Tensor, *, step: int, generator: torch.Generator
    ) -> Terms:
        """Take one training step on real images, without waiting for the device.

        Args:
            images: This process's images, (batch, channel, height, width) in [-1, 1].
            labels: Their labels, (batch, num_labels).
            step: The number of steps before this one.
            generator: The source of all random numbers, on the images' device. They are drawn for
                the batch of all processes, of which each process takes its shard.

        Returns:
            The loss terms of this process's shard as detached scalars.
        """

    def validate(
        self,
        images: Tensor,  # noqa: ARG002
        labels: Tensor,  # noqa: ARG002
        *,
        generator: torch.Generator,  # noqa: ARG002
    ) -> Terms:
        """Return terms of images without training on them; call it in inference mode.

        Shapes are those of `step`. An objective without such terms returns an empty dict.
        """
        return {}

    @abstractmethod
    def networks(self) -> dict[str, nn.Module]:
        """Return the networks of a checkpoint by name, with averaged weights where there are."""

    @abstractmethod
    def decode(self, latents: Tensor, labels: Tensor) -> Tensor:
        """Return images in [-1, 1] for latents (batch, latent_dim) and labels (batch, num_labels).

        Differentiable.
        """

    @torch.no_grad()
    def sample(self, latents: Tensor, labels: Tensor) -> Tensor:
        """Return images (batch, channel, height, width) in [-1, 1], without gradients.

        Args:
            latents: Draws from the prior, (batch, latent_dim).
            labels: The labels to generate, (batch, num_labels).
        """
        return self.decode(latents, labels)

    def weights(self) -> dict[str, Tensor]:
        """Return the tensors of a checkpoint, named `network.tensor`."""
        weights = {}
        for name, network in self.networks().items():
            for key, tensor in network.state_dict().items():
                weights[f"{name}.{key}"] = tensor
        return weights

    def load_weights(self, weights: dict[str, Tensor]) -> None:
        """Load the tensors of a checkpoint and switch to inference mode."""
        for name, network in self.networks().items():
            network.load_state_dict(_with_prefix(weights, f"{name}."))
        self.eval()

    def training_state(self) -> dict[str, Tensor]:
        """Return all tensors that a resumed run needs: networks and optimizers."""
        state = dict(self.state_dict())
        for name, optimizer in self.optimizers.items():
            for key, tensor in optimizer.state_dict().items():
                state[f"optimizers/{name}/{key}"] = tensor
        return state

    def load_training_state(self, state: dict[str, Tensor]) -> None:
        """Load the tensors of `training_state`."""
        for name, optimizer in self.optimizers.items():
            optimizer.load_state_dict(_with_prefix(state, f"optimizers/{name}/"))
        self.load_state_dict({key: state[key] for key in self.state_dict()})

    def compile_networks(self) -> None:
        """Compile the networks that support it; the names of their tensors do not change."""
        torch.use_deterministic_algorithms(True)  # the compiler reads this setting
        for network in self.networks_to_compile():
            network.compile()

    def networks_to_compile(self) -> list[nn.Module]:
        """Return the networks in training that torch.compile supports: those of a checkpoint."""
        return [getattr(self, name) for name in self.networks()]

    def draw_latents(self, number: int, generator: torch.Generator) -> Tensor:
        """Draw latents for all processes and return this process's shard, (number, latent_dim)."""
        batch = draw_latents(number * self.processes.world_size, self.latent_dim, generator)
        return self.processes.local_shard(batch)

    def autocast(self) -> AbstractContextManager[object]:
        """Return a context in which networks compute in `precision`.

        Losses belong outside of it, in float32.
        """
        device = next(self.parameters()).device.type
        return torch.autocast(device, self.precision, enabled=self.precision != torch.float32)


@dataclass(frozen=True)
class Sampling:
    """How an ODE is solved from a latent to its image.

    Attributes:
        steps: The number of steps of Heun's method.
        guidance: Classifier-free guidance; 1 is none (Ho & Salimans, 2021).
        churn: Noise that is added on the way (Karras et al., 2022, algorithm 2); 0 is none.
    """

    steps: int
    guidance: float = 1.0
    churn: float = 0.0

    @property
    def decoding_evaluations(self) -> int:
        """The velocities that decoding needs: two per step, and one in the last."""
        return 2 * self.steps - 1

    @property
    def encoding_evaluations(self) -> int:
        """The velocities that encoding needs: two per step."""
        return 2 * self.steps


# A latent unit is active if its code varies by more over images (Burda et al., 2016, section 5.2).
ACTIVE_VARIANCE = 0.01


@runtime_checkable
class HasEncoder(Protocol):
    """An objective that maps images to codes."""

    def encode(self, images: Tensor, labels: Tensor) -> Tensor:
        """Return codes (batch, latent_dim) of images in [-1, 1] with labels (batch, num_labels)."""
        ...


@runtime_checkable
class HasSampling(Protocol):
    """An objective that turns noise into an image step by step.

    Its latents are Gaussian noise with as many dimensions as an image, one for each image.
    """

    sampling: Sampling

    def denoising_path(self, latents: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        """Return the noisy image and its denoised estimate at every step.

        Both are (batch, steps + 1, channel, height, width); see `decode` for the arguments.
        """
        ...


@runtime_checkable
class HasPosterior(Protocol):
    """An objective whose encoder returns a Gaussian distribution over codes."""

    def posterior(self, images: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        """Return means and log-variances, both (batch, latent_dim).

        The images are in [-1, 1], the labels (batch, num_labels).
        """
        ...


@runtime_checkable
class HasLikelihood(Protocol):
    """An objective with a density of images, which importance sampling bounds."""

    def draw_weighted_codes(
        self, images: Tensor, labels: Tensor, noise: Tensor, *, training_mse: float
    ) -> tuple[Tensor, Tensor]:
        """Return codes z of q(z|x), and log p(x|z) - log q(z|x) in nats, in float64.

        With log p(z) of a prior, the latter are the logarithms of importance weights.

        Args:
            images: Images x in [-1, 1], (batch, channel, height, width).
            labels: Their labels, (batch, num_labels).
            noise: Draws from N(0, I), one per code, (batch, draws, latent_dim).
            training_mse: The mean squared error of training images. It fixes a variance that is
                otherwise estimated from each batch.

        Returns:
            The codes, (batch, draws, latent_dim), and the log-ratios, (batch, draws).
        """
        ...


@runtime_checkable
class HasDiscriminator(Protocol):
    """An objective that scores how real images look."""

    def discriminate(
        self,
        images: Tensor,
        labels: Tensor,
        *,
        reference: tuple[Tensor, Tensor] | None = None,
    ) -> Tensor:
        """Return scores (batch,) of images in [-1, 1]; a higher score means more real.

        The labels are (batch, num_labels). `reference` has the images and labels of a batch whose
        statistics batch norm uses; None is this batch.
        """
        ...


@contextmanager
def frozen(network: nn.Module) -> Iterator[None]:
    """Compute no gradients for this network's weights, a third of its backward pass."""
    network.requires_grad_(False)
    try:
        yield
    finally:
        network.requires_grad_(True)


@contextmanager
def use_batch_stats(network: nn.Module) -> Iterator[None]:
    """Normalize with the statistics of each batch, without updating running statistics."""
    norms = [module for module in network.modules() if isinstance(module, BATCH_NORMS)]
    before = [(norm.training, norm.track_running_stats) for norm in norms]
    for norm in norms:
        norm.training, norm.track_running_stats = True, False
    try:
        yield
    finally:
        for norm, (training, tracks) in zip(norms, before, strict=True):
            norm.training, norm.track_running_stats = training, tracks


@contextmanager
def use_stats_of(network: nn.Module, images: Tensor, labels: Tensor) -> Iterator[None]:
    """Normalize all batches with the statistics that these images have in each layer.

    The running statistics are restored afterwards.
    """
    norms = [module for module in network.modules() if isinstance(module, BATCH_NORMS)]
    before = []
    for norm in norms:
        state = {key: value.clone() for key, value in norm.state_dict().items()}
        before.append((norm.training, norm.momentum, state))
        norm.training, norm.momentum = True, 1.0
    try:
        network(images, labels)
        for norm in norms:
            norm.training = False
        yield
    finally:
        for norm, (training, momentum, state) in zip(norms, before, strict=True):
            norm.training, norm.momentum = training, momentum
            norm.load_state_dict(state)


def draw_latents(number: int, latent_dim: int, generator: torch.Generator) -> Tensor:
    """Return draws from N(0, I), (number, latent_dim), on the generator's device."""
    return torch.randn(number, latent_dim, generator=generator, device=generator.device)


def _with_prefix(tensors: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    """Return the tensors whose name starts with a prefix, without it."""
    found = {}
    for key, tensor in tensors.items():
        if key.startswith(prefix):
            found[key.removeprefix(prefix)] = tensor
    return found
