"""What each model is best and last in."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from functools import partial

from latentbench.artifacts.metrics import Metric
from latentbench.artifacts.paths import WARNINGS
from latentbench.results import RunGroup, Study, quantities, ranking, tables
from latentbench.results.formatting import escape_markdown, join_words
from latentbench.results.ranking import TIMING_NOISE, Ranked

_TRAINING_TIME = "training time"
_PLACES = ("best in", "among the best in", "last in", "among the last in")
_MOST_LAST = 2  # a last place that more models share is left out
Alike = Callable[[Ranked, Ranked], bool]


def strengths(study: Study) -> str:
    """Return what each model is best and last in; empty where there is nothing to compare."""
    paragraphs: list[str] = []
    for dataset, runs in study.runs_by_dataset().items():
        metric, _ = ranking.primary(study, runs)
        if metric is None or len(runs) < 2:
            continue
        places: dict[str, dict[str, list[str]]] = defaultdict(dict)
        for name, quantity in _criteria(study, metric).items():
            order = ranking.rank(study, quantity, runs)
            if len(order) > 1:
                alike = partial(_as_fast, study) if name == _TRAINING_TIME else ranking.tied
                _add_places(places, name, order, alike)
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
        "reconstruction error": quantities.MSE,
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
    places: Mapping[str, dict[str, list[str]]], name: str, order: Sequence[Ranked], alike: Alike
) -> None:
    """Add who shares the first and who the last place of an order, unless the two are alike."""
    if alike(order[0], order[-1]):
        return
    for place, own_order in (("best in", order), ("last in", order[::-1])):
        sharing = ranking.leaders(own_order, alike)
        sharing = [each for each in sharing if not alike(each, own_order[-1])]
        if place == "last in" and len(sharing) > _MOST_LAST:
            continue
        for own in sharing:
            others = [each.in_markdown for each in sharing if each is not own]
            text = own.mean_text + (f", with {join_words(others)}" if others else "")
            found = places[own.name].setdefault(f"among the {place}" if others else place, [])
            found.append(f"{name} ({text})")


def _portrait(study: Study, run: RunGroup, places: Mapping[str, Sequence[str]]) -> str:
    parts = [f"{place} {join_words(places[place])}" for place in _PLACES if place in places]
    found = "; ".join(parts) or "neither best nor last in any of them"
    return f"**{run.in_markdown}** is {found}.{_trouble(study, run)}"


def _trouble(study: Study, run: RunGroup) -> str:
    epochs = study.history[study.history["experiment"].isin([each.name for each in run.members])]
    troubled = int(epochs[WARNINGS].fillna("").ne("").sum()) if WARNINGS in epochs else 0
    if not troubled:
        return ""
    return f" Its training showed warning signs in {troubled} of {len(epochs)} epochs."
