"""Precision, recall, density and coverage: fidelity and diversity as separate numbers.

A feature's neighborhood is the ball with the k-th nearest feature of its own set on its surface.
Precision is the share of samples inside a neighborhood of a real image, recall the share of real
images inside one of a sample (Kynkäänniemi et al., 2019, section 2). Density is the number of real
neighborhoods around a sample divided by k, coverage the share of real images with a sample in their
neighborhood (Naeem et al., 2020, eq. 4 and 6); these two are robust to outliers.

The formulas are those of the `prdc` package. It computes three distance matrices in full for each
set of samples; here blocks are in memory at once, on the features' device, and the real images'
neighborhoods are computed once. For 5,000 images of 2,048 features prdc takes 27 s, ours 23 s after
11 s once, with equal results (AMD EPYC, 1 thread, benchmarks/overlap.py).
"""

from __future__ import annotations

import torch
from torch import Tensor

from latentbench.artifacts.metrics import PRDC
from latentbench.evaluation.metrics.knn import squared_distances

# Rows of a distance matrix in memory at once.
_BLOCK = 1_000


class PrecisionRecall:
    """The neighborhoods of real features, to which sets of samples are compared."""

    def __init__(self, real: Tensor, *, num_neighbors: int) -> None:
        """`real` (number, dim) holds more than `num_neighbors` (k) features."""
        # Distances do not depend on the origin, but their rounding errors do.
        self.origin = real.to(torch.float64).mean(dim=0)
        self.real = real.to(torch.float64) - self.origin
        self.num_neighbors = num_neighbors
        self.radii = _squared_radii(self.real, num_neighbors)

    def __call__(self, samples: Tensor) -> dict[str, float]:
        """Return PRDC of samples (number, dim), as many as there are real features."""
        samples = samples.to(self.real) - self.origin
        sample_radii = _squared_radii(samples, self.num_neighbors)
        counts = []  # per sample, the number of real neighborhoods around it
        is_recalled = torch.zeros(len(self.real), dtype=torch.bool, device=self.real.device)
        is_covered = torch.zeros_like(is_recalled)
        for block, radii in zip(samples.split(_BLOCK), sample_radii.split(_BLOCK), strict=True):
            distances = squared_distances(block, self.real)
            in_real = distances < self.radii
            counts.append(in_real.sum(dim=1))
            is_covered |= in_real.any(dim=0)
            is_recalled |= (distances < radii[:, None]).any(dim=0)
        number = torch.cat(counts).to(torch.float64)
        values = (number > 0, is_recalled, number / self.num_neighbors, is_covered)
        means = [value.double().mean().item() for value in values]
        return dict(zip(PRDC, means, strict=True))


def _squared_radii(features: Tensor, num_neighbors: int) -> Tensor:
    """Return the squared radius of each feature's neighborhood, (number,)."""
    radii = []
    for start in range(0, len(features), _BLOCK):
        distances = squared_distances(features[start : start + _BLOCK], features)
        rows = torch.arange(len(distances), device=features.device)
        distances[rows, start + rows] = torch.inf  # a feature is not its own neighbor
        radii.append(distances.kthvalue(num_neighbors, dim=1).values)
    return torch.cat(radii)
