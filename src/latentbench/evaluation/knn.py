"""Distances between features, and the nearest of many, a block at a time."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from torch import Tensor

Rows = np.ndarray[Any, Any]

# Rows of either side whose distances are in memory at once.
_BLOCK = 1_000


def squared_distances(x: Tensor, y: Tensor) -> Tensor:
    """Of all pairs of rows."""
    return (x.square().sum(dim=1)[:, None] + y.square().sum(dim=1) - 2 * (x @ y.T)).clamp_(min=0)


def nearest(features: Tensor, real: Rows, *, number: int) -> tuple[Tensor, Tensor]:
    """The `number` nearest rows of `real` (images, dim) to each of the features (samples, dim).

    Returns their Euclidean distances, float64 (samples, number), rising, and their indices, both on the features'
    device. `real` may be memory-mapped: of either side a block is in memory at once, in float64.
    """
    # Distances do not depend on the origin, but their rounding does.
    origin = _block(real, slice(0, 1), features)
    found = features.new_full((len(features), number), torch.inf, dtype=torch.float64)
    indices = torch.zeros(found.shape, dtype=torch.int64, device=features.device)
    for own in _slices(len(real)):
        theirs = _block(real, own, features) - origin
        for part in _slices(len(features)):
            between = squared_distances(features[part].to(torch.float64) - origin, theirs)
            closest, places = between.topk(min(number, len(theirs)), largest=False)
            found[part], chosen = torch.cat([found[part], closest], dim=1).topk(
                number, largest=False
            )
            indices[part] = torch.cat([indices[part], places + own.start], dim=1).gather(1, chosen)
    return _exact(features, real, indices)


def _exact(features: Tensor, real: Rows, indices: Tensor) -> tuple[Tensor, Tensor]:
    """Distances by differences: a copy's is zero, where the expanded square leaves a rounding error."""
    distances = []
    for part in _slices(len(features)):
        theirs = torch.from_numpy(np.array(real[indices[part].cpu().numpy()])).to(
            features.device, torch.float64
        )
        distances.append(
            (features[part, None].to(torch.float64) - theirs).square().sum(dim=2).sqrt()
        )
    exact, order = torch.cat(distances).sort(dim=1, stable=True)
    return exact, indices.gather(1, order)


def _block(real: Rows, rows: slice, features: Tensor) -> Tensor:
    return torch.from_numpy(np.array(real[rows])).to(features.device, torch.float64)


def _slices(number: int) -> Iterator[slice]:
    for start in range(0, number, _BLOCK):
        yield slice(start, min(start + _BLOCK, number))
