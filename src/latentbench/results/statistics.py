"""Tests over repeated trainings and over images, with Shaffer's correction."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from scipy import special  # scipy.stats would take a second to import

Array = np.ndarray[Any, np.dtype[np.float64]]

_ROUNDING = 1e-12  # a variance of a difference that is smaller relative to its parts is none
LEVEL = 0.05  # of a test, and of all tests of a study by one quantity together


@dataclass(frozen=True)
class Comparison:
    """The test of a difference of two means.

    `difference` is the first mean less the second, `low` and `high` are its 95 % confidence
    interval, of this difference alone. `p_value` is corrected for `num_comparisons`. `effect_size`
    is Hedges' g; NaN where it was not computed.
    """

    difference: float
    low: float
    high: float
    p_value: float
    num_comparisons: int
    effect_size: float = np.nan

    @property
    def is_significant(self) -> bool:
        """Whether the corrected p value is at most 5 %."""
        return self.p_value <= LEVEL

    def reverse(self) -> Comparison:
        """Return the comparison of the second mean with the first."""
        return replace(
            self,
            difference=-self.difference,
            low=-self.high,
            high=-self.low,
            effect_size=-self.effect_size,
        )


@dataclass(frozen=True)
class PairTests:
    """Comparisons of all pairs of k groups as arrays (..., k (k - 1) / 2).

    Pairs are in the order of `np.triu_indices(k, 1)`. Values are NaN where there is no test.
    """

    difference: Array
    low: Array
    high: Array
    p_value: Array
    effect_size: Array

    def comparisons(self) -> dict[tuple[int, int], Comparison]:
        """Return the tests by pair of places, for arrays with a single axis."""
        num_groups = round((1 + np.sqrt(1 + 8 * len(self.p_value))) / 2)
        first, second = np.triu_indices(num_groups, 1)
        tested = np.flatnonzero(np.isfinite(self.p_value))
        found = {}
        for place in tested:
            found[int(first[place]), int(second[place])] = Comparison(
                float(self.difference[place]),
                float(self.low[place]),
                float(self.high[place]),
                float(self.p_value[place]),
                len(tested),
                float(self.effect_size[place]),
            )
        return found


def compare_trainings(
    means: ArrayLike, stds: ArrayLike, numbers: ArrayLike, covariances: Array | None = None
) -> PairTests:
    """Return Welch's test of all pairs of groups of trainings, corrected by Shaffer's method.

    Means, standard deviations (ddof 1) and numbers of trainings have shape (..., k). A pair has no
    test if one of the two has a single training, whose spread is unknown, or if neither varies.
    Two groups of the same trainings, under two priors, have a covariance (..., k, k): their test is
    the paired t test. It is 0 for groups of different trainings.

    The statistic is Welch's: the difference, divided by √(s₁²/n₁ + s₂²/n₂). Its distribution is
    compared with Student's t with min(n₁, n₂) - 1 degrees of freedom. The test then has at most the
    stated rate of false positives for normal scores with any two variances (Mickey & Brown, 1966,
    Bounds on the distribution functions of the Behrens-Fisher statistic). Welch's own approximation
    of the degrees of freedom has more for so few trainings: at a level of 5 % up to 10 % with 2
    and 5, and at the first level of the correction over 21 pairs up to 2.6 times it with 3 each.
    """
    shape = np.broadcast_shapes(*(np.shape(values) for values in (means, stds, numbers)))
    mean, std, number = (
        np.broadcast_to(np.asarray(values, dtype=np.float64), shape)
        for values in (means, stds, numbers)
    )
    first, second = np.triu_indices(shape[-1], 1)
    difference = mean[..., first] - mean[..., second]
    n1, n2 = number[..., first], number[..., second]
    s1, s2 = std[..., first], std[..., second]
    independent = s1**2 / n1 + s2**2 / n2
    variance = independent
    if covariances is not None:
        variance = independent - 2 * covariances[..., first, second] / n1
    is_tested = (np.minimum(n1, n2) > 1) & (variance > _ROUNDING * independent)
    is_tested &= np.isfinite(difference)
    error = np.sqrt(np.where(is_tested, variance, np.nan))
    freedom = np.where(is_tested, np.minimum(n1, n2) - 1, np.nan)
    p_value, reach = _t_test(difference, error, freedom)
    pooled = n1 + n2 - 2
    with np.errstate(invalid="ignore", divide="ignore"):
        spread = np.sqrt(((n1 - 1) * s1**2 + (n2 - 1) * s2**2) / pooled)
        effect = np.where(is_tested, _small_sample_factor(pooled) * difference / spread, np.nan)
    return PairTests(
        difference, difference - reach, difference + reach, correct_pairs(p_value), effect
    )


def compare_images(errors: Array) -> PairTests:
    """Return the paired t test of all pairs of k models, corrected by Shaffer's method.

    `errors` has shape (images, k). Those in a row are of the same image, so the spread is that of
    their differences. Pairs whose differences do not vary have no test.
    """
    number, num_models = errors.shape
    first, second = np.triu_indices(num_models, 1)
    means = errors.mean(axis=0)
    mean = means[first] - means[second]
    if number < 2:
        unknown = np.full_like(mean, np.nan)
        return PairTests(mean, unknown, unknown, unknown, unknown)
    # From covariances: the differences of all pairs of many models do not fit into memory.
    covariance = np.atleast_2d(np.cov(errors, rowvar=False))
    both = covariance[first, first] + covariance[second, second]
    variance = both - 2 * covariance[first, second]
    is_tested = variance > _ROUNDING * (both + means[first] ** 2 + means[second] ** 2)
    error = np.sqrt(np.where(is_tested, variance, np.nan) / number)
    p_value, reach = _t_test(mean, error, number - 1)
    return PairTests(
        mean, mean - reach, mean + reach, correct_pairs(p_value), np.full_like(mean, np.nan)
    )


def correct_pairs(p_values: ArrayLike) -> Array:
    """Return p values of all pairs of k means, (..., k (k - 1) / 2), corrected for each other.

    NaN is no test. The smallest is multiplied by the number of tests, each next one by the largest
    number of differences that can still be 0 (Shaffer, 1986, procedure 1), as in Holm's method,
    whose factors decrease by one. If one of three means differs, so does a second pair: the factors
    are 3, 1 and 1. No corrected value is below an earlier one nor above 1. The probability of any
    false positive among them is then at most the level.
    """
    values = np.asarray(p_values, dtype=np.float64)
    num_pairs = values.shape[-1]
    num_means = round((1 + np.sqrt(1 + 8 * num_pairs)) / 2)
    first, second = np.triu_indices(num_means, 1)
    is_tested = np.isfinite(values)
    # Means without a test have no part in what can be 0.
    tested = np.zeros((*values.shape[:-1], num_means), dtype=np.bool_)
    for mean in range(num_means):
        tested[..., mean] = is_tested[..., (first == mean) | (second == mean)].any(axis=-1)
    possible = np.stack([_possible_factors(number, num_pairs) for number in range(num_means + 1)])
    untested = is_tested.sum(axis=-1, keepdims=True) - np.arange(num_pairs)
    factors = np.minimum(possible[tested.sum(axis=-1)], untested)
    order = np.argsort(values, axis=-1)  # NaN last
    ascending = np.take_along_axis(values, order, axis=-1)
    corrected = np.maximum.accumulate(np.minimum(ascending * factors, 1), axis=-1)
    result = np.empty_like(values)
    np.put_along_axis(result, order, corrected, axis=-1)
    return result


@cache
def _possible_factors(num_means: int, num_pairs: int) -> np.ndarray[Any, np.dtype[np.int64]]:
    """Return how many of the pairs of means can be equal if 0, 1, … pairs differ; then 0."""
    counts = sorted(_numbers_of_equal_pairs(num_means))
    all_pairs = counts[-1]
    factors = np.zeros(num_pairs, dtype=np.int64)
    for different in range(all_pairs):
        factors[different] = max(count for count in counts if count <= all_pairs - different)
    return factors


@cache
def _numbers_of_equal_pairs(num_means: int) -> frozenset[int]:
    """Return how many pairs of means can be equal: none, and those within groups of equal ones."""
    if num_means == 0:
        return frozenset({0})
    found = set()
    for size in range(1, num_means + 1):
        for others in _numbers_of_equal_pairs(num_means - size):
            found.add(size * (size - 1) // 2 + others)
    return frozenset(found)


def _t_test(difference: Array, error: Array, freedom: Array | int) -> tuple[Array, Array]:
    """Return the two-sided p value by Student's t, and half the width of the interval."""
    p_value = 2 * special.stdtr(freedom, -np.abs(difference) / error)
    return p_value, -special.stdtrit(freedom, LEVEL / 2) * error


def _small_sample_factor(freedom: Array) -> Array:
    """Return the factor that makes Hedges' g unbiased (Hedges, 1981, eq. 6e)."""
    factor: Array = np.exp(
        special.gammaln(freedom / 2) - special.gammaln((freedom - 1) / 2)
    ) / np.sqrt(freedom / 2)
    return factor
