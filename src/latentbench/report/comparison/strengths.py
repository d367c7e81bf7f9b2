"""What each model is best and worst in."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import replace

from latentbench.artifacts.metrics import Metric
from latentbench.artifacts.paths import WARNINGS
from latentbench.results import RunGroup, Study, quantities, ranking, tables
from latentbench.results.formatting import escape_markdown, join_words
from latentbench.results.ranking import TIMING_NOISE, Ranked

_TRAINING_TIME, _RECONSTRUCTION = "training time", "reconstruction error"
# By a test over trainings, and as the numbers of single trainings have it.
_TESTED = ("best in", "not distinguished from the best in", "worst in")
_UNTESTED = ("first in", "last in")


def strengths(study: Study) -> str:
    """Return what each model is best and worst in; empty where there is nothing to compare."""
    paragraphs: list[str] = []
    for dataset, runs in study.runs_by_dataset().items():
        metric, _ = ranking.primary(study, ranking.generative(study, runs))
        if metric is None or len(runs) < 2:
            continue
        places: dict[str, dict[str, list[str]]] = defaultdict(dict)
        for name, quantity in _criteria(study, metric).items():
            order = ranking.rank(study, quantity, ranking.competing(study, quantity, runs))
            if len(order) > 1:
                _add_places(study, places, name, order)
        if study.has_several_datasets:
            paragraphs.append(f"On **{escape_markdown(dataset)}**:")
        for run in runs:
            paragraphs.append(_portrait(study, run, places[run.name]))
    return "\n\n".join(paragraphs)


def _criteria(study: Study, metric: Metric) -> dict[str, quantities.Quantity]:
    prdc = tables.prdc_quantities(study)
    criteria = {metric.name: tables.distance(metric)}
    criteria |= {name: prdc[name] for name in ("precision", "recall") if name in prdc}
    return criteria | {
        _RECONSTRUCTION: quantities.MSE,
        "samples as requested": tables.AS_REQUESTED,
        _TRAINING_TIME: quantities.SECONDS,
    }


def _as_fast(study: Study, one: Ranked, other: Ranked) -> bool:
    """Return whether two training times are alike: equal work differs by chance."""
    shorter, longer = sorted((one.mean, other.mean))
    if longer <= (1 + TIMING_NOISE) * shorter:
        return True
    return ranking.work(study, one.run) == ranking.work(study, other.run)


def _add_places(
    study: Study, places: Mapping[str, dict[str, list[str]]], name: str, order: Sequence[Ranked]
) -> None:
    """Add who is first and who is last in an order, unless the two are alike.

    With a test of every pair, the first and the last differ significantly from all others, and
    whatever no test distinguishes from the first is named, too.
    """
    if name == _RECONSTRUCTION:
        tests, num_images = ranking.compare_reconstructions(study, order)
    else:
        tests, num_images = ranking.compare(order), 0
    best, last = order[0], order[-1]
    if name == _TRAINING_TIME or num_images or not tests.covers(order):
        for place, own, next_to_it in ((0, best, order[1]), (1, last, order[-2])):
            if name == _TRAINING_TIME:
                is_alike = _as_fast(study, own, next_to_it)
            else:
                is_alike = not ranking.differ(own, next_to_it, tests)
            if not is_alike:
                _add(places, own, _UNTESTED[place], name)
        return
    if not tests.decided(best, last):
        return
    leaders = tests.leaders(order)
    for each in leaders:
        _add(places, each, _TESTED[0 if len(leaders) == 1 else 1], name)
    if all(tests.decided(last, each) for each in order[:-1]):
        _add(places, last, _TESTED[2], name)


def _add(
    places: Mapping[str, dict[str, list[str]]], own: Ranked, place: str, criterion: str
) -> None:
    prior = f" from {own.run.prior_name}" if own.run.prior else ""
    name = replace(own.run, prior=None).name
    places[name].setdefault(place, []).append(f"{criterion} ({own.mean_text}{prior})")


def _portrait(study: Study, run: RunGroup, places: Mapping[str, Sequence[str]]) -> str:
    shown = (*_TESTED, *_UNTESTED)
    parts = [f"{place} {join_words(places[place])}" for place in shown if place in places]
    found = "; ".join(parts) or "neither first nor last in any of them"
    return f"**{run.in_markdown}** is {found}.{_trouble(study, run)}"


def _trouble(study: Study, run: RunGroup) -> str:
    epochs = study.history[study.history["training"].isin([each.name for each in run.members])]
    troubled = int(epochs[WARNINGS].fillna("").ne("").sum()) if WARNINGS in epochs else 0
    if not troubled:
        return ""
    return f" Its training showed warning signs in {troubled} of {len(epochs)} epochs."
