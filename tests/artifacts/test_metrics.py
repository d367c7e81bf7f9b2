"""Means and standard deviations over sets of images and over networks."""

from __future__ import annotations

import math

import numpy as np
import pytest

from latentbench.artifacts.metrics import mean_and_std, variance


def test_values_of_sets_have_their_mean_and_standard_deviation() -> None:
    assert mean_and_std("fid", [1.0, 2.0, 6.0]) == {"fid": 3.0, "fid_std": pytest.approx(7**0.5)}
    assert mean_and_std("fid", [4.0]) == {"fid": 4.0, "fid_std": None}
    # NaN where a set has no value.
    assert mean_and_std("fid", [math.nan, 4.0]) == {"fid": 4.0, "fid_std": None}
    assert mean_and_std("fid", [math.nan]) == {"fid": None, "fid_std": None}


def test_one_set_has_the_spread_over_networks() -> None:
    found = mean_and_std("fid", [[1.0, 2.0, 6.0]])
    assert found == {"fid": 3.0, "fid_std": pytest.approx(7**0.5)}


@pytest.mark.parametrize("shape", [(3, 1), (1, 3), (3, 3), (4, 2)])
def test_the_variance_is_that_of_a_new_set_and_network(shape: tuple[int, int]) -> None:
    """Mean over simulated tables against the sum of the variances of their effects."""
    rng = np.random.default_rng(0)
    rows, columns = shape
    number = 4_000
    tables = 2 * rng.normal(size=(number, *shape))
    expected = 4.0
    if rows > 1:
        tables += 3 * rng.normal(size=(number, rows, 1))
        expected += 9
    if columns > 1:
        tables += rng.normal(size=(number, 1, columns))
        expected += 1
    found = np.array([variance(table) for table in tables])
    # Four standard errors.
    assert found.mean() == pytest.approx(expected, abs=4 * found.std() / number**0.5)
    assert (found >= 0).all()
