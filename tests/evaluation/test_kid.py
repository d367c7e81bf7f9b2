"""The kernel distance: its formula, clean-fid, and unbiasedness."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from latentbench.evaluation.metrics.kid import KernelDistance, draw_subsets, polynomial_kernel


def normal(number: int, dim: int, seed: int, *, offset: float = 0.0) -> Tensor:
    return torch.randn(number, dim, generator=torch.Generator().manual_seed(seed)) + offset


def subsets_of(number: int, subsets: int, size: int, seed: int) -> Tensor:
    return draw_subsets(
        number, subsets=subsets, size=size, generator=torch.Generator().manual_seed(seed)
    )


def written_out(x: np.ndarray[Any, Any], y: np.ndarray[Any, Any]) -> float:
    """Equation 3 of Gretton et al. (2012) with loops; x and y (m, dim)."""

    def k(u: np.ndarray[Any, Any], v: np.ndarray[Any, Any]) -> float:
        return float((u @ v / len(u) + 1) ** 3)

    m = len(x)
    within = sum(k(s[i], s[j]) for s in (x, y) for i in range(m) for j in range(m) if i != j)
    between = sum(k(x[i], y[j]) for i in range(m) for j in range(m))
    return within / (m * (m - 1)) - 2 * between / m**2


def test_agrees_with_the_formula_on_each_subset() -> None:
    real, samples = normal(50, 5, seed=0), normal(40, 5, seed=1, offset=0.5)
    real_subsets, sample_subsets = subsets_of(50, 4, 12, seed=2), subsets_of(40, 4, 12, seed=3)
    found = KernelDistance(real, real_subsets)(samples, sample_subsets)
    expected = [
        written_out(samples[chosen].double().numpy(), real[own].double().numpy())
        for chosen, own in zip(sample_subsets, real_subsets, strict=True)
    ]
    np.testing.assert_allclose(found.numpy(), expected, rtol=1e-9, atol=1e-12)


def test_blocks_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    real, samples = normal(60, 6, seed=0), normal(45, 6, seed=1)
    subsets = subsets_of(60, 5, 20, seed=2), subsets_of(45, 5, 20, seed=3)
    whole = KernelDistance(real, subsets[0])(samples, subsets[1])
    monkeypatch.setattr("latentbench.evaluation.metrics.kid._BLOCK", 7)
    torch.testing.assert_close(
        KernelDistance(real, subsets[0])(samples, subsets[1]), whole, rtol=1e-11, atol=1e-13
    )


def test_agrees_with_cleanfid_within_its_spread(monkeypatch: pytest.MonkeyPatch) -> None:
    from cleanfid.fid import kernel_distance

    real, samples = normal(600, 32, seed=0), normal(500, 32, seed=1, offset=0.2)
    # clean-fid draws its subsets from NumPy's global state.
    monkeypatch.setattr(np.random, "choice", np.random.default_rng(0).choice)
    theirs = kernel_distance(real.numpy(), samples.numpy(), num_subsets=100, max_subset_size=200)
    ours = KernelDistance(real, subsets_of(600, 100, 200, seed=2))(
        samples, subsets_of(500, 100, 200, seed=3)
    )
    # Both are means of 100 draws; four standard errors of their difference.
    assert ours.mean().item() == pytest.approx(theirs, abs=4 * ours.std().item() * (2 / 100) ** 0.5)
    assert ours.mean() > 2 * ours.std()  # or any two sets would agree


def test_is_unbiased_on_one_distribution() -> None:
    """The mean over many independent sets is close to zero."""
    everyone = torch.arange(30)[None]
    values = torch.cat(
        [
            KernelDistance(normal(30, 4, seed=2 * i), everyone)(
                normal(30, 4, seed=2 * i + 1), everyone
            )
            for i in range(400)
        ]
    )
    assert abs(values.mean().item()) < 4 * values.std().item() / 20
    assert (values < 0).any()
    assert (values > 0).any()


def test_kernel_of_unit_vectors() -> None:
    unit = torch.eye(2).double()
    assert polynomial_kernel(unit, unit).tolist() == [[1.5**3, 1.0], [1.0, 1.5**3]]


def test_subsets_hold_no_image_twice_and_follow_their_seed() -> None:
    subsets = subsets_of(20, 8, 20, seed=0)
    assert (subsets.sort(dim=1).values == torch.arange(20)).all()
    assert torch.equal(subsets, subsets_of(20, 8, 20, seed=0))
    assert not torch.equal(subsets, subsets_of(20, 8, 20, seed=1))


def test_distance_grows_with_noise() -> None:
    clean = normal(400, 8, seed=0)
    noise = normal(400, 8, seed=1)
    everyone = torch.arange(400)[None]
    distance = KernelDistance(clean, everyone)
    values = [distance(clean + level * noise, everyone).item() for level in (0.3, 0.6, 1.0, 2.0)]
    assert values == sorted(values)
