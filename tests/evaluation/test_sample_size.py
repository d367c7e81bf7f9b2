"""The bias of few samples: a known intercept, and Gaussians with a known distance."""

from __future__ import annotations

from statistics import mean

import pytest
import torch
from torch import Tensor

from latentbench.evaluation.features.feature_stats import FeatureStats, compute_feature_stats
from latentbench.evaluation.metrics.frechet import frechet_distance
from latentbench.evaluation.metrics.sample_size import (
    MIN_FITTED,
    SAMPLES_PER_DIM,
    SampleSizes,
    distances_by_size,
    intercept,
)

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
        assert found.infinite is not None
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


def measure(number: int, *, dim: int = 64, seed: int = 0) -> tuple[SampleSizes, float]:
    """Distances of samples of N(m, 0.85² I) to N(0, I), and the true one, in closed form."""
    features = 0.85 * torch.randn(number, dim, generator=torch.Generator().manual_seed(seed)) + 0.1
    real = FeatureStats(10**9, torch.zeros(dim).double(), torch.eye(dim).double())
    generator = torch.Generator().manual_seed(seed)
    found = distances_by_size(real, features, generator=generator)
    return found, dim * (0.1**2 + (1 - 0.85) ** 2)


def test_few_samples_per_dimension_do_not_bend_the_line() -> None:
    """5,000 samples of 2,048 features, in small: the error is far below the plain distance's."""
    plain, lines, through_all = [], [], []
    for seed in range(8):
        found, truth = measure(156, seed=seed)
        assert found.infinite is not None
        plain.append(found.distances[-1] - truth)
        lines.append(found.infinite - truth)
        through_all.append(intercept(found.num_samples, found.distances) - truth)
    # The standard error of either mean is below a tenth of these bounds.
    assert mean(plain) > 4
    assert abs(mean(lines)) < mean(plain) / 4
    assert mean(through_all) < -mean(plain) / 3


def test_too_few_sizes_have_no_line() -> None:
    for number, has_line in ((80, False), (130, False), (156, True), (640, True)):
        found, _ = measure(number)
        fitted = [size for size in found.num_samples if size >= SAMPLES_PER_DIM * 64]
        assert (found.infinite is not None) is has_line is (len(fitted) >= MIN_FITTED)
        assert found.fitted_from == 96
        assert len(found.distances) == len(found.num_samples)
