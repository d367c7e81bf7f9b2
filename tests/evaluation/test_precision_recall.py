"""Precision, recall, density and coverage: definitions, and sets with known values."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from latentbench.artifacts.metrics import PRDC
from latentbench.evaluation.metrics.precision_recall import PrecisionRecall


def normal(number: int, dim: int, seed: int, *, offset: float = 0.0, scale: float = 1.0) -> Tensor:
    return scale * torch.randn(number, dim, generator=torch.Generator().manual_seed(seed)) + offset


def written_out(real: Tensor, samples: Tensor, k: int) -> dict[str, float]:
    """Pair by pair, by Euclidean distances."""
    x, y = real.double().numpy(), samples.double().numpy()

    def radius(one: np.ndarray, own: np.ndarray) -> float:
        return float(
            np.sort([np.linalg.norm(one - other) for other in own])[k]
        )  # the nearest is itself

    real_radii, sample_radii = [radius(one, x) for one in x], [radius(one, y) for one in y]
    between = [[float(np.linalg.norm(one - other)) for other in y] for one in x]
    in_real = np.array(
        [[between[i][j] < real_radii[i] for j in range(len(y))] for i in range(len(x))]
    )
    in_samples = np.array(
        [[between[i][j] < sample_radii[j] for j in range(len(y))] for i in range(len(x))]
    )
    return {
        "precision": in_real.any(axis=0).mean(),
        "recall": in_samples.any(axis=1).mean(),
        "density": in_real.sum(axis=0).mean() / k,
        "coverage": in_real.any(axis=1).mean(),
    }


@pytest.mark.parametrize(("k", "offset", "scale"), [(3, 0.5, 1.0), (5, 0.0, 0.4), (1, 0.3, 2.0)])
def test_agrees_with_the_definitions(k: int, offset: float, scale: float) -> None:
    real, samples = normal(60, 4, seed=0), normal(50, 4, seed=1, offset=offset, scale=scale)
    found = PrecisionRecall(real, num_neighbors=k)(samples)
    assert found == pytest.approx(written_out(real, samples, k), rel=1e-12)
    assert 0 < found["coverage"] < 1


def test_blocks_order_and_origin_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    real, samples = normal(70, 6, seed=0), normal(64, 6, seed=1, offset=0.2)
    whole = PrecisionRecall(real, num_neighbors=4)(samples)
    assert PrecisionRecall(real, num_neighbors=4)(samples.flip(0)) == pytest.approx(
        whole, rel=1e-12
    )
    assert PrecisionRecall(real + 1e3, num_neighbors=4)(samples + 1e3) == pytest.approx(
        whole, rel=1e-12
    )
    monkeypatch.setattr("latentbench.evaluation.metrics.precision_recall._BLOCK", 9)
    assert PrecisionRecall(real, num_neighbors=4)(samples) == pytest.approx(whole, rel=1e-12)


def test_a_set_against_itself() -> None:
    real = normal(80, 5, seed=0)
    found = PrecisionRecall(real, num_neighbors=3)(real)
    assert {found[name] for name in ("precision", "recall", "coverage")} == {1.0}


def test_one_mode_has_precision_without_recall() -> None:
    real = torch.cat([normal(100, 8, seed=0), normal(100, 8, seed=1, offset=50.0)])
    mode = real[:1].expand(100, -1) + normal(100, 8, seed=2, scale=1e-4)
    found = PrecisionRecall(real, num_neighbors=5)(mode)
    assert found["precision"] == 1.0
    assert found["recall"] < 0.02
    assert found["coverage"] < 0.2
    # Of one of two modes, half is recalled of what a whole set would be.
    both = PrecisionRecall(real, num_neighbors=5)(
        torch.cat([normal(100, 8, seed=3), normal(100, 8, seed=4, offset=50.0)])
    )
    half = PrecisionRecall(real, num_neighbors=5)(normal(200, 8, seed=3))
    assert half["recall"] == pytest.approx(both["recall"] / 2, rel=0.1)


def test_copies_of_one_image() -> None:
    real = normal(40, 3, seed=0)
    found = PrecisionRecall(real, num_neighbors=5)(real[:1].expand(40, -1))
    assert found["recall"] == 0.0
    assert set(found) == set(PRDC)


def test_an_outlier_raises_precision_but_not_density() -> None:
    real = torch.cat(
        [normal(200, 2, seed=0), torch.full((1, 2), 20.0)]
    )  # its neighborhood reaches the others
    found = PrecisionRecall(real, num_neighbors=5)(normal(200, 2, seed=1, offset=10.0))
    assert found["precision"] == 1.0
    assert found["density"] == pytest.approx(1 / 5)
    alike = PrecisionRecall(normal(300, 2, seed=0), num_neighbors=5)(normal(300, 2, seed=1))
    assert alike["density"] == pytest.approx(1.0, abs=0.15)
