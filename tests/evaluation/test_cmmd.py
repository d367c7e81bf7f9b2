"""CMMD against closed forms and the formula of its authors' code."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from latentbench.evaluation.metrics import cmmd
from latentbench.evaluation.metrics.cmmd import BANDWIDTH, CMMD, SCALE, gaussian_kernel_mean


def draw(number: int, dim: int, seed: int) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(number, dim, generator=generator, dtype=torch.float64)


def unit_length(features: Tensor) -> Tensor:
    return features / features.norm(dim=1, keepdim=True)


def test_two_points_by_hand() -> None:
    real, sample = torch.tensor([[0.0, 0.0]]), torch.tensor([[3.0, 4.0]])
    expected = 1_000 * (2 - 2 * math.exp(-(5**2) / (2 * 10**2)))
    assert CMMD(real)(sample) == pytest.approx(expected)


def test_three_points_by_hand() -> None:
    real, samples = torch.tensor([[0.0], [2.0]]), torch.tensor([[1.0]])
    near, far = math.exp(-1 / 200), math.exp(-4 / 200)
    expected = 1_000 * ((2 + 2 * far) / 4 + 1 - 2 * near)
    assert CMMD(real)(samples) == pytest.approx(expected)


def test_the_formula_of_the_authors_code() -> None:
    """Three means over all pairs, of kernels from squared norms and products."""
    x, y = unit_length(draw(70, 16, seed=0)), unit_length(draw(50, 16, seed=1) + 0.3)

    def mean(a: Tensor, b: Tensor) -> Tensor:
        squares = (a @ a.T).diag()[:, None] + (b @ b.T).diag()[None]
        return torch.exp(-(squares - 2 * a @ b.T) / (2 * 10**2)).mean()

    expected = 1_000 * (mean(x, x) + mean(y, y) - 2 * mean(x, y))
    assert CMMD(x)(y) == pytest.approx(expected.item(), rel=1e-9)
    assert CMMD(x.float())(y.float()) == pytest.approx(expected.item(), rel=1e-3)


def test_two_gaussians_in_closed_form() -> None:
    """E k = (b² / (b² + s²))^(d/2) exp(-m² / (2 (b² + s²))) for x - y from N(m, s² I)."""
    number, dim, bandwidth = 3_000, 3, 2.0
    x, y = draw(number, dim, seed=0), 0.5 * draw(number, dim, seed=1) + 1

    def expected(variance: float, squared_mean: float) -> float:
        total = bandwidth**2 + variance
        return (bandwidth**2 / total) ** (dim / 2) * math.exp(-squared_mean / (2 * total))

    closed = [expected(2, 0), expected(0.5, 0), expected(1.25, dim)]
    for (a, b), mean in zip(((x, x), (y, y), (x, y)), closed, strict=True):
        rows = (-torch.cdist(a, b).square() / (2 * bandwidth**2)).exp().mean(dim=1)
        error = 2 * rows.std().item() / number**0.5
        found = gaussian_kernel_mean(a, b, bandwidth=bandwidth)
        # A pair of a row with itself has the kernel 1.
        assert found == pytest.approx(mean, abs=5 * error + 1 / number)
        assert error < 0.01


def test_blocks_do_not_change_it(monkeypatch: pytest.MonkeyPatch) -> None:
    x, y = draw(45, 8, seed=0), draw(31, 8, seed=1)
    whole = CMMD(x)(y)
    monkeypatch.setattr(cmmd, "_BLOCK", 7)
    assert CMMD(x)(y) == pytest.approx(whole, rel=1e-9)


def test_it_is_zero_for_equal_sets_and_its_bias_is_bounded() -> None:
    x, y = unit_length(draw(400, 4, seed=0)), unit_length(draw(400, 4, seed=1))
    assert CMMD(x)(x) == pytest.approx(0, abs=1e-9)

    def unbiased_within(features: Tensor) -> float:
        number = len(features)
        mean = gaussian_kernel_mean(features, features)
        return (number * mean - 1) / (number - 1)

    cross = gaussian_kernel_mean(x, y)
    unbiased = SCALE * (unbiased_within(x) + unbiased_within(y) - 2 * cross)
    assert 0 < CMMD(x)(y) - unbiased < 40 / 400
    assert BANDWIDTH == 10
