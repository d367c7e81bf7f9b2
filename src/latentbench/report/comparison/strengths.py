"""What each model is best and last in."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial

from latentbench.artifacts.metrics import Metric
from latentbench.artifacts.paths import TROUBLE
from latentbench.report.presentation.formatting import join_words, percent
from latentbench.report.results.quantities import MSE, SECONDS, Quantity
from latentbench.report.results.ranking import (
    TIMING_NOISE,
    Ranked,
    leaders,
    primary,
    rank,
    tied,
    work,
)
from latentbench.report.results.tables import AS_REQUESTED, distance, prdc_quantities
from latentbench.results.study import RunGroup, Study

_TRAINING_TIME = "training time"
_PLACES = ("best in", "among the best in", "last in", "among the last in")
_MOST_LAST = 2  # a last place that more models share is left out

Alike = Callable[[Ranked, Ranked], bool]


def strengths(study: Study) -> str:
    """Return what each model is best and last in; empty where there is nothing to compare."""
    paragraphs: list[str] = []
    compared: dict[str, None] = {}
    for dataset, runs in study.runs_by_dataset().items():
        metric, _ = primary(study, runs)
        if metric is None or len(runs) < 2:
            continue
        places: dict[str, dict[str, list[str]]] = {run.name: {} for run in runs}
        for name, quantity in _criteria(study, metric).items():
            order = rank(study, quantity, runs)
            if len(order) > 1:
                compared[name] = None
                alike = partial(_as_fast, study) if name == _TRAINING_TIME else tied
                _add_places(places, name, order, alike)
        if study.has_several_datasets:
            paragraphs.append(f"On **{dataset}**:")
        for run in runs:
            paragraphs.append(_portrait(study, run, places[run.name]))
    return "\n\n".join([_rule(list(compared)), *paragraphs]) if paragraphs else ""


def _criteria(study: Study, metric: Metric) -> dict[str, Quantity]:
    criteria = {metric.name: distance(metric)}
    prdc = prdc_quantities(study)
    if prdc:
        criteria |= {"precision": prdc["precision"], "recall": prdc["recall"]}
    return criteria | {
        "reconstruction error": MSE,
        "samples as requested": AS_REQUESTED,
        _TRAINING_TIME: SECONDS,
    }


def _rule(names: Sequence[str]) -> str:
    rule = (
        f"Compared: {join_words(names)}. Models share a place if they differ by less than twice "
        "the standard deviation of the difference, or print alike where no spread is known."
    )
    if _TRAINING_TIME in names:
        rule += (
            " Their training times are alike if they do the same work or differ by less than "
            f"{percent(TIMING_NOISE, 0)}."
        )
    return f"{rule} Last places that more than two models share are left out."


def _as_fast(study: Study, one: Ranked, other: Ranked) -> bool:
    """Return whether two training times are alike: equal work differs by chance."""
    shorter, longer = sorted((one.mean, other.mean))
    return longer <= (1 + TIMING_NOISE) * shorter or work(study, one.run) == work(study, other.run)


def _add_places(
    places: Mapping[str, dict[str, list[str]]], name: str, order: Sequence[Ranked], alike: Alike
) -> None:
    """Add who shares the first and who the last place of an order."""
    best, last = _first(order, alike), _first(order[::-1], alike)
    if len(last) > _MOST_LAST:
        last = []
    for place, sharing in (("best in", best), ("last in", last)):
        for own in sharing:
            others = [each.name for each in sharing if each is not own]
            among = f"among the {place}" if others else place
            company = f", with {join_words(others)}" if others else ""
            found = places[own.name].setdefault(among, [])
            found.append(f"{name} ({own.mean_text}{company})")


def _first(order: Sequence[Ranked], alike: Alike) -> list[Ranked]:
    """Return who shares the first place; empty if the last cannot be distinguished from it."""
    first, last = order[0], order[-1]
    if alike(first, last):
        return []
    return [ranked for ranked in leaders(order, alike) if not alike(ranked, last)]


def _portrait(study: Study, run: RunGroup, places: Mapping[str, Sequence[str]]) -> str:
    parts = [f"{place} {join_words(places[place])}" for place in _PLACES if place in places]
    found = "; ".join(parts) or "neither best nor last in any of these"
    return f"**{run.name}** is {found}.{_trouble(study, run)}"


def _trouble(study: Study, run: RunGroup) -> str:
    names = [member.name for member in run.members]
    epochs = study.history[study.history["experiment"].isin(names)]
    if TROUBLE not in epochs or not epochs[TROUBLE].any():
        return ""
    troubled = epochs[TROUBLE].fillna("").ne("").sum()
    return f" Its training showed warning signs in {troubled} of {len(epochs)} epochs."
