"""Which model is best: the first sentences of a report and its metadata."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pandas as pd

from latentbench.artifacts.metrics import Metric
from latentbench.report.presentation.formatting import (
    NBSP,
    duration,
    escape_markdown,
    join_words,
    space_percent,
)
from latentbench.report.results.quantities import MSE
from latentbench.report.results.ranking import (
    Ranked,
    gap,
    gap_text,
    leaders,
    margin,
    margin_text,
    primary,
    rank,
    sources_of_spread,
    tied,
    work,
)
from latentbench.report.results.tables import distance, prdc_quantities
from latentbench.results.study import RunGroup, Study

# A checkpoint counts as in time if it is later than the fastest training's end by up to this.
_CLOCK_TOLERANCE = 0.05

_FIRST_LOOK = (
    "This is a **first look** with the small budget: few images, few epochs, narrow networks. It "
    "shows that everything runs, not which model is better. Set `budget: full` for that."
)


def head(study: Study) -> dict[str, Any]:
    """Return the report's metadata as Markdown: title, authors, and the answer in a sentence."""
    config = study.config
    answers = [_answer(study, dataset, runs) for dataset, runs in study.runs_by_dataset().items()]
    content: dict[str, Any] = {
        "title": escape_markdown(config.title),
        "subtitle": escape_markdown(config.question),
        "author": [escape_markdown(str(author)) for author in config.authors],
        # Pandoc reads metadata that ends with a line break as paragraphs.
        "abstract": "\n\n".join(answers) + "\n",
    }
    if _is_small(study):
        content["budget"] = f"{_FIRST_LOOK}\n"
    return content


def describe(study: Study) -> str:
    """Return which model is best on each dataset, and by how much, as Markdown."""
    paragraphs = []
    for dataset, runs in study.runs_by_dataset().items():
        paragraphs.append(_answer(study, dataset, runs))
        metric, ranking = primary(study, runs)
        details = []
        if metric is not None and len(ranking) > 1:
            details += _other_metrics(study, metric, ranking, runs)
            details += _weaknesses(study, ranking)
            details += _equal_time(study, metric, ranking)
        details += _reconstruction(study, runs)
        if details:
            paragraphs.append(" ".join(details))
    return "\n\n".join([*paragraphs, *_warnings(study)])


def _is_small(study: Study) -> bool:
    return study.config.budget == "small"


def _bold(study: Study, name: str) -> str:
    """Return a name in bold, unless the small budget says nothing about the best model."""
    return name if _is_small(study) else f"**{name}**"


def _answer(study: Study, dataset: str, runs: Sequence[RunGroup]) -> str:
    answer = _best(study, runs)
    if study.has_several_datasets:
        return f"On **{dataset}**: {answer}"
    return answer


def _best(study: Study, runs: Sequence[RunGroup]) -> str:
    metric, ranking = primary(study, runs)
    if metric is None or not ranking:
        return "No model has been measured yet. Run `latentbench evaluate`."
    best = ranking[0]
    if len(ranking) == 1:
        name = _bold(study, best.name)
        return f"Only {name} has been measured: its {metric.name} is {best.text}."
    second = ranking[1]
    lead = _lead(study, metric, best, second)
    if math.isnan(margin(best, second)):
        return f"{lead} With a single set of samples the margin is unknown."
    if tied(best, second):
        return _tie(study, metric, ranking)
    return (
        f"{lead} The difference exceeds the margin of {margin_text(best, second)}: twice its "
        f"standard deviation over {sources_of_spread([(best, second)])}."
    )


def _lead(study: Study, metric: Metric, best: Ranked, second: Ranked) -> str:
    fraction = ""
    if second.mean > 0:
        fraction = f" ({100 * gap(best, second) / second.mean:.0f}{NBSP}%)"
    here = " in this run" if _is_small(study) else ""
    return (
        f"By {metric.name}, {_bold(study, best.name)} is best{here}: {best.text}, "
        f"{gap_text(best, second)}{fraction} below {second.name} ({second.text})."
    )


def _tie(study: Study, metric: Metric, ranking: Sequence[Ranked]) -> str:
    alike = leaders(ranking)
    names = [f"{_bold(study, each.run.stem)} {each.in_brackets}" for each in alike]
    pairs = [(alike[0], other) for other in alike[1:]]
    return (
        f"By {metric.name}, {join_words(names)} are tied. They differ by "
        f"{gap_text(alike[0], alike[-1])}, which is within the margin: twice the standard "
        f"deviation of the difference over {sources_of_spread(pairs)}."
    )


def _other_metrics(
    study: Study, first: Metric, ranking: Sequence[Ranked], runs: Sequence[RunGroup]
) -> list[str]:
    """Return whether the other distances have the same best model."""
    sentences = []
    for metric in study.measured_metrics:
        other = rank(study, distance(metric), runs)
        if metric is first or len(other) < 2:
            continue
        best, exceeds = other[0], not tied(*other[:2])
        if best.name != ranking[0].name:
            limit = "" if exceeds else f", within the margin of {other[1].name}"
            sentence = f"By {metric.name}, {best.name} is best instead ({best.text}{limit})."
        elif not exceeds:
            sentence = f"By {metric.name}, {best.name} is also first, but within the margin."
        elif tied(*ranking[:2]):
            sentence = f"By {metric.name}, {best.name} is first, by more than the margin."
        else:
            sentence = f"By {metric.name}, {best.name} is also best."
        sentences.append(sentence)
    return sentences


def _weaknesses(study: Study, ranking: Sequence[Ranked]) -> list[str]:
    """Return in what the best model is behind the second."""
    best, second = ranking[:2]
    if tied(best, second):
        return []
    behind = []
    for name, quantity in prdc_quantities(study).items():
        pair = rank(study, quantity, [best.run, second.run])
        if len(pair) == 2 and pair[1].name == best.name and not tied(*pair):
            behind.append(f"{name} ({pair[1].mean_text} against {pair[0].mean_text})")
    return [f"In {join_words(behind)}, {best.name} is behind {second.name}."] if behind else []


def _equal_time(study: Study, metric: Metric, ranking: Sequence[Ranked]) -> list[str]:
    """Return the best model at the checkpoints within the training time of the fastest."""
    checkpoints = {each.name: study.checkpoints(each.run, metric.key) for each in ranking}
    totals = pd.Series({name: table["seconds"].max() for name, table in checkpoints.items()})
    works = {work(study, each.run) for each in ranking}
    # Equal work takes equal time but for chance.
    if len(works) == 1 or totals.isna().any():
        return []
    fastest, budget = totals.idxmin(), totals.min()
    reached = []
    for ranked in ranking:
        table = checkpoints[ranked.name]
        in_time = table[table["seconds"] <= (1 + _CLOCK_TOLERANCE) * budget]
        if len(in_time):
            last = in_time.iloc[-1]
            reached.append(replace(ranked, mean=last["mean"], std=last["std"]))
    if len(reached) < 2:
        return []
    best = min(reached, key=lambda ranked: ranked.mean)
    return [
        f"Within the training time of the fastest model ({fastest}, {duration(budget)}), "
        f"{best.name} reaches the lowest {metric.name}: {best.text}."
    ]


def _reconstruction(study: Study, runs: Sequence[RunGroup]) -> list[str]:
    ranking = rank(study, MSE, runs)
    if len(ranking) < 2:
        return []
    best = ranking[0]
    method = best.run.members[0].latent.get("method", "")
    return [f"{best.name} reconstructs test images best (by {method}, MSE {best.mean_text})."]


def _warnings(study: Study) -> list[str]:
    """Return each warning of evaluation once, with the models that it concerns."""
    models: dict[str, list[str]] = {}
    for experiment in study:
        for text in experiment.evaluation.get("warnings") or []:
            models.setdefault(space_percent(str(text)), []).append(experiment.name)
    return [f"**Warning** ({join_words(names)}): {text}" for text, names in models.items()]
