"""The interface of feature extractors, and the features of many images."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor

from latentbench.artifacts.progress import track
from latentbench.config.base import Compute
from latentbench.errors import DataError
from latentbench.runtime.device import prepare_compute

# Images per forward pass. It changes speed and memory, not the features.
BATCH_SIZE = 250


class FeatureExtractor(Protocol):
    """A fixed network that maps an image to features that do not depend on the rest of its batch.

    Features are on `float64_device` of the network's device, because metrics are in float64.
    """

    name: str
    # One sentence on all that the features depend on: resizing, network, layer.
    protocol: str
    dim: int

    def __call__(self, images: Tensor) -> Tensor:
        """Map uint8 (batch, height, width, channel) to float32 (batch, dim)."""
        ...


def prepare_measurement(compute: Compute, *, num_processes: int = 1) -> torch.device:
    """Do what `prepare_compute` does, and turn off TF32, on which distances would depend."""
    device = prepare_compute(compute, num_processes=num_processes)
    torch.set_float32_matmul_precision("highest")
    torch.backends.cudnn.allow_tf32 = False
    return device


def extract_features(
    extractor: FeatureExtractor,
    images: np.ndarray[Any, Any],
    *,
    rows: np.ndarray[Any, Any] | None = None,
) -> Iterator[Tensor]:
    """Yield the features (batch, dim) of the images, batch by batch; `images` may be memory-mapped.

    `rows` are ascending indices of the images to use, None for all.

    Raises:
        DataError: A feature is not finite.
    """
    number = len(images) if rows is None else len(rows)
    starts = range(0, number, BATCH_SIZE)
    for start in track(list(starts), f"{extractor.name} features", unit="batches"):
        batch = slice(start, start + BATCH_SIZE)
        chosen = images[batch] if rows is None else images[rows[batch]]
        features = extractor(torch.from_numpy(np.array(chosen)))
        require_finite(features, extractor)
        yield features


def require_finite(features: Tensor, extractor: FeatureExtractor) -> None:
    """Raise DataError where a feature is infinite or NaN."""
    if not bool(torch.isfinite(features).all()):
        raise DataError(
            f"The {extractor.name} network returns infinite or NaN features. Build the reference "
            "again; if the network was trained here, lower reference.learning_rate."
        )
