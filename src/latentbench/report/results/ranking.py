"""Which of several models is ahead in a quantity, and whether by more than its spread."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from latentbench.artifacts.metrics import Metric
from latentbench.report.presentation.formatting import decimals
from latentbench.report.results.columns import (
    Column,
    distance_column,
    flatten,
    places_of,
    plain,
    score_of,
)
from latentbench.report.results.study import RunGroup, Score, Study

# By so much of itself the time of the same work varies from run to run.
CLOCK = 0.2


@dataclass(frozen=True)
class Ranked:
    """A contender and its score in a column, to be written as the table does."""

    run_group: RunGroup
    column: Column
    score: Score
    places: int

    @property
    def name(self) -> str:
        return self.run_group.name

    @property
    def trainings(self) -> int:
        return len(self.run_group.members)

    @property
    def mean(self) -> str:
        return self.column.written(self.score.mean, self.places)

    @property
    def quoted(self) -> str:
        """The name with the score in brackets: `a (12.3 ± 0.4)`, of repeats `a (3 seeds, 12.3 ± 0.4)`."""
        return f"{self.run_group.stem} {self.bracketed}"

    @property
    def bracketed(self) -> str:
        return f"({', '.join(filter(None, [self.run_group.seeds, self.written]))})"

    @property
    def written(self) -> str:
        std = self.score.std
        return (
            self.mean if std is None else f"{self.mean} ± {self.column.written(std, self.places)}"
        )


def rank(column: Column, run_groups: Sequence[RunGroup]) -> list[Ranked]:
    """Those that have the quantity, the best first."""
    members = [
        score for c in run_groups for m in c.members if (score := column.value(m)) is not None
    ]
    places = places_of(members)
    found = [
        Ranked(run_group, column, score, places(score.mean))
        for run_group in run_groups
        if (score := score_of(column, run_group)) is not None
    ]
    return sorted(found, key=lambda ranked: -column.better * ranked.score.mean)


def primary(study: Study, run_groups: Sequence[RunGroup]) -> tuple[Metric | None, list[Ranked]]:
    """The metric that most of the contenders were measured by, and their ranking by it."""
    rankings = {metric: rank(distance_column(metric), run_groups) for metric in study.metrics}
    metric = max(rankings, key=lambda each: len(rankings[each]), default=None)
    return metric, rankings[metric] if metric else []


def margin(one: Ranked, other: Ranked) -> float | None:
    """Twice the standard deviation of the difference of two means; None where a spread is unknown.

    Where one of two was trained repeatedly, its spread over trainings stands for both: how the other would come out
    with another seed is not known.
    """
    spreads = [_spread(one, other), _spread(other, one)]
    known = [spread for spread in spreads if spread is not None]
    return 2 * math.hypot(*known) if len(known) == len(spreads) else None


def _spread(own: Ranked, other: Ranked) -> float | None:
    if own.trainings == 1 and other.trainings > 1:
        return max(std for std in (own.score.std, other.score.std) if std is not None)
    return own.score.std


def tied(one: Ranked, other: Ranked) -> bool:
    """Whether the two cannot be told apart; where a spread is unknown, whether they read alike."""
    within = margin(one, other)
    return (
        one.mean == other.mean
        if within is None
        else abs(one.score.mean - other.score.mean) <= within
    )


def level(order: Sequence[Ranked], alike: Callable[[Ranked, Ranked], bool] = tied) -> list[Ranked]:
    """The first of an order and those up to the last that cannot be told apart from it."""
    places = [place for place, ranked in enumerate(order) if place == 0 or alike(order[0], ranked)]
    return list(order[: max(places) + 1])


def gap(one: Ranked, other: Ranked) -> float:
    """The difference of the numbers as they are written, or of what they stand for where they read alike."""
    shown = abs(round(one.score.mean, one.places) - round(other.score.mean, other.places))
    return shown or abs(one.score.mean - other.score.mean)


def written_gap(one: Ranked, other: Ranked) -> str:
    value, places = gap(one, other), min(one.places, other.places)
    return plain(value, places if round(value, places) else decimals([value]))


def written_margin(one: Ranked, other: Ranked) -> str:
    """With two digits, or the decimals of the numbers."""
    within = margin(one, other) or 0.0
    return plain(within, max(min(one.places, other.places), decimals([within]) - 1))


def sources_of_spread(pairs: Sequence[tuple[Ranked, Ranked]]) -> str:
    """What the standard deviations of pairs are over."""
    repeated = {max(one.trainings, other.trainings) > 1 for one, other in pairs}
    kinds = {True: "the trainings", False: "the sampling seeds"}
    return " and ".join(kinds[each] for each in sorted(repeated, reverse=True))


def work(run_group: RunGroup) -> tuple[object, ...]:
    """What decides how long training takes, beside the machine: layers, and how often and how they are gone through."""
    member = run_group.members[0]
    settings = flatten(member.settings or {})
    turns = ("model.name", "model.n_critic", "model.n_generator")
    counts = [
        each
        for each in sorted(settings.items())
        if each[0] in turns or each[0].startswith(_OF_COMPUTE)
    ]
    return repr(member.layers), *counts


_OF_COMPUTE = ("training.", "compute.")
