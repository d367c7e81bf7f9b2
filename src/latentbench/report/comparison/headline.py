"""Which model is best: the first sentences of a report and its metadata."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pandas as pd

from latentbench.results import RunGroup, Study, formatting, quantities, ranking, tables
from latentbench.results.formatting import escape_markdown, join_words
from latentbench.results.ranking import Ranked

# A checkpoint counts as in time if it is later than the end of the fastest training by up to this.
_CLOCK_TOLERANCE = 0.05

_FIRST_LOOK = (
    "This is a **first look** with the small budget: few images, few epochs, narrow networks. It "
    "shows that everything runs, not which model is better. Set `budget: full` for that."
)


def head(study: Study) -> dict[str, Any]:
    """Return the report's metadata as Markdown: title, authors, and the answer in a sentence."""
    config = study.config
    answers = [_answer(study, *each) for each in study.runs_by_dataset().items()]
    content: dict[str, Any] = {
        "title": escape_markdown(config.title),
        "subtitle": escape_markdown(config.question),
        "author": [escape_markdown(str(author)) for author in config.authors],
        # Pandoc reads metadata that ends with a line break as paragraphs.
        "abstract": "\n\n".join(answers) + "\n",
    }
    if config.budget == "small":
        content["budget"] = f"{_FIRST_LOOK}\n"
    return content


def describe(study: Study) -> str:
    """Return which model is best on each dataset, and by how much, as Markdown."""
    paragraphs = []
    for dataset, runs in study.runs_by_dataset().items():
        paragraphs.append(_answer(study, dataset, runs))
        _, order = ranking.primary(study, runs)
        details = []
        if len(order) > 1:
            details += _other_metrics(study, order, runs)
            details += _weaknesses(study, *order[:2])
            details += _equal_time(study, order)
        by_error = ranking.rank(study, quantities.MSE, runs)
        if len(by_error) > 1:
            method = by_error[0].run.members[0].latent.get("method", "")
            numbers = f"by {method}, MSE {by_error[0].mean_text}"
            details.append(f"{by_error[0].in_markdown} reconstructs test images best ({numbers}).")
        if details:
            paragraphs.append(" ".join(details))
    return "\n\n".join([*paragraphs, *_warnings(study)])


def _bold(study: Study, name: str) -> str:
    """Return a foreign name in bold, unless the budget is too small to find the best model."""
    escaped = escape_markdown(name)
    return escaped if study.config.budget == "small" else f"**{escaped}**"


def _answer(study: Study, dataset: str, runs: Sequence[RunGroup]) -> str:
    answer = _best(study, runs)
    return f"On **{escape_markdown(dataset)}**: {answer}" if study.has_several_datasets else answer


def _best(study: Study, runs: Sequence[RunGroup]) -> str:
    _, order = ranking.primary(study, runs)
    if not order:
        return "No model has been measured yet. Run `latentbench evaluate`."
    best, metric = order[0], order[0].quantity.name
    if len(order) == 1:
        name = _bold(study, best.name)
        return f"Only {name} has been measured: its {metric} is {best.text}."
    second = order[1]
    margin = ranking.margin(best, second)
    if ranking.tied(best, second) and not math.isnan(margin):
        return _tie(study, order)
    fraction = ""
    if second.mean > 0:
        fraction = f" ({formatting.percent(ranking.gap(best, second) / second.mean, 0)})"
    verdict = "best in this run" if study.config.budget == "small" else "best"
    lead = (
        f"By {metric}, {_bold(study, best.name)} is {verdict}: {best.text}, "
        f"{ranking.gap_text(best, second)}{fraction} below {second.in_markdown} ({second.text})."
    )
    if math.isnan(margin):
        return f"{lead} With a single set of samples the margin is unknown."
    return (
        f"{lead} The difference exceeds the margin of {ranking.margin_text(best, second)}: twice "
        f"its standard deviation over {ranking.sources_of_spread([(best, second)])}."
    )


def _tie(study: Study, order: Sequence[Ranked]) -> str:
    alike = ranking.leaders(order)
    names = [f"{_bold(study, each.run.stem)} {each.in_brackets}" for each in alike]
    pairs = [(alike[0], other) for other in alike[1:]]
    return (
        f"By {order[0].quantity.name}, {join_words(names)} are tied. They differ by "
        f"{ranking.gap_text(alike[0], alike[-1])}, which is within the margin: twice the standard "
        f"deviation of the difference over {ranking.sources_of_spread(pairs)}."
    )


def _other_metrics(study: Study, order: Sequence[Ranked], runs: Sequence[RunGroup]) -> list[str]:
    """Return whether the other distances have the same best model."""
    sentences = []
    for metric in study.measured_metrics:
        other = ranking.rank(study, tables.distance(metric), runs)
        if metric.key == order[0].quantity.key or len(other) < 2:
            continue
        best = other[0]
        if best.name != order[0].name:
            verdict = f"best instead ({best.text})"
        elif ranking.tied(*order[:2]):
            verdict = "first"
        else:
            verdict = "also best"
        if ranking.tied(*other[:2]):
            verdict += f", but within the margin of {other[1].in_markdown}"
        sentences.append(f"By {metric.name}, {best.in_markdown} is {verdict}.")
    return sentences


def _weaknesses(study: Study, best: Ranked, second: Ranked) -> list[str]:
    """Return in what the best model is behind the second."""
    behind = []
    for name, quantity in tables.prdc_quantities(study).items():
        pair = ranking.rank(study, quantity, [best.run, second.run])
        if len(pair) == 2 and pair[1].name == best.name and not ranking.tied(*pair):
            behind.append(f"{name} ({pair[1].mean_text} against {pair[0].mean_text})")
    if not behind or ranking.tied(best, second):
        return []
    return [f"In {join_words(behind)}, {best.in_markdown} is behind {second.in_markdown}."]


def _equal_time(study: Study, order: Sequence[Ranked]) -> list[str]:
    """Return the best model at the checkpoints within the training time of the fastest."""
    metric, ranked = order[0].quantity, ranking.by_name(order)
    found = {name: study.checkpoints(each.run, metric.key) for name, each in ranked.items()}
    checkpoints = pd.concat(found, names=["run"]).reset_index("run")
    totals = checkpoints.groupby("run")["seconds"].max()
    in_time = checkpoints["seconds"] <= (1 + _CLOCK_TOLERANCE) * totals.min()
    last = checkpoints[in_time].groupby("run").tail(1).set_index("run")
    # Equal work takes equal time but for chance.
    does_equal_work = len({ranking.work(study, each.run) for each in order}) == 1
    if does_equal_work or totals.isna().any() or len(last) < 2:
        return []
    name = last["mean"].idxmin()
    best = replace(ranked[name], mean=last.loc[name, "mean"], std=last.loc[name, "std"])
    time = f"{escape_markdown(totals.idxmin())}, {formatting.duration(totals.min())}"
    return [
        f"Within the training time of the fastest model ({time}), {best.in_markdown} reaches the "
        f"lowest {metric.name}: {best.text}."
    ]


def _warnings(study: Study) -> list[str]:
    """Return each warning of evaluation once, with the models that it concerns."""
    models: dict[str, list[str]] = {}
    for experiment in study:
        for text in experiment.evaluation.get("warnings") or []:
            models.setdefault(formatting.space_percent(text), []).append(experiment.in_markdown)
    return [
        f"**Warning** ({join_words(names)}): {escape_markdown(text)}"
        for text, names in models.items()
    ]
