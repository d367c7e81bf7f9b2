"""Metrics against the packages that are commonly used, on the same features."""

from __future__ import annotations

import contextlib
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from latentbench.evaluation.features.feature_stats import compute_feature_stats
from latentbench.evaluation.metrics.frechet import frechet_distance
from latentbench.evaluation.metrics.kid import KernelDistance, draw_subsets
from latentbench.evaluation.metrics.precision_recall import PrecisionRecall

DIM = 48
Array = np.ndarray[Any, Any]


def features(number: int, seed: int, *, offset: float = 0.0, scale: float = 1.0) -> Tensor:
    """Float64, correlated, with variances over two orders of magnitude."""
    generator = torch.Generator().manual_seed(seed)
    shared = torch.Generator().manual_seed(99)
    mix = torch.randn(DIM, DIM, generator=shared, dtype=torch.float64) / DIM**0.5
    drawn = torch.randn(number, DIM, generator=generator, dtype=torch.float64)
    return scale * (drawn * torch.logspace(0.5, -0.5, DIM, dtype=torch.float64)) @ mix + offset


@pytest.fixture
def sides() -> tuple[Tensor, Tensor]:
    """Real features, and samples that are a little off and a little narrow."""
    return features(600, seed=0), features(500, seed=1, offset=0.1, scale=0.9)


def subsets_of(number: int, seed: int) -> Tensor:
    return draw_subsets(number, subsets=20, size=150, generator=torch.Generator().manual_seed(seed))


def test_precision_recall_agrees_with_prdc() -> None:
    import prdc

    real, samples = features(500, seed=0), features(500, seed=1, offset=0.1, scale=0.9)
    for neighbors in (1, 3, 5, 10):
        with contextlib.redirect_stdout(None):  # it prints how many there are
            expected = prdc.compute_prdc(real.numpy(), samples.numpy(), nearest_k=neighbors)
        found = PrecisionRecall(real, num_neighbors=neighbors)(samples)
        assert found == pytest.approx(
            {name: float(value) for name, value in expected.items()}, rel=1e-6
        )
        assert 0 < found["recall"] < found["precision"] <= 1


def test_frechet_distance_agrees_with_both(sides: tuple[Tensor, Tensor]) -> None:
    from cleanfid.fid import fid_from_feats
    from torch_fidelity.metric_fid import fid_features_to_statistics, fid_statistics_to_metric

    real, samples = sides
    found = frechet_distance(compute_feature_stats(real), compute_feature_stats(samples))
    assert found == pytest.approx(fid_from_feats(real.numpy(), samples.numpy()), rel=1e-6)
    theirs = fid_statistics_to_metric(
        *(fid_features_to_statistics(side) for side in sides), verbose=False
    )
    assert found == pytest.approx(theirs["frechet_inception_distance"], rel=1e-6)


def test_kernel_distance_agrees_with_torch_fidelity(
    sides: tuple[Tensor, Tensor],
) -> None:
    from torch_fidelity.metric_kid import kernel_poly, mmd2

    real, samples = sides
    own, theirs = subsets_of(len(real), seed=2), subsets_of(len(samples), seed=3)
    found = KernelDistance(real, own)(samples, theirs)
    settings = {
        "kid_kernel_poly_degree": 3,
        "kid_kernel_poly_gamma": None,
        "kid_kernel_poly_coef0": 1,
    }
    expected = []
    for x, y in zip(real[own].numpy(), samples[theirs].numpy(), strict=True):
        kernels = [kernel_poly(a, b, **settings) for a, b in ((x, x), (x, y), (y, y))]
        expected.append(mmd2(*kernels))
    np.testing.assert_allclose(found.numpy(), expected, rtol=1e-6)


def test_kernel_distance_agrees_with_cleanfid(
    sides: tuple[Tensor, Tensor], monkeypatch: pytest.MonkeyPatch
) -> None:
    from cleanfid.fid import kernel_distance

    real, samples = sides
    own, theirs = subsets_of(len(real), seed=2), subsets_of(len(samples), seed=3)
    # It draws from NumPy's global state, a subset of its second argument before one of its first.
    draws = iter([rows.numpy() for pair in zip(theirs, own, strict=True) for rows in pair])
    monkeypatch.setattr(np.random, "choice", lambda number, size, replace: next(draws))
    expected = kernel_distance(real.numpy(), samples.numpy(), num_subsets=20, max_subset_size=150)
    found = KernelDistance(real, own)(samples, theirs).mean().item()
    assert found == pytest.approx(float(expected), rel=1e-6)
