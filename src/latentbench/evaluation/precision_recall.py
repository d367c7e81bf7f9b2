"""Fidelity and diversity apart: how far neighborhoods of real and of generated features overlap.

A feature's neighborhood is the ball up to its k-th nearest among its own kind. Precision is the share of samples that
lie in a neighborhood of a real image, recall the share of real images that lie in one of a sample (Kynkäänniemi et
al., 2019, section 2). Density counts the neighborhoods that a sample lies in, over k, and coverage the real images
with a sample in their own (Naeem et al., 2020, equations 4 and 6): a single outlier cannot feign those two.
"""

from __future__ import annotations

import torch
from torch import Tensor

from latentbench.artifacts.metrics import PRDC
from latentbench.evaluation.knn import squared_distances

# Rows of a distance matrix that are in memory at once.
_BLOCK = 1_000


class PrecisionRecall:
    """Those of real features, with which sets of samples are compared."""

    def __init__(self, real: Tensor, *, num_neighbors: int) -> None:
        """`real` (number, dim), more than `num_neighbors` (k) of them."""
        # Distances do not depend on the origin, but their rounding does.
        self.origin = real.to(torch.float64).mean(dim=0)
        self.real = real.to(torch.float64) - self.origin
        self.num_neighbors = num_neighbors
        self.radii = _squared_radii(self.real, num_neighbors)

    def __call__(self, samples: Tensor) -> dict[str, float]:
        """OVERLAPS of samples (number, dim), best as many as there are real ones."""
        samples = samples.to(self.real) - self.origin
        sample_radii = _squared_radii(samples, self.num_neighbors)
        holding = []  # per sample, the number of real neighborhoods that it lies in
        is_recalled = torch.zeros(len(self.real), dtype=torch.bool, device=self.real.device)
        is_covered = torch.zeros_like(is_recalled)
        for block, radii in zip(samples.split(_BLOCK), sample_radii.split(_BLOCK), strict=True):
            distances = squared_distances(block, self.real)
            in_real = distances < self.radii
            holding.append(in_real.sum(dim=1))
            is_covered |= in_real.any(dim=0)
            is_recalled |= (distances < radii[:, None]).any(dim=0)
        number = torch.cat(holding).to(torch.float64)
        values = (number > 0, is_recalled, number / self.num_neighbors, is_covered)
        return {
            name: value.double().mean().item() for name, value in zip(PRDC, values, strict=True)
        }


def _squared_radii(features: Tensor, neighbors: int) -> Tensor:
    """Of each feature's neighborhood, (number,)."""
    radii = []
    for start in range(0, len(features), _BLOCK):
        distances = squared_distances(features[start : start + _BLOCK], features)
        rows = torch.arange(len(distances), device=features.device)
        distances[rows, start + rows] = torch.inf  # not itself
        radii.append(distances.kthvalue(neighbors, dim=1).values)
    return torch.cat(radii)
