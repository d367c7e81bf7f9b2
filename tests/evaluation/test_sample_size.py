"""The bias of few samples: a known intercept, and Gaussians with a known distance."""

from __future__ import annotations

from statistics import mean

import pytest
import torch
from torch import Tensor

from latentbench.evaluation.features.feature_stats import FeatureStats, compute_feature_stats
from latentbench.evaluation.metrics.frechet import frechet_distance
from latentbench.evaluation.metrics.sample_size import distances_by_size, intercept

DIM = 24


def normal(number: int, seed: int, *, offset: float = 0.0) -> Tensor:
    return torch.randn(number, DIM, generator=torch.Generator().manual_seed(seed)) + offset


def true_statistics() -> FeatureStats:
    return FeatureStats(10**9, torch.zeros(DIM).double(), torch.eye(DIM).double())


def test_intercept_of_a_line() -> None:
    sizes = [250, 500, 1000, 2000]
    assert intercept(sizes, [3.0 + 40 / size for size in sizes]) == pytest.approx(3.0, abs=1e-12)


@pytest.mark.parametrize("offset", [0.0, 0.3])
def test_extrapolation_removes_the_bias_of_few_samples(offset: float) -> None:
    truth = DIM * offset**2
    errors, extrapolated = [], []
    for seed in range(12):
        features = normal(400, seed, offset=offset)
        found = distances_by_size(
            true_statistics(), features, generator=torch.Generator().manual_seed(seed)
        )
        assert found.num_samples == sorted(found.num_samples)
        assert found.num_samples[-1] == 400
        assert found.distances[-1] == pytest.approx(
            frechet_distance(true_statistics(), compute_feature_stats(features))
        )
        errors.append(found.distances[-1] - truth)
        extrapolated.append(found.infinite - truth)
    assert mean(errors) > 0.2
    assert abs(mean(extrapolated)) < mean(errors) / 5


def test_the_same_seed_draws_the_same_subsets() -> None:
    features = normal(400, seed=0)
    once, again = (
        distances_by_size(true_statistics(), features, generator=torch.Generator().manual_seed(1))
        for _ in range(2)
    )
    assert once == again
