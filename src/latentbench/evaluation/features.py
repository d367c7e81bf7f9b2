"""What a feature extractor is, and how images are put through one."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor

from latentbench.artifacts.progress import track
from latentbench.config.base import Compute
from latentbench.errors import DataError
from latentbench.runtime.device import prepare_compute

# Images that go through a network at once. It changes speed and memory, and no feature.
BATCH_SIZE = 250


class FeatureExtractor(Protocol):
    """A fixed network that maps an image to features, whatever else is in its batch."""

    name: str
    # One sentence that pins what a distance over these features depends on: resizing, network, layer.
    protocol: str
    dim: int

    def __call__(self, images: Tensor) -> Tensor:
        """uint8 (batch, height, width, channel) to float32 (batch, dim), on the extractor's device."""
        ...


def prepare_measurement(compute: Compute) -> torch.device:
    """As prepare_compute, in full float32: no distance should depend on a GPU's shortcuts."""
    device = prepare_compute(compute)
    torch.set_float32_matmul_precision("highest")
    torch.backends.cudnn.allow_tf32 = False
    return device


def extract(
    extractor: FeatureExtractor,
    images: np.ndarray[Any, Any],
    take: Callable[[Tensor], None],
    *,
    rows: np.ndarray[Any, Any] | None = None,
) -> None:
    """Give `take` the features (batch, dim) of the images, batch by batch; `images` may be memory-mapped.

    `rows` are the indices of those that are wanted, rising; None is all. Raises DataError where a feature is
    not finite.
    """
    number = len(images) if rows is None else len(rows)
    for batch in track(list(_slices(number)), f"{extractor.name} features", unit="batches"):
        chosen = images[batch] if rows is None else images[rows[batch]]
        features = extractor(torch.from_numpy(np.array(chosen)))
        require_finite(features, extractor)
        take(features)


def require_finite(features: Tensor, extractor: FeatureExtractor) -> None:
    if not bool(torch.isfinite(features).all()):
        raise DataError(
            f"The {extractor.name} network gives infinite or NaN features; build the reference again, "
            "with a lower reference.learning_rate if the network was trained here."
        )


def _slices(number: int) -> Iterator[slice]:
    for start in range(0, number, BATCH_SIZE):
        yield slice(start, start + BATCH_SIZE)
