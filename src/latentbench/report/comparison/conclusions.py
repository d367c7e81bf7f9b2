"""Conclusions beyond the ranking, as a short list."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from latentbench.artifacts.metrics import LABEL_ACCURACY, Metric
from latentbench.report.comparison import ablations
from latentbench.results import RunGroup, Study, latent_space, quantities, ranking, tables
from latentbench.results.changes import Change, find_changes
from latentbench.results.formatting import escape_markdown, join_words
from latentbench.results.ranking import Ranked, rank

_MOST_WALKS = 3  # attributes
_IN_LATENT_SPACE = "In the latent space: {}."
_ON_PATHS = (
    "Distance to the training images on paths between two real images, of the two ends and of the "
    "farthest point (1 is the distance of unseen images; mean over pairs): {}."
)
_ALONG_DIRECTIONS = (
    "Change of the share of images with an attribute along its direction, in percentage points: {}."
)
_EFFECTS = {
    "lower": "Lower {}",
    "higher": "Higher {}",
    "undecided": "{} that the trainings do not distinguish",
    "untested": "In single trainings, {} without a test",
}


def summarize(study: Study) -> str:
    """Return a list of findings for each dataset; empty where nothing was measured."""
    paragraphs = []
    for dataset, runs in study.runs_by_dataset().items():
        points = _points(study, runs)
        if points and study.has_several_datasets:
            paragraphs.append(f"On **{escape_markdown(dataset)}**:")
        if points:
            paragraphs.append("- " + "\n- ".join(points))
    return "\n\n".join(paragraphs)


def _points(study: Study, runs: Sequence[RunGroup]) -> list[str]:
    points = []
    metric, _ = ranking.primary(study, ranking.generative(study, runs))
    if metric:
        points += _changes_with_prior(study, metric, runs)
    points += _as_requested(study, runs)
    walks = latent_space.walk_quantities(study, runs)[:_MOST_WALKS]
    for sentence, shown in (
        (_ON_PATHS, latent_space.PATH_DISTANCES),
        (_IN_LATENT_SPACE, [latent_space.ACTIVE_FRACTION]),
        (_ALONG_DIRECTIONS, walks),
    ):
        ranges = _ranges(study, shown, runs)
        if ranges:
            points.append(sentence.format(ranges))
    changes = find_changes(study, runs)
    return [*points, *_seeds(changes), *_effects(study, changes)]


def _changes_with_prior(study: Study, metric: Metric, runs: Sequence[RunGroup]) -> list[str]:
    """Return what the samples of each run gain or lose by its fitted prior, with its ranks."""
    sentences = []
    quantity = tables.distance(metric)
    for run in runs:
        priors = study.by_prior(run)
        changes = []
        for name, each in ({metric.name: quantity} | tables.prdc_quantities(study)).items():
            scores = ranking.by_name(rank(study, each, priors))
            if len(priors) == len(scores) == 2:
                fitted, standard = (scores[prior.name] for prior in priors)
                changes.append(f"{name} {fitted.mean_text} instead of {standard.mean_text}")
        if not changes:
            continue
        rivals = [other for other in runs if other is not run]
        order = [rank(study, quantity, [prior, *rivals]) for prior in priors]
        places = [_place(prior, each) for prior, each in zip(priors, order, strict=True)]
        ranks = ""
        if len(order[0]) > 1 and None not in places:
            both = dict.fromkeys(map(str, places))
            ranks = f"; by {metric.name} it ranks {' instead of '.join(both)} of {len(order[0])}"
        sentences.append(
            f"With latents from {priors[0].prior_name} instead of N(0, I), without new training, "
            f"{run.in_markdown} has {', '.join(changes)}{ranks}."
        )
    if not sentences:
        return []
    return [f"The answer depends on the prior. {' '.join(sentences)}"]


def _place(run: RunGroup, order: Sequence[Ranked]) -> int | None:
    names = [each.name for each in order]
    return names.index(run.name) + 1 if run.name in names else None


def _as_requested(study: Study, runs: Sequence[RunGroup]) -> list[str]:
    """Return the best share of samples as requested, with that of real images and chance."""
    order = rank(study, tables.AS_REQUESTED, ranking.by_prior(study, runs))
    if not order:
        return []
    member = order[0].run.members[0]
    parts = [f"Largest share of samples as requested{_scope(order)}: {_first(order)}"]
    if LABEL_ACCURACY in member.floor:
        parts.append(f"real test images: {member.floor[LABEL_ACCURACY]:.3f}")
    by_attribute = member.evaluation.get("attributes")
    number = 2 if by_attribute else len(member.evaluation.get("classes") or [])
    if number:
        parts.append(f"chance: {1 / number:.3f}")
    return ["; ".join(parts) + "."]


def _seeds(changes: Sequence[Change]) -> list[str]:
    """Return, for each repeated run, its spread over seeds and what other settings changed."""
    found: dict[str, list[Change]] = {}
    for change in changes:
        if change.judged and len(change.first.members) > 1:
            found.setdefault(change.first.name, []).append(change)
    points = []
    for _, own in sorted(found.items()):
        pairs = [change.judged for change in own if change.judged]
        tests = [change.test for change in own if change.test]
        before = pairs[0][0]
        largest = quantities.format_number(max(ranking.gap(*pair) for pair in pairs), before.places)
        number = sum(test.is_significant for test in tests)
        points.append(
            f"Spread over seeds: {before.in_markdown} has {before.quantity.name} {before.text}. "
            f"Other settings change it by up to {largest}. Of {len(own)} such differences, "
            f"{len(tests)} could be tested over trainings, and {number} are significant."
        )
    return points


def _effects(study: Study, changes: Sequence[Change]) -> list[str]:
    """Return which changes had which effect, then what those did that samples do not judge."""
    found: dict[str, list[str]] = {effect: [] for effect in _EFFECTS}
    others = []
    name = ""
    for change in changes:
        settings = ablations.changed_settings(change)
        if change.judged:
            before, after = change.judged
            name = after.quantity.name
            numbers = f"{change.second.in_markdown}: {after.mean_text} against {before.mean_text}"
            effect = "lower" if after.mean < before.mean else "higher"
            if change.test is None:
                effect = "untested"
            elif change.test.is_significant:
                numbers += f", {ranking.p_text(change.test)}"
            else:
                effect = "undecided"
            found[effect].append(f"{settings} ({numbers})")
            continue
        sentences = ablations.reconstructions(study, change)
        if change.second.name not in change.without_prior:
            sentences = ablations.distances(change) + sentences
        if sentences:
            others.append(f"{change.second.in_markdown}, with {settings}: {' '.join(sentences)}")
    points = []
    for effect, title in _EFFECTS.items():
        if found[effect]:
            points.append(f"{title.format(name)}: {'; '.join(found[effect])}.")
    return points + others


def _first(order: Sequence[Ranked]) -> str:
    """Return the first of an order, and what no test distinguishes from it."""
    others = [ranked.in_markdown for ranked in ranking.compare(order).leaders(order)[1:]]
    return order[0].quoted + (f", not distinguished from {join_words(others)}" if others else "")


def _scope(order: Sequence[Ranked]) -> str:
    """Return ` in these trainings` unless tests compare all models of the order."""
    return "" if ranking.compare(order).covers(order) else " in these trainings"


def _ranges(study: Study, shown: Iterable[quantities.Quantity], runs: Sequence[RunGroup]) -> str:
    """Return the lowest and the highest score by quantity: `Linear paths 1.28 (vae) to …`."""
    ranges = []
    for quantity in shown:
        order = sorted(rank(study, quantity, runs), key=lambda ranked: ranked.mean)
        if order:
            ranges.append(f"{quantity.name} {_range(order)}")
    return "; ".join(ranges)


def _range(order: Sequence[Ranked]) -> str:
    """Return the first and the last of an order: `1.28 (vae) to 1.48 (dcgan)`."""
    first, last = order[0], order[-1]
    if len(order) == 1:
        return f"{first.mean_text} ({first.in_markdown})"
    if first.mean_text == last.mean_text:
        return f"{first.mean_text} (all)"
    return f"{first.mean_text} ({first.in_markdown}) to {last.mean_text} ({last.in_markdown})"
