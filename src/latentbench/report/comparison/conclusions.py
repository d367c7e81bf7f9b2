"""The end of a report: what the results say to the study's question, as far as they can, in a short list."""

from __future__ import annotations

from collections.abc import Sequence

from latentbench.config.models import has_prior
from latentbench.report.comparison.ablations import (
    Change,
    changes_of,
    distances,
    objective_of,
    reconstructions,
)
from latentbench.report.comparison.classes import classifier_accuracy, rows_of
from latentbench.report.latent.attributes import walk_columns
from latentbench.report.latent.interpolation import FARTHEST
from latentbench.report.latent.projections import IN_USE
from latentbench.report.presentation.formatting import escape_markdown, join_words, percent
from latentbench.report.results.ranking import (
    Ranked,
    gap,
    level,
    primary,
    rank,
    sources_of_spread,
    tied,
)
from latentbench.report.results.tables import AS_ASKED, SQUARED_ERROR, plain
from latentbench.results.study import RunGroup, Study

_MOST_WALKS = 3  # attributes


def in_short(study: Study) -> str:
    """The question, and by dataset a list; nothing where nothing was measured."""
    groups = {
        dataset: study.run_groups(experiments)
        for dataset, experiments in study.by_dataset().items()
    }
    lists = {
        dataset: points
        for dataset, run_groups in groups.items()
        if (points := _points(study, run_groups))
    }
    if not lists:
        return ""
    question = escape_markdown(study.config.question.strip())
    paragraphs = [f"*{question}*"] * bool(question)
    for dataset, points in lists.items():
        paragraphs += [f"On **{dataset}**:"] * (len(groups) > 1)
        paragraphs.append("\n".join(f"- {point}" for point in points))
    return "\n\n".join(paragraphs)


def _points(study: Study, run_groups: Sequence[RunGroup]) -> list[str]:
    changes = changes_of(study, run_groups)
    _, ranking = primary(study, run_groups)
    return [
        *_distance(ranking),
        *_reconstruction(run_groups),
        *_asked(run_groups),
        *_discriminators(run_groups),
        *_paths(run_groups),
        *_units(run_groups),
        *_walks(run_groups),
        *_luck(changes),
        *_effects(changes),
    ]


def _distance(ranking: Sequence[Ranked]) -> list[str]:
    if not ranking:
        return []
    name = ranking[0].column.name
    if len(ranking) == 1:
        return [f"{name} to the real images: {ranking[0].quoted}, which alone was measured."]
    return [
        f"Closest to the real images, by {name}: {_end(ranking)}; farthest: {_end(ranking[::-1])}."
    ]


def _reconstruction(run_groups: Sequence[RunGroup]) -> list[str]:
    ranking = rank(SQUARED_ERROR, run_groups)
    return (
        [f"Best reconstruction of test images, by squared error: {_end(ranking)}."]
        if len(ranking) > 1
        else []
    )


def _asked(run_groups: Sequence[RunGroup]) -> list[str]:
    """Between chance and what the classifier makes of real images."""
    ranking = rank(AS_ASKED, run_groups)
    if not ranking:
        return []
    member = ranking[0].run_group.members[0]
    accuracy = classifier_accuracy([member])
    number = 2 if (member.metrics or {}).get("attributes") else len(rows_of(member))
    bounds = [f"of real test images {plain(accuracy, 3)} are"] if accuracy is not None else []
    bounds += [f"chance would be {plain(1 / number, 3)}"] if number else []
    best = (
        "Best at drawing what was asked for" if len(ranking) > 1 else "Drawing what was asked for"
    )
    return ["; ".join([f"{best}, by the share that is recognized: {_end(ranking)}", *bounds]) + "."]


def _discriminators(run_groups: Sequence[RunGroup]) -> list[str]:
    """Between which shares they are right: of images, not of models."""
    rights = [
        float(facts["all"]["accuracy"])
        for run_group in run_groups
        for member in run_group.members
        if (facts := (member.metrics or {}).get("discriminator"))
    ]
    if not rights:
        return []
    low, high = percent(min(rights)), percent(max(rights))
    between = f"{low} to {high}" if low != high else low
    who = "Discriminators are" if len(rights) > 1 else "The discriminator is"
    return [
        f"{who} right on {between} of real and generated images in the end; guessing gets half."
    ]


def _paths(run_groups: Sequence[RunGroup]) -> list[str]:
    """What lies between real images in the latent spaces."""
    found = {column: ranking for column in FARTHEST if (ranking := rank(column, run_groups))}
    if not found:
        return []
    ends = "; ".join(
        f"{column.name.lower()} {_first_to_last(ranking)}" for column, ranking in found.items()
    )
    return [
        "How far paths between two real images stray from the training images at most, where 1 is as far as unseen "
        f"images lie from them, in the mean over pairs: {ends}."
    ]


def _units(run_groups: Sequence[RunGroup]) -> list[str]:
    """Of models with an encoder."""
    ranking = rank(IN_USE, run_groups)
    return (
        [f"Dimensions of the codes that are in use: {_first_to_last(ranking[::-1])}."]
        if ranking
        else []
    )


def _walks(run_groups: Sequence[RunGroup]) -> list[str]:
    """Where the data have attributes."""
    columns = walk_columns([member for run_group in run_groups for member in run_group.members])
    ends = [
        f"{column.title} {_first_to_last(rank(column, run_groups))}"
        for column in columns[:_MOST_WALKS]
    ]
    if not ends:
        return []
    return [
        "By how many percentage points a walk along an attribute changes the share of images in which it is seen: "
        f"{'; '.join(ends)}."
    ]


def _first_to_last(order: Sequence[Ranked]) -> str:
    """Of an order, or what all have where they read alike."""
    first, last = order[0], order[-1]
    if first.mean == last.mean:
        return f"{first.mean} ({first.name if len(order) == 1 else 'all'})"
    return f"{first.mean} ({first.name}) to {last.mean} ({last.name})"


def _luck(changes: Sequence[Change]) -> list[str]:
    """Of repeats: what the seed alone makes, against what the settings that were tried beside it do."""
    points = []
    for name in sorted({change.first.name for change in changes if len(change.first.members) > 1}):
        pairs = [change.judged for change in changes if change.first.name == name and change.judged]
        if not pairs:
            continue
        before, beyond = pairs[0][0], [pair for pair in pairs if not tied(*pair)]
        largest = plain(max(gap(*pair) for pair in pairs), before.places)
        points.append(
            f"The luck of the seed: {name} has {before.column.name} {before.written} over its trainings. "
            f"Of {len(pairs)} models with another setting, {len(beyond) or 'none'} "
            f"{'differs' if len(beyond) == 1 else 'differ'} from it by more than luck explains (twice the standard "
            f"deviation of the difference); the largest difference is {largest}."
        )
    return points


def _effects(changes: Sequence[Change]) -> list[str]:
    told = {"What helped": 1, "What hurt": -1, "What made no difference": 0}
    points = []
    for what, effect in told.items():
        found = [change for change in changes if change.effect == effect]
        if pairs := [change.judged for change in found if change.judged]:
            limit = (
                f"by {pairs[0][0].column.name}, beyond the spread over {sources_of_spread(pairs)}"
            )
            tried = [_tried(change, *change.judged) for change in found if change.judged]
            points.append(f"{what}, {limit}: {'; '.join(tried)}.")
    return points + [
        point for change in changes if not change.judged for point in _unjudged(change)
    ]


def _tried(change: Change, before: Ranked, after: Ranked) -> str:
    return f"{change.settings} ({change.other.name}: {after.mean} against {before.mean})"


def _unjudged(change: Change) -> list[str]:
    """What samples do not judge is judged by what it was trained for."""
    has_samples = has_prior(objective_of(change.other))
    sentences = [*(distances(change) if has_samples else []), *reconstructions(change)]
    return (
        [f"{change.other.name}, with {change.settings}: {' '.join(sentences)}"] if sentences else []
    )


def _end(order: Sequence[Ranked]) -> str:
    """The first of an order and who cannot be told apart from it."""
    beside = [ranked.name for ranked in level(order)[1:]]
    return order[0].quoted + (f", not told apart from {join_words(beside)}" if beside else "")
