"""Which model is ahead in a quantity, and whether by more than its spread."""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import pandas as pd

from latentbench.artifacts.metrics import Metric
from latentbench.results.formatting import decimals, escape_markdown
from latentbench.results.quantities import Quantity, decimal_places, format_number
from latentbench.results.study import RunGroup, Study

# Training times of the same work differ by up to this fraction from run to run.
TIMING_NOISE = 0.2

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

    @property
    def name(self) -> str:
        """The name of the run."""
        return self.run.name

    @property
    def in_markdown(self) -> str:
        """The name of the run as Markdown."""
        return self.run.in_markdown

    @property
    def num_trainings(self) -> int:
        """How many trainings the mean is over."""
        return len(self.run.members)

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
        return f"({self.run.seeds}, {self.text})" if self.run.seeds else f"({self.text})"

    @property
    def quoted(self) -> str:
        """`dcgan (12.3 ± 0.4)`, as Markdown."""
        return f"{escape_markdown(self.run.stem)} {self.in_brackets}"


def scores_of(study: Study, quantity: Quantity) -> pd.DataFrame:
    """Return mean and std of a quantity, indexed by experiment."""
    if quantity.compute is None:
        rows = study.scores[study.scores["quantity"] == quantity.key]
        return rows.set_index("experiment")[["mean", "std"]]
    values = {each.name: quantity.compute(each) for each in study}
    return pd.DataFrame({"mean": pd.Series(values, dtype=float).dropna(), "std": math.nan})


def score(table: pd.DataFrame, run: RunGroup) -> tuple[float, float] | None:
    """Return mean and std of a run from the scores of its members; None unless all have one."""
    names = [member.name for member in run.members]
    if not set(names) <= set(table.index):
        return None
    means = [float(mean) for mean in table["mean"].loc[names]]
    if len(names) == 1:
        return means[0], float(table["std"].loc[names[0]])
    # Exact arithmetic: equal scores have a standard deviation of 0, not of rounding errors.
    return statistics.mean(means), statistics.stdev(means)


def rank(study: Study, quantity: Quantity, runs: Sequence[RunGroup]) -> list[Ranked]:
    """Return the runs that have the quantity, the best first."""
    table = scores_of(study, quantity)
    members = [member.name for run in runs for member in run.members if member.name in table.index]
    shown = table.loc[members]
    places = decimal_places(list(shown["mean"]), list(shown["std"]))
    found = []
    for run in runs:
        values = score(table, run)
        if values is not None:
            found.append(Ranked(run, quantity, *values, places(values[0])))
    return sorted(found, key=lambda ranked: -quantity.better * ranked.mean)


def by_name(order: Sequence[Ranked]) -> dict[str, Ranked]:
    """Return an order by the names of its runs."""
    return {ranked.name: ranked for ranked in order}


def primary(study: Study, runs: Sequence[RunGroup]) -> tuple[Metric | None, list[Ranked]]:
    """Return the distance that most of the runs were measured by, and their ranking by it."""
    chosen, best = None, []
    for metric in study.measured_metrics:
        ranking = rank(study, Quantity(metric.key, metric.name, -1), runs)
        if chosen is None or len(ranking) > len(best):
            chosen, best = metric, ranking
    return chosen, best


def margin(one: Ranked, other: Ranked) -> float:
    """Return twice the standard deviation of the difference of two means; NaN where unknown.

    If only one of the two was trained repeatedly, its spread over trainings counts for both.
    """
    return 2 * math.hypot(_spread(one, other), _spread(other, one))


def _spread(own: Ranked, other: Ranked) -> float:
    if own.num_trainings == 1 and other.num_trainings > 1:
        return max(std for std in (own.std, other.std) if not math.isnan(std))
    return own.std


def tied(one: Ranked, other: Ranked) -> bool:
    """Return whether two scores differ by less than the margin, or print alike without one."""
    within = margin(one, other)
    if math.isnan(within):
        return one.mean_text == other.mean_text
    return abs(one.mean - other.mean) <= within


def leaders(
    order: Sequence[Ranked], alike: Callable[[Ranked, Ranked], bool] = tied
) -> list[Ranked]:
    """Return the first of an order, and the others up to the last that is tied with it."""
    last = 0
    for place, ranked in enumerate(order):
        if alike(order[0], ranked):
            last = place
    return list(order[: last + 1])


def gap(one: Ranked, other: Ranked) -> float:
    """Return the difference of the printed numbers, or of the exact ones if they print alike."""
    printed = abs(round(one.mean, one.places) - round(other.mean, other.places))
    return printed or abs(one.mean - other.mean)


def gap_text(one: Ranked, other: Ranked) -> str:
    """Return the gap with the decimals of the table, or more where it would print as 0."""
    value, places = gap(one, other), min(one.places, other.places)
    return format_number(value, places if round(value, places) else decimals([value]))


def margin_text(one: Ranked, other: Ranked) -> str:
    """Return the margin with two digits, or the decimals of the table."""
    within = margin(one, other)
    within = 0.0 if math.isnan(within) else within
    return format_number(within, max(min(one.places, other.places), decimals([within]) - 1))


def sources_of_spread(pairs: Sequence[tuple[Ranked, Ranked]]) -> str:
    """Return what the standard deviations of these pairs are over."""
    sources = []
    if any(max(one.num_trainings, other.num_trainings) > 1 for one, other in pairs):
        sources.append("the trainings")
    if any(max(one.num_trainings, other.num_trainings) == 1 for one, other in pairs):
        sources.append("the sampling seeds")
    return " and ".join(sources)


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
