"""Which model is ahead in a quantity, and what repeated trainings show of it."""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np
import pandas as pd

from latentbench.artifacts.metrics import Metric, variance
from latentbench.results.experiment import RunGroup
from latentbench.results.formatting import NBSP, decimals, escape_markdown
from latentbench.results.quantities import Quantity, decimal_places, format_number
from latentbench.results.statistics import Comparison, compare_images, compare_trainings
from latentbench.results.study import Study

# Training times of the same work differ by up to this fraction from run to run.
TIMING_NOISE = 0.2

SMALLEST_P = 0.001  # in print

# Settings that, with the layers, decide how long training takes.
_WORK = ("training.", "compute.", "model.name", "model.n_critic", "model.n_generator")


@dataclass(frozen=True)
class Ranked:
    """A run's score in a quantity; `places` are the decimal places to print it with.

    The standard deviation is over trainings for repeats, else over sampling seeds; NaN where it is
    unknown.
    """

    run: RunGroup
    quantity: Quantity
    mean: float
    std: float
    places: int
    scores: tuple[float, ...]  # of the trainings: repeats have no quantities of the latent space

    @property
    def num_trainings(self) -> int:
        """How many trainings the mean is over."""
        return len(self.scores)

    @property
    def name(self) -> str:
        """The name of the run."""
        return self.run.name

    @property
    def in_markdown(self) -> str:
        """The name of the run as Markdown, without seeds for a score of the first training."""
        return self.run.in_markdown if self.num_trainings > 1 else escape_markdown(self.run.stem)

    @property
    def mean_text(self) -> str:
        """`12.3`."""
        return self.quantity.format(self.mean, self.places)

    @property
    def text(self) -> str:
        """`12.3 ± 0.4`."""
        if math.isnan(self.std):
            return self.mean_text
        return f"{self.mean_text} ± {self.quantity.format(self.std, self.places)}"

    @property
    def in_brackets(self) -> str:
        """`(12.3 ± 0.4)`, or `(3 seeds, 12.3 ± 0.4)` for repeats."""
        return f"({self.run.seeds}, {self.text})" if self.num_trainings > 1 else f"({self.text})"

    @property
    def quoted(self) -> str:
        """`dcgan (12.3 ± 0.4)`, as Markdown."""
        return f"{escape_markdown(self.run.stem)} {self.in_brackets}"


def scores_of(study: Study, quantity: Quantity, prior: str | None = None) -> pd.DataFrame:
    """Return mean and std of a quantity, indexed by training.

    Samples are those of a prior, or of each experiment's own.
    """
    if quantity.compute is None:
        rows = study.of_prior(study.scores[study.scores["quantity"] == quantity.key], prior)
        return rows.set_index("training")[["mean", "std"]]
    values = {each.name: quantity.compute(each) for each in study}
    return pd.DataFrame({"mean": pd.Series(values, dtype=float).dropna(), "std": math.nan})


def score(table: pd.DataFrame, run: RunGroup) -> tuple[float, float] | None:
    """Return mean and std of a run from the scores of its members; None unless all have one.

    Repeats have no scores of the latent space.
    """
    names = scored(table, run)
    if names is None:
        return None
    means = [float(mean) for mean in table["mean"].loc[names]]
    if len(names) == 1:
        return means[0], float(table["std"].loc[names[0]])
    # Exact arithmetic: equal scores have a standard deviation of 0, not of rounding errors.
    return statistics.mean(means), statistics.stdev(means)


def scores_of_members(table: pd.DataFrame, run: RunGroup) -> pd.DataFrame:
    """Return the rows of a run's trainings."""
    return table[table.index.isin([member.name for member in run.members])]


def scored(table: pd.DataFrame, run: RunGroup) -> list[str] | None:
    """Return the trainings that a run's score is over; None if one of them has none.

    These are all, or those that were explored if no repeat has a score. The mean of the other ones
    would hide a training that diverged.
    """
    found = set(table.index)
    names = [member.name for member in run.members]
    if found.isdisjoint(member.name for member in run.members if member.is_repeat):
        names = [member.name for member in run.explored]
    return names if set(names) <= found else None


def rank(study: Study, quantity: Quantity, runs: Sequence[RunGroup]) -> list[Ranked]:
    """Return the runs that have the quantity, the best first."""
    if not runs:
        return []
    tables = {run.prior: scores_of(study, quantity, run.prior) for run in runs}
    shown = pd.concat([scores_of_members(tables[run.prior], run) for run in runs])
    places = decimal_places(list(shown["mean"]), list(shown["std"]))
    found = []
    for run in runs:
        table = tables[run.prior]
        values = score(table, run)
        if values is not None:
            scores = tuple(map(float, table["mean"].loc[scored(table, run) or []]))
            found.append(Ranked(run, quantity, *values, places(values[0]), scores))
    return sorted(found, key=lambda ranked: -quantity.better * ranked.mean)


def by_name(order: Sequence[Ranked]) -> dict[str, Ranked]:
    """Return an order by the names of its runs."""
    return {ranked.name: ranked for ranked in order}


def by_prior(study: Study, runs: Sequence[RunGroup]) -> list[RunGroup]:
    """Return each run under each of its priors."""
    return [each for run in runs for each in study.by_prior(run)]


def generative(study: Study, runs: Sequence[RunGroup]) -> list[RunGroup]:
    """Return the runs, under each prior that their decoders know: their samples count."""
    return [run for run in by_prior(study, runs) if run.is_generative]


def depends_on_prior(study: Study, quantity: Quantity) -> bool:
    """Return whether a quantity is one of samples."""
    return quantity.key in set(study.metrics["metric"])


_RECONSTRUCTION = {"mse", "psnr", "ssim"}


def competing(study: Study, quantity: Quantity, runs: Sequence[RunGroup]) -> list[RunGroup]:
    """Return the runs that are ranked by a quantity; by metrics of samples, under each prior.

    Models with an ODE are not ranked by their reconstructions: the ODE is invertible, and the error
    is that of its solver.
    """
    if quantity.key.rpartition("_")[2] in _RECONSTRUCTION:
        return [run for run in runs if not run.members[0].has_ode]
    if depends_on_prior(study, quantity):
        return generative(study, runs)
    return list(runs)


def primary(study: Study, runs: Sequence[RunGroup]) -> tuple[Metric | None, list[Ranked]]:
    """Return the distance that most of the runs were measured by, and their ranking by it."""
    chosen, best = None, []
    for metric in study.measured_metrics:
        ranking = rank(study, Quantity(metric.key, metric.name, -1), runs)
        if chosen is None or len(ranking) > len(best):
            chosen, best = metric, ranking
    return chosen, best


@dataclass(frozen=True)
class Comparisons:
    """The tests of all pairs of an order that have one, by the names of the runs."""

    tests: Mapping[tuple[str, str], Comparison]

    def between(self, one: Ranked, other: Ranked) -> Comparison | None:
        """Return the test of the first mean less the second; None where there is no test."""
        found = self.tests.get((one.name, other.name))
        if found is None:
            reverse = self.tests.get((other.name, one.name))
            found = reverse.reverse() if reverse else None
        return found

    def undecided(self, one: Ranked, other: Ranked) -> bool:
        """Return whether there is a test and it does not distinguish the two."""
        found = self.between(one, other)
        return found is not None and not found.is_significant

    def decided(self, one: Ranked, other: Ranked) -> bool:
        """Return whether there is a test and it distinguishes the two."""
        found = self.between(one, other)
        return found is not None and found.is_significant

    def leaders(self, order: Sequence[Ranked]) -> list[Ranked]:
        """Return the first of an order, and those that a test does not distinguish from it."""
        return [order[0], *(each for each in order[1:] if self.undecided(order[0], each))]

    def covers(self, order: Sequence[Ranked]) -> bool:
        """Return whether all pairs of an order have a test."""
        pairs = combinations(order, 2)
        return all(self.between(one, other) is not None for one, other in pairs)


def compare(order: Sequence[Ranked]) -> Comparisons:
    """Return the tests of all pairs of runs that were trained repeatedly.

    They are corrected together, so the order should have all runs that a report compares by the
    quantity. See `compare_trainings` for the test.
    """
    if len(order) < 2:
        return Comparisons({})
    tests = compare_trainings(
        [each.mean for each in order],
        [each.std for each in order],
        [each.num_trainings for each in order],
        _covariances(order),
    )
    return _by_names(tests.comparisons(), order)


def differ(one: Ranked, other: Ranked, tests: Comparisons) -> bool:
    """Return whether two scores differ: by their test if there is one, else in these trainings.

    In these trainings they do if they print differently, and by more than twice the standard
    deviation of the difference, where it is known.
    """
    test = tests.between(one, other)
    if test is not None:
        return test.is_significant
    spread = np.nan_to_num(2 * _difference_std(one, other))
    return one.mean_text != other.mean_text and abs(one.mean - other.mean) > spread


def _difference_std(one: Ranked, other: Ranked) -> float:
    """Return the standard deviation of the difference of two scores; NaN where it is unknown.

    The same classifiers measure both. So where several did, what a classifier adds to the scores of
    both is no part of their difference.
    """
    first, second = (_values_by_network(each) for each in (one, other))
    if first.size and first.shape == second.shape:
        return math.sqrt(variance(first - second))
    return math.hypot(one.std, other.std)


def _values_by_network(ranked: Ranked) -> np.ndarray[tuple[int, int], np.dtype[np.float64]]:
    """Return the values of a single training, (sets, networks); empty where there are none."""
    member = ranked.run.members[0]
    prior = ranked.run.prior or member.prior
    facts = member.evaluation
    if prior != member.prior:
        facts = (facts.get("other_priors") or {}).get(prior) or {}
    table = (facts.get("values_by_network") or {}).get(ranked.quantity.key)
    if table is None or ranked.num_trainings > 1:
        return np.empty((0, 0))
    return np.array(table, dtype=np.float64)


def _covariances(order: Sequence[Ranked]) -> np.ndarray[Any, np.dtype[np.float64]]:
    """Return the covariances of runs of the same trainings under two priors; 0 for others."""
    same: dict[tuple[str, ...], list[int]] = {}
    for place, each in enumerate(order):
        names = tuple(member.name for member in each.run.members)
        same.setdefault(names, []).append(place)
    found = np.zeros((len(order), len(order)))
    for places in same.values():
        if len(places) > 1 and order[places[0]].num_trainings > 1:
            scores = [order[place].scores for place in places]
            found[np.ix_(places, places)] = np.cov(scores)
    return found


def compare_reconstructions(study: Study, order: Sequence[Ranked]) -> tuple[Comparisons, int]:
    """Return tests of the squared errors, over trainings if all runs have several that count.

    Otherwise they are paired over the test images that all models share, whose number is the second
    result (0 for tests over trainings). An image's error is its mean over the explored trainings of
    a run: the tests concern these trainings, not other ones.
    """
    tests = compare(order)
    if tests.covers(order):
        return tests, 0
    rows = study.reconstruction.query("split == 'test'").set_index("experiment")
    columns = []
    for each in order:
        explored = each.run.explored
        number = int(rows.loc[[member.name for member in explored], "num_images"].min())
        own = [member.latent_arrays["test_mse"][:number] for member in explored]
        columns.append(np.mean(own, axis=0, dtype=np.float64))
    errors = np.stack(columns, axis=1)
    return _by_names(compare_images(errors).comparisons(), order), len(errors)


def _by_names(tests: Mapping[tuple[int, int], Comparison], order: Sequence[Ranked]) -> Comparisons:
    names = [each.name for each in order]
    return Comparisons({(names[i], names[j]): test for (i, j), test in tests.items()})


def evidence(one: Ranked, other: Ranked, test: Comparison) -> str:
    """Return `95 % CI 0.8 to 1.6, p = 0.003`, of the absolute difference of two runs."""
    return f"95{NBSP}% CI {interval_text(one, other, test)}, {p_text(test)}"


def interval_text(one: Ranked, other: Ranked, test: Comparison) -> str:
    """Return the confidence interval of the absolute difference of two runs: `0.8 to 1.6`."""
    shown = test if test.difference >= 0 else test.reverse()
    places = max(min(one.places, other.places), decimals([shown.high - shown.low]) - 1)
    low, high = (format_number(value, places) for value in (shown.low, shown.high))
    return f"{low} to {high}"


def p_text(test: Comparison) -> str:
    """Return `p = 0.003` or `p < 0.001`."""
    if test.p_value < SMALLEST_P:
        return f"p{NBSP}<{NBSP}{SMALLEST_P}"
    return f"p{NBSP}={NBSP}{test.p_value:.3f}"


def correction(test: Comparison) -> str:
    """Return ` after Shaffer's correction over 6 comparisons`; empty for a single comparison."""
    if test.num_comparisons == 1:
        return ""
    return f" after Shaffer's correction over {test.num_comparisons} comparisons"


def trainings(*ranked: Ranked) -> str:
    """Return `3 trainings each`, or `2 to 5 trainings each`."""
    numbers = sorted({each.num_trainings for each in ranked})
    if numbers == [1]:
        return "one training each"
    return f"{' to '.join(map(str, dict.fromkeys((numbers[0], numbers[-1]))))} trainings each"


def gap(one: Ranked, other: Ranked) -> float:
    """Return the difference of the printed numbers, or of the exact ones if they print alike."""
    printed = abs(round(one.mean, one.places) - round(other.mean, other.places))
    return printed or abs(one.mean - other.mean)


def gap_text(one: Ranked, other: Ranked) -> str:
    """Return the gap with the decimals of the table, or more where it would print as 0."""
    value, places = gap(one, other), min(one.places, other.places)
    return format_number(value, places if round(value, places) else decimals([value]))


def work(study: Study, run: RunGroup) -> tuple[object, ...]:
    """Return what decides how long training takes: the layers, the schedule and the turns."""
    name = run.members[0].name
    if name in study.settings.index:
        settings = study.settings.loc[name].dropna()
        counts = [(key, settings[key]) for key in settings.index if key.startswith(_WORK)]
    else:
        counts = []
    layers = study.layers[study.layers["experiment"] == name]
    return layers.drop(columns="experiment").to_csv(index=False), *counts
