"""Sentences on which model is best by each measure, and the report's metadata."""

from __future__ import annotations

from collections import defaultdict
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
    """Return the report's metadata as Markdown: title, question and authors."""
    config = study.config
    content: dict[str, Any] = {
        "title": escape_markdown(config.title),
        "subtitle": escape_markdown(config.question),
        "author": [escape_markdown(str(author)) for author in config.authors],
    }
    if config.budget == "small":
        # Pandoc reads metadata that ends with a line break as paragraphs.
        content["budget"] = f"{_FIRST_LOOK}\n"
    return content


def answer(study: Study) -> str:
    """Return which model is closest to the images of a dataset, and by how much, as Markdown."""
    rivals = ranking.generative(study, study.run_groups())
    _, order = ranking.primary(study, rivals)
    if not order:
        return "No model that generates images has been measured yet. Run `latentbench evaluate`."
    if len(order) == 1:
        (only,) = order
        return (
            f"Only {only.in_markdown} has been measured: its {only.quantity.name} is {only.text}."
        )
    return " ".join([*_lead(study, order), *_disagreements(study, order, rivals)])


def describe(study: Study) -> str:
    """Return what else is measured of the models of each dataset, as Markdown."""
    paragraphs = []
    for dataset, runs in study.runs_by_dataset().items():
        rivals = ranking.generative(study, runs)
        _, order = ranking.primary(study, rivals)
        details = []
        if len(order) > 1:
            details += _other_metrics(study, order, rivals)
            details += _equal_time(study, order)
        details += [*_unranked(order, ranking.by_prior(study, runs)), *_reconstruction(study, runs)]
        if details and study.has_several_datasets:
            details.insert(0, f"On **{escape_markdown(dataset)}**:")
        if details:
            paragraphs.append(" ".join(details))
    return "\n\n".join([*paragraphs, *_warnings(study)])


def _lead(study: Study, order: Sequence[Ranked]) -> list[str]:
    """Return which model is best if tests show it, else which has the lowest distance."""
    tests = ranking.compare(order)
    first, second = order[:2]
    if not all(tests.between(first, each) for each in order[1:]):
        return _untested(order)
    alike = tests.leaders(order)
    test = tests.between(alike[0], alike[-1] if len(alike) > 1 else second)
    assert test is not None
    if len(alike) == 1:
        strong = "" if study.config.budget == "small" else "**"
        verdict = "best in this run" if study.config.budget == "small" else "best"
        evidence = ranking.evidence(first, second, test)
        return [
            f"By {first.quantity.name}, {strong}{first.in_markdown}{strong} is {verdict}: "
            f"{first.text} against {second.text} of {second.in_markdown}, the second.",
            f"The difference is {_gap(first, second)}, {evidence}{ranking.correction(test)}, with "
            f"{ranking.trainings(first, second)}.",
        ]
    last = alike[-1]
    names = join_words([each.quoted for each in alike])
    evidence = ranking.evidence(first, last, test) + ranking.correction(test)
    sentences = [
        f"By {first.quantity.name}, the trainings do not distinguish {names}, which does not show "
        f"that they are equal: {first.in_markdown} and {last.in_markdown} differ by "
        f"{ranking.gap_text(first, last)} ({evidence}; {ranking.trainings(*alike)})."
    ]
    behind = [each.in_markdown for each in order if each not in alike]
    if behind:
        sentences.append(f"Farther than {first.in_markdown}: {join_words(behind)}.")
    return sentences


def _untested(order: Sequence[Ranked]) -> list[str]:
    """Return which model has the lowest distance, and that it shows nothing beyond itself."""
    first, second = order[:2]
    sentences = [
        f"In these trainings, {first.in_markdown} has the lowest {first.quantity.name}: "
        f"{first.text}, {_gap(first, second)} below {second.quoted}."
    ]
    once = [each.in_markdown for each in order if each.num_trainings == 1]
    if len(once) == len(order):
        sentences.append("Each model was trained once; another training could change the order.")
    elif once:
        sentences.append(
            f"This is no verdict, because one training shows no spread: {join_words(once)} "
            f"{_was(once)} trained once."
        )
    else:
        sentences.append("Scores do not vary between trainings, so there is no test.")
    return sentences


def _gap(first: Ranked, second: Ranked) -> str:
    """Return `1.3 (31 %)`: the difference, and as a share of the second's distance."""
    text = ranking.gap_text(first, second)
    if second.mean > 0:
        text += f" ({formatting.percent(ranking.gap(first, second) / second.mean, 0)})"
    return text


def _was(names: Sequence[str]) -> str:
    return "was" if len(names) == 1 else "were"


def _disagreements(study: Study, order: Sequence[Ranked], runs: Sequence[RunGroup]) -> list[str]:
    """Return who is ahead of the first of an order in precision, recall, density or coverage."""
    ahead = defaultdict(list)
    for name, quantity in tables.prdc_quantities(study).items():
        others = ranking.rank(study, quantity, runs)
        found = ranking.by_name(others).get(order[0].name)
        if found and ranking.differ(others[0], found, ranking.compare(others)):
            text = f"{name} ({others[0].mean_text} against {found.mean_text})"
            ahead[others[0].name].append(text)
    if not ahead:
        return []
    parts = []
    for name, measures in ahead.items():
        parts.append(f"{escape_markdown(name)} is ahead in {join_words(measures)}")
    return [f"Other measures disagree: {'; '.join(parts)}."]


def _other_metrics(study: Study, order: Sequence[Ranked], runs: Sequence[RunGroup]) -> list[str]:
    """Return whether the other distances have the same first model."""
    sentences = []
    for metric in study.measured_metrics:
        other = ranking.rank(study, tables.distance(metric), runs)
        if metric.key == order[0].quantity.key or len(other) < 2:
            continue
        first, tests = other[0], ranking.compare(other)
        verdict = "also lowest for" if first.name == order[0].name else "lowest for"
        sentence = f"{metric.name} is {verdict} {first.in_markdown} ({first.text})"
        alike = [each.in_markdown for each in tests.leaders(other)[1:]]
        if len(alike) == len(other) - 1:
            sentence += ", not distinguished from any other"
        elif alike:
            sentence += f", which its trainings do not distinguish from {join_words(alike)}"
        sentences.append(f"{sentence}.")
    return sentences


def _unranked(order: Sequence[Ranked], runs: Sequence[RunGroup]) -> list[str]:
    """Return which of the evaluated models the distance does not rank, and why."""
    sentences = []
    untrained = [run.in_markdown for run in runs if not run.is_generative]
    if untrained:
        sentences.append(
            f"Distances do not rank {join_words(untrained)}, which {_was(untrained)} not trained "
            "to generate samples."
        )
    ranked = {each.name for each in order}
    missing = [
        run.in_markdown
        for run in runs
        if run.is_generative
        and run.name not in ranked
        and any(member.evaluation for member in run.members)
    ]
    if missing and order:
        sentences.append(
            f"{join_words(missing)} {_was(missing)} not ranked, without a finite "
            f"{order[0].quantity.name} of every training."
        )
    return sentences


def _reconstruction(study: Study, runs: Sequence[RunGroup]) -> list[str]:
    """Return which model reconstructs best, if tests show it, else which has the lowest error."""
    order = ranking.rank(study, quantities.MSE, ranking.competing(study, quantities.MSE, runs))
    if len(order) < 2:
        return []
    first, second = order[:2]
    method = first.run.members[0].latent.get("method", "")
    tests, number = ranking.compare_reconstructions(study, order)
    where, scope = ranking.trainings(*order), ""
    if number:
        where, scope = f"paired over {number:,} test images", "In these trainings, "
        if study.repeats:  # which are not explored
            scope = "In the first training of each model, "
    subject = f"{first.in_markdown} (by {method})" if method else first.in_markdown
    numbers = f"MSE {first.mean_text} against {second.mean_text} of {second.in_markdown}"
    doubtful = next((each for each in order[1:] if not tests.decided(first, each)), None)
    test = tests.between(first, doubtful or second)
    if test is None and first.mean_text == second.mean_text:
        return []
    if doubtful is None and test is not None:
        evidence = ranking.evidence(first, second, test) + ranking.correction(test)
        return [f"{scope}{subject} reconstructs test images best: {numbers} ({evidence}; {where})."]
    sentence = f"{scope}{subject} has the lowest reconstruction error: {numbers}"
    if doubtful is not None and test is not None:
        sentence += (
            f"; it is not distinguished from {doubtful.in_markdown} ({ranking.p_text(test)}; "
            f"{where})"
        )
    return [f"{sentence}."]


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
    fastest = replace(ranked[totals.idxmin()].run, prior=None)
    time = f"{fastest.in_markdown}, {formatting.duration(totals.min())}"
    return [
        f"Within the training time of the fastest model ({time}), {best.in_markdown} reached the "
        f"lowest {metric.name} in these trainings: {best.text}."
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
