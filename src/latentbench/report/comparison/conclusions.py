"""The end of a report: what the results say about the study's question, as a short list."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from latentbench.report.comparison.ablations import (
    Change,
    distances,
    find_changes,
    reconstructions,
)
from latentbench.report.comparison.classes import class_rows, classifier_accuracy
from latentbench.report.latent.attributes import walk_quantities
from latentbench.report.latent.interpolation import PATH_DISTANCES
from latentbench.report.latent.projections import ACTIVE_FRACTION
from latentbench.results.formatting import escape_markdown, join_words, percent
from latentbench.results.quantities import MSE, Quantity, format_fraction, format_number
from latentbench.results.ranking import Ranked, gap, leaders, primary, rank, tied
from latentbench.results.study import RunGroup, Study
from latentbench.results.tables import AS_REQUESTED

_MOST_WALKS = 3  # attributes
_EFFECTS = {
    1: "Lower {} by more than the margin",
    -1: "Higher {} by more than the margin",
    0: "No difference in {} beyond the margin",
}


def summarize(study: Study) -> str:
    """Return the question and a list for each dataset; empty where nothing was measured."""
    paragraphs = []
    for dataset, runs in study.runs_by_dataset().items():
        points = [f"- {point}" for point in _points(study, runs)]
        if points and study.has_several_datasets:
            paragraphs.append(f"On **{dataset}**:")
        if points:
            paragraphs.append("\n".join(points))
    question = escape_markdown(study.config.question.strip())
    if paragraphs and question:
        paragraphs.insert(0, f"*{question}*")
    return "\n\n".join(paragraphs)


def _points(study: Study, runs: Sequence[RunGroup]) -> list[str]:
    changes = find_changes(study, runs)
    points = [
        _distance(study, runs),
        _reconstruction(study, runs),
        _as_requested(study, runs),
        _discriminators(runs),
        _paths(study, runs),
        _active_dimensions(study, runs),
        _walks(study, runs),
        *_seeds(changes),
        *_effects(study, changes),
    ]
    return [point for point in points if point]


def _distance(study: Study, runs: Sequence[RunGroup]) -> str:
    metric, ranking = primary(study, runs)
    if metric is None or not ranking:
        return ""
    if len(ranking) == 1:
        return f"{metric.name} to the real images: {ranking[0].quoted}, the only measured model."
    return (
        f"Closest to the real images, by {metric.name}: {_first(ranking)}; "
        f"farthest: {_first(ranking[::-1])}."
    )


def _reconstruction(study: Study, runs: Sequence[RunGroup]) -> str:
    ranking = rank(study, MSE, runs)
    if len(ranking) < 2:
        return ""
    return f"Best reconstruction of test images, by squared error: {_first(ranking)}."


def _as_requested(study: Study, runs: Sequence[RunGroup]) -> str:
    """Return the best share of samples as requested, with that of real images and chance."""
    ranking = rank(study, AS_REQUESTED, runs)
    if not ranking:
        return ""
    member = ranking[0].run.members[0]
    parts = [f"Largest share of samples as requested: {_first(ranking)}"]
    accuracy = classifier_accuracy([member])
    if accuracy is not None:
        parts.append(f"real test images: {format_fraction(accuracy, 3)}")
    number = 2 if member.evaluation.get("attributes") else len(class_rows([member]))
    if number:
        parts.append(f"chance: {format_fraction(1 / number, 3)}")
    return "; ".join(parts) + "."


def _discriminators(runs: Sequence[RunGroup]) -> str:
    accuracies = []
    for run in runs:
        for member in run.members:
            if member.evaluation.get("discriminator"):
                accuracies.append(float(member.evaluation["discriminator"]["all"]["accuracy"]))
    if not accuracies:
        return ""
    ends = dict.fromkeys((percent(min(accuracies)), percent(max(accuracies))))
    return (
        f"In the end discriminators are right on {' to '.join(ends)} of real and generated "
        "images; guessing is right on half."
    )


def _paths(study: Study, runs: Sequence[RunGroup]) -> str:
    ranges = _ranges(study, PATH_DISTANCES.values(), runs)
    if not ranges:
        return ""
    return (
        "Largest distance to the training images on paths between two real images (1 is the "
        f"distance of unseen images; mean over pairs): {ranges}."
    )


def _active_dimensions(study: Study, runs: Sequence[RunGroup]) -> str:
    ranking = rank(study, ACTIVE_FRACTION, runs)
    return f"Active latent dimensions: {_range(ranking[::-1])}." if ranking else ""


def _walks(study: Study, runs: Sequence[RunGroup]) -> str:
    ranges = _ranges(study, walk_quantities(study, runs)[:_MOST_WALKS], runs)
    if not ranges:
        return ""
    return (
        "Change of the share of images with an attribute along its direction, in percentage "
        f"points: {ranges}."
    )


def _seeds(changes: Sequence[Change]) -> list[str]:
    """Return, for each repeated run, its spread over seeds and what other settings changed."""
    pairs: dict[str, list[tuple[Ranked, Ranked]]] = {}
    for change in changes:
        if change.judged and len(change.first.members) > 1:
            pairs.setdefault(change.first.name, []).append(change.judged)
    points = []
    for name, own in sorted(pairs.items()):
        before = own[0][0]
        beyond = [pair for pair in own if not tied(*pair)]
        largest = format_number(max(gap(*pair) for pair in own), before.places)
        points.append(
            f"Spread over seeds: {name} has {before.quantity.name} {before.text}. Of {len(own)} "
            f"models with other settings, {len(beyond) or 'none'} differ by more than the margin; "
            f"the largest difference is {largest}."
        )
    return points


def _effects(study: Study, changes: Sequence[Change]) -> list[str]:
    points = []
    for effect, title in _EFFECTS.items():
        found = []
        name = ""
        for change in changes:
            if change.judged and change.effect == effect:
                before, after = change.judged
                name = after.quantity.name
                numbers = f"{after.mean_text} against {before.mean_text}"
                found.append(f"{change.settings} ({change.second.name}: {numbers})")
        if found:
            points.append(f"{title.format(name)}: {'; '.join(found)}.")
    for change in changes:
        sentences = reconstructions(study, change)
        if change.second.name not in change.without_prior:
            sentences = distances(change) + sentences
        if sentences and not change.judged:
            points.append(f"{change.second.name}, with {change.settings}: {' '.join(sentences)}")
    return points


def _first(order: Sequence[Ranked]) -> str:
    """Return the first of an order, and what is tied with it."""
    others = [ranked.name for ranked in leaders(order)[1:]]
    return order[0].quoted + (f", tied with {join_words(others)}" if others else "")


def _ranges(study: Study, quantities: Iterable[Quantity], runs: Sequence[RunGroup]) -> str:
    ranges = []
    for quantity in quantities:
        ranking = rank(study, quantity, runs)
        if ranking:
            ranges.append(f"{quantity.name} {_range(ranking)}")
    return "; ".join(ranges)


def _range(order: Sequence[Ranked]) -> str:
    """Return the first and the last of an order: `1.28 (vae) to 1.48 (dcgan)`."""
    first, last = order[0], order[-1]
    if len(order) == 1:
        return f"{first.mean_text} ({first.name})"
    if first.mean_text == last.mean_text:
        return f"{first.mean_text} (all)"
    return f"{first.mean_text} ({first.name}) to {last.mean_text} ({last.name})"
