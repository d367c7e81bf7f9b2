"""What the number of samples adds to a Fréchet distance, and what the distance would be without."""

from __future__ import annotations

import statistics
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from latentbench.evaluation.feature_stats import FeatureStats, compute_feature_stats
from latentbench.evaluation.frechet import frechet_distance

NUM_SIZES = 8
SMALLEST_SHARE = 0.25  # of the samples at hand
FEWEST_SAMPLES = 8  # so that the smallest set has a covariance


@dataclass(frozen=True)
class SampleSizes:
    """Distances of smaller and smaller sets of the same samples; `infinite` is what they tend to."""

    num_samples: list[int]
    distances: list[float]
    infinite: float


def distances_by_size(
    real: FeatureStats, features: Tensor, *, generator: torch.Generator
) -> SampleSizes:
    """Of the features (number, dim) of samples, and of random subsets of them: means over as many as are disjoint.

    The covariance of few samples makes the distance too large by an amount that is nearly proportional to 1 over their
    number; the straight line through the distances meets infinitely many samples at its intercept (Chong & Forsyth,
    2020, section 3). The number of real images is left as it is. There are at least FEWEST_SAMPLES.
    """
    number = len(features)
    sizes = np.linspace(SMALLEST_SHARE * number, number, NUM_SIZES).round().astype(int).tolist()
    distances = []
    for size in sizes:
        order = torch.randperm(number, generator=generator).to(features.device)
        subsets = order[: number // size * size].split(size)
        over_subsets = [
            frechet_distance(real, compute_feature_stats(features[chosen])) for chosen in subsets
        ]
        distances.append(statistics.mean(over_subsets))
    return SampleSizes(sizes, distances, intercept(sizes, distances))


def intercept(num_samples: list[int], distances: list[float]) -> float:
    """Of the least-squares line of the distances over 1 / num_samples, at zero."""
    _, at_zero = np.polyfit(1 / np.asarray(num_samples, dtype=float), np.asarray(distances), deg=1)
    return float(at_zero)
