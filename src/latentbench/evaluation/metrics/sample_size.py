"""The bias of the Fréchet distance in the number of samples, and its extrapolation."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from latentbench.evaluation.features.feature_stats import FeatureStats, compute_feature_stats
from latentbench.evaluation.metrics.frechet import frechet_distance

NUM_SIZES = 8
SMALLEST_FRACTION = 0.25  # of the samples
MIN_SAMPLES = 8  # so that the smallest subset has a covariance

# The distance is nearly linear in 1 / number from this many samples per dimension on. For Gaussians
# of 128 dimensions and 2.4 times as many samples, a line through larger subsets removes 87 % of the
# bias; one through subsets from a quarter on goes below the truth by half the bias.
SAMPLES_PER_DIM = 1.5
MIN_FITTED = 4  # sizes on the line


@dataclass(frozen=True)
class SampleSizes:
    """Distances of subsets of the same samples by size, and their extrapolation.

    `infinite` is the value at zero of the line through the distances of at least `fitted_from`
    samples over 1 / number. It is None where fewer than MIN_FITTED sizes are that large.
    """

    num_samples: list[int]
    distances: list[float]
    fitted_from: int
    infinite: float | None

    @classmethod
    def mean(cls, measured: Sequence[SampleSizes]) -> SampleSizes:
        """Return the means of what networks of equal dimension measured on the same samples."""
        first = measured[0]
        distances = np.mean([found.distances for found in measured], axis=0).tolist()
        limits = [found.infinite for found in measured if found.infinite is not None]
        infinite = statistics.mean(limits) if limits else None
        return cls(first.num_samples, distances, first.fitted_from, infinite)


def distances_by_size(
    real: FeatureStats, features: Tensor, *, generator: torch.Generator
) -> SampleSizes:
    """Measure random subsets of samples' features (number, dim), from a quarter to all.

    Each distance is the mean over disjoint subsets. A covariance of few samples makes the distance
    too large, by an amount nearly proportional to 1 / number. The line through the distances over 1
    / number has its intercept at infinitely many samples (Chong & Forsyth, 2020, section 3). With
    few samples per dimension the bias grows more slowly than 1 / number, so the line is fitted to
    subsets of at least SAMPLES_PER_DIM samples per dimension. The number of real images stays as it
    is. There must be at least MIN_SAMPLES samples.
    """
    number = len(features)
    sizes = np.linspace(SMALLEST_FRACTION * number, number, NUM_SIZES).round().astype(int).tolist()
    distances = []
    for size in sizes:
        order = torch.randperm(number, generator=generator).to(features.device)
        subsets = order[: number // size * size].split(size)
        of_subsets = []
        for subset in subsets:
            of_subsets.append(frechet_distance(real, compute_feature_stats(features[subset])))
        distances.append(statistics.mean(of_subsets))
    fitted_from = math.ceil(SAMPLES_PER_DIM * real.dim)
    first = int(np.searchsorted(sizes, fitted_from))
    infinite = None
    if len(set(sizes[first:])) >= MIN_FITTED:
        infinite = intercept(sizes[first:], distances[first:])
    return SampleSizes(sizes, distances, fitted_from, infinite)


def intercept(num_samples: list[int], distances: list[float]) -> float:
    """Return the value at zero of the least-squares line of the distances over 1 / num_samples."""
    inverse = 1 / np.asarray(num_samples, dtype=float)
    _, at_zero = np.polyfit(inverse, np.asarray(distances), deg=1)
    return float(at_zero)
