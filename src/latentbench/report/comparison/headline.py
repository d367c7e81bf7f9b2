"""Sentences computed from results: they say what the numbers say, and change when the numbers do."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from latentbench.artifacts.metrics import Metric
from latentbench.report.presentation.formatting import NBSP, duration, listed, literal, spaced
from latentbench.report.results.columns import SQUARED_ERROR, distance_column, overlap_columns
from latentbench.report.results.ranking import (
    Ranked,
    gap,
    level,
    margin,
    primary,
    rank,
    sources_of_spread,
    tied,
    work,
    written_gap,
    written_margin,
)
from latentbench.report.results.study import RunGroup, Study

# By so much a checkpoint may come after the fastest model's end: as much as the clock varies.
_AS_LONG = 0.05


def head(study: Study) -> dict[str, Any]:
    """What stands at the head of the report, as Markdown: title, question, authors, the answer in a sentence."""
    config = study.config
    answers = [_answer(study, dataset, run_groups) for dataset, run_groups in _groups(study)]
    content: dict[str, Any] = {"title": literal(config.title), "subtitle": literal(config.question)}
    content["author"] = [literal(str(author)) for author in config.authors]
    # Metadata that ends with a line is read as paragraphs.
    paragraphs = {"abstract": "\n\n".join(answers), "budget": budget(study)}
    return content | {key: f"{text}\n" for key, text in paragraphs.items() if text}


def budget(study: Study) -> str:
    """That a study was cut down, where it was."""
    return (
        "This is a **first look**, with the small budget: few images and epochs, narrow networks. Its numbers say that "
        "everything runs, not which model is better; `budget: full` gives those."
    ) * (study.config.budget == "small")


def headline(study: Study) -> str:
    """Which model is best on each dataset, by how much, and whether that exceeds the spread."""
    paragraphs = []
    for dataset, run_groups in _groups(study):
        paragraphs.append(_answer(study, dataset, run_groups))
        further = [
            *_other_metrics(study, run_groups),
            *_equal_time(study, run_groups),
            *_reconstruction(run_groups),
        ]
        paragraphs += [" ".join(further)] if further else []
    return "\n\n".join([*paragraphs, *_warnings(study)])


def _groups(study: Study) -> list[tuple[str, list[RunGroup]]]:
    return [
        (dataset, study.run_groups(experiments))
        for dataset, experiments in study.by_dataset().items()
    ]


def _answer(study: Study, dataset: str, run_groups: Sequence[RunGroup]) -> str:
    """Which model is best; of several datasets, on which."""
    winner = _winner(study, run_groups)
    return (
        f"On **{dataset}**, {winner[0].lower()}{winner[1:]}"
        if len(study.by_dataset()) > 1
        else winner
    )


def _winner(study: Study, run_groups: Sequence[RunGroup]) -> str:
    metric, ranking = primary(study, run_groups)
    if metric is None or not ranking:
        return "No model has been measured yet, so there is no best one; `latentbench evaluate` measures."
    if len(ranking) == 1:
        only = ranking[0]
        return f"Only {_named(study, only)} has been measured ({metric.name} {only.written}): nothing compares with it."
    best, second = ranking[:2]
    if margin(best, second) is None:
        return (
            _lead(study, metric, ranking) + " With a single set of samples its spread is unknown."
        )
    if tied(best, second):
        return _tie(study, metric, ranking)
    return (
        f"{_lead(study, metric, ranking)} This exceeds the spread over {sources_of_spread([(best, second)])} "
        f"({written_margin(best, second)}, twice the standard deviation of the difference)."
    )


def _named(study: Study, ranked: Ranked) -> str:
    """In bold, but not what a first look finds."""
    return ranked.name if study.config.budget == "small" else f"**{ranked.name}**"


def _quoted(study: Study, ranked: Ranked) -> str:
    return (
        ranked.quoted
        if study.config.budget == "small"
        else f"**{ranked.run_group.stem}** {ranked.bracketed}"
    )


def _lead(study: Study, metric: Metric, ranking: Sequence[Ranked]) -> str:
    best, second = ranking[:2]
    share = (
        f" ({100 * gap(best, second) / second.score.mean:.0f}{NBSP}%)"
        if second.score.mean > 0
        else ""
    )
    in_this_run = study.config.budget == "small"
    comes = (
        "came closest to the real images in this run"
        if in_this_run
        else "comes closest to the real images"
    )
    return (
        f"By {metric.name}, {_named(study, best)} {comes}: its {best.written} is {written_gap(best, second)}{share} "
        f"below the {second.written} of {second.name}, the next best."
    )


def _tie(study: Study, metric: Metric, ranking: Sequence[Ranked]) -> str:
    alike = level(ranking)
    scores = listed([_quoted(study, ranked) for ranked in alike])
    pairs = [(alike[0], other) for other in alike[1:]]
    return (
        f"By {metric.name}, {scores} cannot be told apart: they differ by {written_gap(alike[0], alike[-1])}, "
        f"which is within the spread over {sources_of_spread(pairs)} (twice the standard deviation of the difference)."
    )


def _other_metrics(study: Study, run_groups: Sequence[RunGroup]) -> list[str]:
    """Whether the remaining metrics name the same best model."""
    first, ranking = primary(study, run_groups)
    if len(ranking) < 2:
        return []
    rankings = {
        metric: rank(distance_column(metric), run_groups)
        for metric in study.metrics
        if metric is not first
    }
    verdicts = [
        _other(metric, other, ranking) for metric, other in rankings.items() if len(other) > 1
    ]
    return [*verdicts, *_behind(study, ranking)]


def _other(metric: Metric, other: Sequence[Ranked], ranking: Sequence[Ranked]) -> str:
    best, beyond = other[0], not tied(*other[:2])
    if best.run_group is not ranking[0].run_group:
        limit = "" if beyond else f", within its spread of {other[1].name}"
        return f"By {metric.name}, {best.name} comes first instead ({best.written}{limit})."
    if not beyond:
        return f"{metric.name} puts {best.name} first too, within its spread."
    if tied(*ranking[:2]):
        return f"{metric.name} puts {best.name} first beyond its spread."
    return f"{metric.name} agrees: {best.name} is lowest."


def _behind(study: Study, ranking: Sequence[Ranked]) -> list[str]:
    """In what the winner, where there is one, is behind the next best."""
    best, second = ranking[:2]
    if tied(best, second):
        return []
    behind = []
    for quantity, column in overlap_columns(study).items():
        pair = rank(column, [best.run_group, second.run_group])
        if len(pair) == 2 and pair[1].run_group is best.run_group and not tied(*pair):
            behind.append(f"{quantity} ({pair[1].mean} against {pair[0].mean})")
    return [f"In {listed(behind)} {best.name} is behind {second.name}."] if behind else []


def _equal_time(study: Study, run_groups: Sequence[RunGroup]) -> list[str]:
    """The best model within the training time of the fastest, by the checkpoints that each had by then."""
    metric, ranking = primary(study, run_groups)
    totals = [(r.run_group.checkpoints[-1].seconds or math.nan, r.name) for r in ranking]
    if metric is None or len(ranking) < 2 or any(math.isnan(seconds) for seconds, _ in totals):
        return []
    if len({work(r.run_group) for r in ranking}) == 1:
        return []  # What equal work takes differs by chance.
    budget, fastest = min(totals)
    reached, latest = [], (1 + _AS_LONG) * budget
    for r in ranking:
        in_time = [
            c
            for c in r.run_group.checkpoints
            if (c.seconds or 0) <= latest and metric.key in c.scores
        ]
        if in_time:
            reached.append(replace(r, score=in_time[-1].scores[metric.key]))
    if len(reached) < 2:
        return []
    best = min(reached, key=lambda r: r.score.mean)
    return [
        f"Within the training time of the fastest ({fastest}, {duration(budget)}), "
        f"the lowest {metric.name} at a checkpoint is that of {best.name} ({best.written})."
    ]


def _reconstruction(run_groups: Sequence[RunGroup]) -> list[str]:
    ranking = rank(SQUARED_ERROR, run_groups)
    if len(ranking) < 2:
        return []
    best = ranking[0]
    way = (best.run_group.members[0].exploration or {}).get("method", "")
    return [f"Real test images are reconstructed best by {best.name} (by {way}, MSE {best.mean})."]


def _warnings(study: Study) -> list[str]:
    """Each once, with the names of the models that it is about."""
    about: dict[str, list[str]] = {}
    for experiment in study.experiments:
        for text in (experiment.metrics or {}).get("warnings") or []:
            about.setdefault(spaced(str(text)), []).append(experiment.name)
    return [f"**Mind** ({listed(names)}): {text}" for text, names in about.items()]
