"""Statistics and Fréchet distance: closed forms, invariances, and clean-fid."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from latentbench.artifacts.tensors import write_tensors
from latentbench.errors import ArtifactError
from latentbench.evaluation.features.feature_stats import (
    FeatureStats,
    Moments,
    compute_feature_stats,
)
from latentbench.evaluation.metrics.frechet import frechet_distance

CPU = torch.device("cpu")


def features(number: int, dim: int, seed: int, *, offset: float = 0.0) -> Tensor:
    """Correlated, with variances over four orders of magnitude, as a network's are."""
    generator = torch.Generator().manual_seed(seed)
    mix = torch.randn(dim, dim, generator=generator) / dim**0.5 + torch.eye(dim)
    scale = torch.logspace(1, -1, dim)
    return (torch.randn(number, dim, generator=generator) @ mix) * scale + offset


def gaussian(mean: list[float], covariance: list[list[float]]) -> FeatureStats:
    return FeatureStats(10**6, torch.tensor(mean).double(), torch.tensor(covariance).double())


def cleanfid_distance(a: Tensor, b: Tensor) -> float:
    from cleanfid.fid import frechet_distance as reference

    moments = [
        (x.double().numpy().mean(axis=0), np.cov(x.double().numpy(), rowvar=False)) for x in (a, b)
    ]
    return float(reference(*moments[0], *moments[1]))


def test_equal_covariances_leave_the_squared_distance_of_the_means() -> None:
    covariance = [[2.0, 0.5], [0.5, 1.0]]
    distance = frechet_distance(gaussian([0, 0], covariance), gaussian([3, 4], covariance))
    assert distance == pytest.approx(25, rel=1e-12)


def test_diagonal_gaussians_differ_by_their_standard_deviations() -> None:
    a = gaussian([0, 0, 1], [[1, 0, 0], [0, 4, 0], [0, 0, 9]])
    b = gaussian([0, 0, 0], [[4, 0, 0], [0, 4, 0], [0, 0, 1]])
    assert frechet_distance(a, b) == pytest.approx(1 + (1 - 2) ** 2 + 0 + (3 - 1) ** 2, rel=1e-12)


def test_the_distance_of_equal_statistics_is_zero() -> None:
    own = compute_feature_stats(features(300, 40, seed=0))
    scale = float(own.covariance.trace())
    assert 0 <= frechet_distance(own, own) < 1e-10 * scale
    assert 0 <= frechet_distance(own.with_root(), own) < 1e-10 * scale


# SciPy warns of singular products, but its root is accurate here.
@pytest.mark.filterwarnings("ignore:Matrix is singular")
@pytest.mark.parametrize("number", [600, 65, 64, 30, 2], ids=lambda number: f"{number} of 64")
def test_agrees_with_cleanfid(number: int) -> None:
    a, b = features(900, 64, seed=1), features(number, 64, seed=2, offset=0.1)
    expected = cleanfid_distance(a, b)
    for one, other in ((a, b), (b, a)):
        assert frechet_distance(
            compute_feature_stats(one), compute_feature_stats(other)
        ) == pytest.approx(expected, rel=1e-6)


def test_agrees_with_cleanfid_where_both_covariances_are_singular() -> None:
    a, b = features(40, 64, seed=1), features(30, 64, seed=2)
    distance = frechet_distance(compute_feature_stats(a), compute_feature_stats(b))
    assert distance == pytest.approx(cleanfid_distance(a, b), rel=1e-6)


def test_singular_covariances_are_compared_exactly() -> None:
    """With centered samples X and Y, tr (ΣₐΣ_b)^½ is the nuclear norm of X Yᵀ."""
    a, b = features(40, 64, seed=1).double(), features(30, 64, seed=2).double()
    x, y = ((sample - sample.mean(dim=0)) / (len(sample) - 1) ** 0.5 for sample in (a, b))
    trace_of_root = torch.linalg.svdvals(x @ y.T).sum()
    step = (a.mean(dim=0) - b.mean(dim=0)).square().sum()
    expected = step + x.square().sum() + y.square().sum() - 2 * trace_of_root
    distance = frechet_distance(compute_feature_stats(a), compute_feature_stats(b))
    assert distance == pytest.approx(expected.item(), rel=1e-11)


def test_a_stored_root_changes_nothing() -> None:
    a, b = (
        compute_feature_stats(features(200, 32, seed=1)),
        compute_feature_stats(features(150, 32, seed=2)),
    )
    plain = frechet_distance(a, b)
    assert frechet_distance(a.with_root(), b) == pytest.approx(plain, rel=1e-10)
    assert frechet_distance(a, b.with_root()) == pytest.approx(plain, rel=1e-10)


def test_root_times_its_transpose_is_the_covariance() -> None:
    for number in (200, 20):
        statistics = compute_feature_stats(features(number, 32, seed=3)).with_root()
        assert statistics.root is not None
        assert statistics.root.shape == (32, min(number - 1, 32))
        torch.testing.assert_close(statistics.root @ statistics.root.T, statistics.covariance)


def test_different_dimensions_are_refused() -> None:
    with pytest.raises(ValueError, match="different extractors"):
        frechet_distance(
            compute_feature_stats(features(9, 4, seed=0)),
            compute_feature_stats(features(9, 5, seed=0)),
        )


@pytest.mark.parametrize("batch", [1, 7, 1000])
def test_statistics_ignore_batches_and_order(batch: int) -> None:
    """Far from the origin, where the difference of two moments would cancel."""
    whole = features(500, 16, seed=4, offset=1e4).double()
    moments = Moments(16)
    for part in whole.flip(0).split(batch):
        moments.update(part)
    expected = np.cov(whole.numpy(), rowvar=False)
    found = moments.compute()
    assert found.count == 500
    np.testing.assert_allclose(found.mean.numpy(), whole.numpy().mean(axis=0), rtol=1e-13)
    np.testing.assert_allclose(found.covariance.numpy(), expected, rtol=1e-9, atol=1e-10)


def test_merged_statistics_are_those_of_all() -> None:
    whole = features(301, 16, seed=5)
    parts = [Moments(16) for _ in range(3)]
    for moments, part in zip(parts, (whole[:100], whole[100:101], whole[101:]), strict=True):
        moments.update(part)
    merged = Moments(16)
    for moments in parts:
        merged.merge(moments)
    merged.merge(Moments(16))
    expected = compute_feature_stats(whole)
    torch.testing.assert_close(merged.compute().mean, expected.mean, rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(
        merged.compute().covariance, expected.covariance, rtol=1e-10, atol=1e-10
    )


def test_one_feature_has_no_covariance() -> None:
    for number in (0, 1):
        with pytest.raises(ValueError, match=f"at least two features, not {number}"):
            compute_feature_stats(torch.zeros(number, 3))


def test_saved_statistics_have_the_same_bits(tmp_path: Path) -> None:
    saved = compute_feature_stats(features(50, 8, seed=6)).with_root()
    saved.save(tmp_path / "statistics.safetensors")
    loaded = FeatureStats.load(tmp_path / "statistics.safetensors", device=CPU)
    assert loaded.count == saved.count
    assert loaded.root is not None
    assert saved.root is not None
    for name in ("mean", "covariance", "root"):
        assert torch.equal(getattr(loaded, name), getattr(saved, name))


def test_a_file_of_something_else_is_refused(tmp_path: Path) -> None:
    write_tensors(tmp_path / "other.safetensors", {"weight": torch.zeros(2)}, {"format": 1})
    with pytest.raises(ArtifactError, match="does not hold feature statistics"):
        FeatureStats.load(tmp_path / "other.safetensors", device=CPU)


def test_distance_grows_with_noise() -> None:
    clean = features(2000, 16, seed=7)
    noise = torch.randn(clean.shape, generator=torch.Generator().manual_seed(8))
    distances = [
        frechet_distance(compute_feature_stats(clean), compute_feature_stats(clean + level * noise))
        for level in (0.0, 0.1, 0.3, 1.0, 3.0)
    ]
    assert distances == sorted(distances)
    assert distances[1] > 0
