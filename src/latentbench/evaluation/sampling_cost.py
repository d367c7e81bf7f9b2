"""What a sample costs: seconds and evaluations of networks, by the number of sampling steps."""

from __future__ import annotations

import statistics
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from torch import Tensor, nn

from latentbench.inference.model import Model
from latentbench.runtime.device import synchronize

_MAX_CALLS = 5
_MAX_SECONDS = 2.0  # no call is repeated after this


@dataclass(frozen=True)
class SamplingCost:
    """The cost of an image.

    Attributes:
        steps: The number of sampling steps; None for a model that samples in one step.
        evaluations: How often a network computed the image.
        seconds_per_image: The median wall time of a batch, divided by its images.
    """

    steps: int | None
    evaluations: float
    seconds_per_image: float


def measure_sampling(trained: Model, latents: Tensor, labels: Tensor) -> SamplingCost:
    """Return the cost of the images of latents (batch, latent_dim) with labels.

    The time is the median over up to five batches after a warm-up, or that of the warm-up if it
    took longer than two seconds.
    """
    latents, labels = latents.to(trained.device), labels.to(trained.device)

    def sample_batch() -> float:
        start = time.perf_counter()
        trained.objective.sample(latents, labels)
        synchronize(trained.device)
        return time.perf_counter() - start

    with _count_rows(trained.objective.networks().values()) as rows:
        warm_up = sample_batch()
    seconds: list[float] = []
    while len(seconds) < _MAX_CALLS and warm_up + sum(seconds) < _MAX_SECONDS:
        seconds.append(sample_batch())
    return SamplingCost(
        steps=trained.sampling.steps if trained.sampling else None,
        evaluations=sum(rows) / len(latents),
        seconds_per_image=statistics.median(seconds or [warm_up]) / len(latents),
    )


@contextmanager
def _count_rows(networks: Iterable[nn.Module]) -> Iterator[list[int]]:
    """Collect the batch size of each call of the networks within the context."""
    rows: list[int] = []

    def count(_: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        rows.append(len(inputs[0]))

    handles = [network.register_forward_pre_hook(count) for network in networks]
    try:
        yield rows
    finally:
        for handle in handles:
            handle.remove()
