"""The tests over trainings: against scipy, by hand, and their false positives by simulation."""

from __future__ import annotations

from itertools import combinations
from types import SimpleNamespace

import numpy as np
import pytest
from scipy import stats

from latentbench.results.quantities import MSE
from latentbench.results.ranking import Ranked, compare
from latentbench.results.statistics import (
    LEVEL,
    compare_images,
    compare_trainings,
    correct_pairs,
)

NUMBERS = [(1, 1), (1, 2), (1, 3), (2, 2), (3, 3), (2, 5), (5, 5)]
REPETITIONS = 10_000
# A correct rule fails a case of the simulations with this probability, were the seed drawn.
CHANCE = 1e-8


def of(*groups):
    """Return the tests of groups of scores."""
    scores = [np.array(group, dtype=float) for group in groups]
    stds = [own.std(ddof=1) if len(own) > 1 else np.nan for own in scores]
    return compare_trainings([own.mean() for own in scores], stds, [len(own) for own in scores])


def test_the_statistic_is_welchs_with_the_fewest_degrees_of_freedom():
    one, other = [4.0, 4.4, 3.9], [2.9, 3.3, 3.5, 2.8, 3.1]
    found = of(one, other)
    expected = stats.ttest_ind(one, other, equal_var=False)
    assert found.p_value[0] == pytest.approx(2 * stats.t.sf(expected.statistic, 2))
    error = (np.mean(one) - np.mean(other)) / expected.statistic
    middle, reach = np.mean(one) - np.mean(other), stats.t.isf(LEVEL / 2, 2) * error
    assert [found.low[0], found.high[0]] == pytest.approx([middle - reach, middle + reach])
    assert found.p_value[0] > expected.pvalue


def test_it_is_scipys_test_where_the_smaller_group_alone_varies():
    one, other = [4.0, 4.4, 3.9], [3.0] * 7
    found = of(one, other)
    expected = stats.ttest_ind_from_stats(4.1, np.std(one, ddof=1), 3, 3, 0, 7, equal_var=False)
    assert found.p_value[0] == pytest.approx(expected.pvalue)


def test_the_interval_excludes_zero_where_the_test_rejects():
    random = np.random.default_rng(0)
    means = random.normal(0, 3, (2000, 2))
    found = compare_trainings(means, random.uniform(0.1, 2, (2000, 2)), [3, 4])
    rejects = found.p_value <= LEVEL
    assert 0 < rejects.mean() < 1
    assert (((found.low > 0) | (found.high < 0)) == rejects).all()


def test_the_effect_size_is_hedges_g():
    # Both have the variance 1, so d = 3, and the factor for 4 degrees of freedom is √2 / √π.
    found = of([4.0, 5.0, 6.0], [1.0, 2.0, 3.0])
    assert found.effect_size[0] == pytest.approx(3 * np.sqrt(2 / np.pi))
    found = of([1.0, 2.0, 3.0], [4.0, 5.0, 6.0])
    assert found.effect_size[0] == pytest.approx(-3 * np.sqrt(2 / np.pi))


@pytest.mark.parametrize(
    "groups",
    [
        ([4.0], [1.0]),
        ([4.0], [1.0, 1.1, 1.2]),
        ([4.0, 4.0], [1.0, 1.0]),
        ([4.0, np.nan], [1.0, 1.1]),
    ],
)
def test_without_two_spreads_there_is_no_test(groups):
    found = of(*groups)
    assert np.isnan([found.p_value, found.low, found.high, found.effect_size]).all()
    assert found.comparisons() == {}


def test_pairs_without_a_test_do_not_count_in_the_correction():
    found = of([4.0, 4.2], [1.0], [1.0, 1.1], [7.0]).comparisons()
    assert list(found) == [(0, 2)]
    assert found[0, 2].num_comparisons == 1
    found = of([4.0, 4.2], [1.0, 1.3], [1.0, 1.1]).comparisons()
    assert {each.num_comparisons for each in found.values()} == {3}
    reverse = found[0, 1].reverse()
    assert reverse.difference == -found[0, 1].difference
    assert (reverse.low, reverse.high) == (-found[0, 1].high, -found[0, 1].low)


def test_groups_of_the_same_trainings_are_paired():
    random = np.random.default_rng(3)
    scores = random.normal(5, 2, (4, 1)) + random.normal(0, 0.1, (4, 2)) + [0.0, 0.5]
    found = compare_trainings(scores.mean(0), scores.std(0, ddof=1), 4, np.cov(scores.T))
    expected = stats.ttest_rel(scores[:, 0], scores[:, 1])
    interval = expected.confidence_interval(1 - LEVEL)
    numbers = [found.p_value[0], found.low[0], found.high[0]]
    assert numbers == pytest.approx([expected.pvalue, interval.low, interval.high])
    run = SimpleNamespace(members=[SimpleNamespace(name=f"vae-{seed}") for seed in range(4)])
    ranked = []
    for place, name in enumerate(("one", "other")):
        own = scores[:, place]
        under = SimpleNamespace(name=name, members=run.members)
        ranked.append(Ranked(under, MSE, own.mean(), own.std(ddof=1), 2, tuple(own)))
    test = compare(ranked).between(*ranked)
    assert test.p_value == pytest.approx(expected.pvalue)
    again = compare_trainings(scores[:, :1].mean(0).repeat(2), [1.0, 1.0], 4, np.ones((2, 2)))
    assert again.comparisons() == {}


def test_the_correction_by_hand():
    assert correct_pairs([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.04, 0.03])
    assert correct_pairs([0.5, 0.9, 0.4]) == pytest.approx([1.0, 1.0, 1.0])
    assert np.isnan(correct_pairs([np.nan])).all()
    # Four means: 6 pairs can be equal, 3 if one pair differs, 2 if four do, 1 if five do.
    ascending = np.array([1, 2, 3, 4, 6, 13]) / 100
    assert correct_pairs(ascending) == pytest.approx([0.06, 0.06, 0.09, 0.12, 0.12, 0.13])
    # The third mean has no test: the pairs of three means are left.
    without_third = [0.01, np.nan, 0.02, np.nan, 0.03, np.nan]
    expected = [0.03, np.nan, 0.03, np.nan, 0.03, np.nan]
    np.testing.assert_allclose(correct_pairs(without_third), expected)


def partitions(members):
    """Yield each way to part the members into groups."""
    if not members:
        yield []
        return
    for others in partitions(members[1:]):
        yield [[members[0]], *others]
        for place, group in enumerate(others):
            yield [*others[:place], [members[0], *group], *others[place + 1 :]]


@pytest.mark.parametrize("num_means", [3, 4, 5])
def test_the_correction_is_between_the_closed_test_and_holms(num_means):
    """The closed test corrects each hypothesis for all sets of pairs that can be equal together."""
    random = np.random.default_rng(1)
    pairs = list(combinations(range(num_means), 2))
    together = []
    for groups in partitions(list(range(num_means))):
        equal = {pair for group in groups for pair in combinations(sorted(group), 2)}
        together.append([pairs.index(pair) for pair in equal])
    for _ in range(30):
        p_values = random.uniform(0, 0.2, len(pairs)).round(3)
        closed = np.zeros(len(pairs))
        for places in together:
            for place in places:
                own = min(1, len(places) * p_values[places].min())
                closed[place] = max(closed[place], own)
        found = correct_pairs(p_values)
        order = np.argsort(p_values, kind="stable")
        holms = p_values[order] * (len(pairs) - np.arange(len(pairs)))
        assert (found >= closed - 1e-12).all()
        assert (found[order] <= np.maximum.accumulate(holms.clip(max=1)) + 1e-12).all()
        if num_means == 3:
            assert found == pytest.approx(closed)


def rejected(numbers, spreads, *, shifts, seed):
    """Return whether each pair is called different, (repetitions, pairs)."""
    random = np.random.default_rng(seed)
    means, stds = [], []
    for number, spread, shift in zip(numbers, spreads, shifts, strict=True):
        scores = random.normal(shift, spread, (REPETITIONS, number))
        means.append(scores.mean(axis=1))
        stds.append(scores.std(axis=1, ddof=1) if number > 1 else np.full(REPETITIONS, np.nan))
    found = compare_trainings(np.stack(means, axis=1), np.stack(stds, axis=1), numbers)
    return found.p_value <= LEVEL


@pytest.mark.parametrize("num_models", range(2, 8))
@pytest.mark.parametrize("numbers", NUMBERS)
def test_a_study_of_equal_models_has_a_false_positive_in_at_most_5_percent(numbers, num_models):
    counts = [numbers[place % 2] for place in range(num_models)]
    limit = stats.binom.isf(CHANCE, REPETITIONS, LEVEL)
    for spreads in (np.ones(num_models), 5.0 ** -(np.arange(num_models) % 3)):
        found = rejected(counts, spreads, shifts=np.zeros(num_models), seed=num_models)
        assert found.any(axis=1).sum() <= limit
    if counts.count(1) >= num_models - 1:
        assert not found.any()


def pair_size(one: int, other: int, weight, level: float):
    """Return the exact rate of false positives of a pair (no simulation).

    `weight` is the first variance of a mean, as a share of both. Given the first's share b of the
    sum of both χ², the statistic is a t of all degrees of freedom times a known factor.
    """
    first, second = one - 1, other - 1
    both = first + second
    # The share has a beta distribution; with sin² for it, the density has no pole.
    angle = (np.arange(4000) + 0.5) * np.pi / 8000
    share, mass = np.sin(angle) ** 2, np.sin(angle) ** (first - 1) * np.cos(angle) ** (second - 1)
    variance = weight[:, None] * share / first + (1 - weight[:, None]) * (1 - share) / second
    critical = stats.t.isf(level / 2, min(first, second))
    return (2 * stats.t.sf(critical * np.sqrt(both * variance), both)) @ mass / mass.sum()


@pytest.mark.parametrize("numbers", [(2, 2), (2, 3), (3, 3), (2, 5), (3, 5), (5, 5)])
def test_no_two_variances_raise_the_false_positives_of_a_pair(numbers):
    weight = np.linspace(0, 1, 51)
    for num_pairs in (1, 3, 21):
        sizes = pair_size(*numbers, weight, LEVEL / num_pairs)
        # The level itself where only the smaller group varies; the quadrature is that close.
        assert sizes.max() * num_pairs == pytest.approx(LEVEL, rel=3e-3)


def test_of_unequal_models_the_equal_ones_have_a_false_positive_in_at_most_5_percent():
    # Five and three equal models among eight: after the first rejections, fewer can be equal.
    shifts = np.repeat([0.0, 1e6], [5, 3])
    first, second = np.triu_indices(8, 1)
    is_equal = shifts[first] == shifts[second]
    for number in (2, 3, 5):
        found = rejected([number] * 8, np.ones(8), shifts=shifts, seed=number)
        assert found[:, ~is_equal].mean() > 0.9
        limit = stats.binom.isf(CHANCE, REPETITIONS, LEVEL)
        assert found[:, is_equal].any(axis=1).sum() <= limit


@pytest.mark.parametrize(("number", "distance"), [(3, 30.0), (5, 6.0)])
def test_a_large_difference_is_found(number, distance):
    found = rejected([number] * 3, np.ones(3), shifts=[0, 0, distance], seed=0)
    assert (found[:, 1:].mean(axis=0) > 0.9).all()
    # The first two are equal: their false positives stay below 5 %.
    assert found[:, 0].sum() <= stats.binom.isf(CHANCE, REPETITIONS, LEVEL)


def test_reconstruction_errors_are_paired():
    random = np.random.default_rng(2)
    images = random.lognormal(0, 1, (64, 1))
    errors = images * [1.0, 1.1, 1.0] + random.normal(0, 0.02, (64, 3))
    found = compare_images(errors)
    expected = [stats.ttest_rel(errors[:, i], errors[:, j]) for i, j in ((0, 1), (0, 2), (1, 2))]
    assert found.p_value == pytest.approx(correct_pairs([each.pvalue for each in expected]))
    interval = expected[1].confidence_interval(0.95)
    assert (found.low[1], found.high[1]) == pytest.approx((interval.low, interval.high))
    # Unpaired, the spread over images would hide the difference of the first two.
    assert found.p_value[0] < 1e-6 < stats.ttest_ind(errors[:, 0], errors[:, 1]).pvalue


def test_differences_that_do_not_vary_have_no_test():
    errors = np.full((10, 1), 0.1) * [1.0, 1.0, 3.0]
    assert compare_images(errors).comparisons() == {}
    assert compare_images(errors[:1]).comparisons() == {}
