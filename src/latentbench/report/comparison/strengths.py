"""What each model of a study is best and last in."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from latentbench.artifacts.metrics import Metric
from latentbench.report.presentation.formatting import duration, listed, percent
from latentbench.report.results.columns import (
    AS_ASKED,
    SQUARED_ERROR,
    Column,
    distance_column,
    of_provenance,
    overlap_columns,
)
from latentbench.report.results.ranking import CLOCK, Ranked, level, primary, rank, tied, work
from latentbench.report.results.study import RunGroup, Study

_MOST_LAST = 2  # where more share the last place, it says nothing of one of them


@dataclass(frozen=True)
class Criterion:
    """A quantity in which models have strengths, and when two of them cannot be told apart in it."""

    name: str
    column: Column
    alike: Callable[[Ranked, Ranked], bool] = tied


@dataclass(frozen=True)
class Place:
    """Who shares the first or the last place of a criterion."""

    criterion: Criterion
    sharing: Sequence[Ranked]

    def of(self, run_group: RunGroup) -> str:
        """The criterion with the contender's number and who else is there; empty where the contender is not."""
        mine = [ranked for ranked in self.sharing if ranked.run_group is run_group]
        others = [ranked.name for ranked in self.sharing if ranked.run_group is not run_group]
        beside = f", with {listed(others)}" if others else ""
        return f"{self.criterion.name} ({mine[0].mean}{beside})" if mine else ""


def strengths(study: Study) -> str:
    """Per dataset, what each model is best and last at; nothing where there is nothing to compare."""
    paragraphs: list[str] = []
    names: dict[str, None] = {}
    for dataset, experiments in study.by_dataset().items():
        run_groups = study.run_groups(experiments)
        metric, _ = primary(study, run_groups)
        if metric is None or len(run_groups) < 2:
            continue
        orders = {
            criterion: rank(criterion.column, run_groups) for criterion in _criteria(study, metric)
        }
        orders = {criterion: order for criterion, order in orders.items() if len(order) > 1}
        names |= {criterion.name: None for criterion in orders}
        best = [place for criterion, order in orders.items() if (place := _place(criterion, order))]
        last = [
            place
            for criterion, order in orders.items()
            if (place := _place(criterion, order[::-1]))
        ]
        last = [place for place in last if len(place.sharing) <= _MOST_LAST]
        opening = [f"On **{dataset}**:"] * (len(study.by_dataset()) > 1)
        paragraphs += [*opening, *(_portrait(run_group, best, last) for run_group in run_groups)]
    return "\n\n".join([_rule(list(names)), *paragraphs]) if paragraphs else ""


def _criteria(study: Study, metric: Metric) -> list[Criterion]:
    overlaps = overlap_columns(study)
    return [
        Criterion(metric.name, distance_column(metric)),
        *(
            Criterion(quantity, overlaps[quantity])
            for quantity in ("precision", "recall")
            if quantity in overlaps
        ),
        Criterion("reconstruction error", SQUARED_ERROR),
        Criterion("drawing what was asked for", AS_ASKED),
        Criterion(
            "training time",
            Column("", of_provenance("seconds"), -1, lambda value, _: duration(value)),
            _as_fast,
        ),
    ]


def _rule(names: Sequence[str]) -> str:
    timed = "training time" in names
    return (
        f"Looked at: {listed(names)}. Models share a place where they differ by less than twice the standard deviation "
        "of the difference, or read alike where no spread is known"
        + f"; in training time, where they do the same work or differ by less than {percent(CLOCK, 0)}"
        * timed
        + ". A last place that more than two share is left out, and what cannot be told apart in any two."
    )


def _as_fast(one: Ranked, other: Ranked) -> bool:
    """What equal work takes differs by what else the machine does."""
    shorter, longer = sorted((one.score.mean, other.score.mean))
    return longer <= (1 + CLOCK) * shorter or work(one.run_group) == work(other.run_group)


def _place(criterion: Criterion, order: Sequence[Ranked]) -> Place | None:
    """Who cannot be told apart from the first of an order, unless that is all; who is at both ends is at neither."""
    if criterion.alike(order[0], order[-1]):
        return None
    return Place(
        criterion, [r for r in level(order, criterion.alike) if not criterion.alike(r, order[-1])]
    )


def _portrait(run_group: RunGroup, best: Sequence[Place], last: Sequence[Place]) -> str:
    placed = {
        "best in": [place.of(run_group) for place in best if len(place.sharing) == 1],
        "among the best in": [place.of(run_group) for place in best if len(place.sharing) > 1],
        "last in": [place.of(run_group) for place in last if len(place.sharing) == 1],
        "among the last in": [place.of(run_group) for place in last if len(place.sharing) > 1],
    }
    found = {place: [text for text in texts if text] for place, texts in placed.items()}
    told = "; ".join(f"{place} {listed(texts)}" for place, texts in found.items() if texts)
    return f"**{run_group.name}** is {told or 'neither best nor last in any of these'}.{_trouble(run_group)}"


def _trouble(run_group: RunGroup) -> str:
    troubled = sum(len(member.troubles) for member in run_group.members)
    epochs = sum(len(member.history) for member in run_group.members)
    return f" Its training showed signs of trouble in {troubled} of {epochs} epochs." * bool(
        troubled
    )
