"""Memorization: how close samples are to training images, and the closest ones side by side."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from latentbench.artifacts.metrics import CLOSER_TO_TRAIN, DISTANCES, feature_column
from latentbench.artifacts.thresholds import CLOSE_QUANTILE, COPY_FRACTION
from latentbench.report.presentation.formatting import (
    join_words,
    names_of,
    percent,
    space_percent,
)
from latentbench.report.presentation.image_grids import Images, Row, join, rows_figures, strip
from latentbench.report.presentation.page import Drawing, Table
from latentbench.report.presentation.style import color_of, house_style
from latentbench.report.results.quantities import Quantity
from latentbench.report.results.tables import models_table, percent_cell
from latentbench.results.study import Experiment, Study

_EXTRACTORS = {"inception": "Inception", "classifier": "classifier"}
_GROUPS = 3  # samples in a row, each with its closest training images
_GAP, _GROUP_GAP = 0.2, 0.7  # of an image's side: after a sample, and after a group
_HALVES = {"closest": 0, "not selected": 1}  # of the stored samples


def closeness(study: Study) -> Table:
    """Return the share of samples closer to a training image than the median test image is."""
    _, notes = study.with_rows(study.metrics, "metrics.csv", "evaluate")
    quantities = []
    for extractor in DISTANCES:
        key = feature_column(CLOSER_TO_TRAIN, extractor)
        if key in set(study.scores["quantity"]):
            name = f"Closer than test images ({_EXTRACTORS[extractor]}), %"
            quantities.append(Quantity(key, name, 0, lambda value, _: percent_cell(value)))
    return Table(models_table(study, quantities) if quantities else None, notes)


def closest_pairs(study: Study) -> Drawing:
    """Return samples with their closest training images: the closest of all, then random ones."""
    present, notes = study.with_evaluation("memory_samples", "memory_nearest")
    if not present:
        return Drawing(None, notes=notes)
    groups = []
    for experiment in present:
        rows = []
        for remark, half in _HALVES.items():
            images = _sample_groups(experiment, half)
            rows.append(Row(experiment.name, color_of(experiment.index), images, remark))
        groups.append(rows)
    with house_style():
        figure, *others = rows_figures(groups, header=_header(present[0]))
    description = f"Samples and their closest training images, of {names_of(present)}."
    return Drawing(figure, description, notes, others)


def verdicts(study: Study) -> str:
    """Return when samples count as copies, and for which models they do."""
    facts = {each.name: _facts(each) for each in study if _facts(each)}
    if not facts:
        return ""
    sentences = [
        f"Samples count as copies if at least {percent(COPY_FRACTION, 0)} of them are closer to a "
        f"training image than the closest {percent(CLOSE_QUANTILE, 0)} of the real test images are."
    ]
    copied = {}
    for name, own in facts.items():
        if own.get("verdict"):
            sentences.append(f"**{name}**: {space_percent(own['verdict'])}")
        copied[name] = own.get("copied")
    if len(sentences) == 1:
        sentences.append(_no_copies(copied))
    typical = _typical(study)
    if typical:
        sentences.append(
            f"The samples of {join_words(typical)} are closer to training images than test images "
            "are, but they are typical images, not copies."
        )
    return " ".join(sentences)


def scope(study: Study) -> str:
    """Return how many samples were compared with how many training images."""
    sizes = {(_facts(each)["num_samples"], _facts(each)["num_training"]) for each in study
             if _facts(each)}
    sentences = []
    for samples, images in sorted(sizes):
        sentences.append(
            f"{samples:,} samples of each sampling seed were compared with {images:,} training "
            "images."
        )
    return " ".join(sentences)


def _facts(experiment: Experiment) -> Mapping[str, Any]:
    return experiment.evaluation.get("memory") or {}


def _no_copies(copied: Mapping[str, float | None]) -> str:
    known = {name: share for name, share in copied.items() if share is not None}
    if len(known) < len(copied):
        return "No model's samples do."
    most = max(known, key=lambda name: known[name])
    if known[most] == 0:
        return "No model has a sample that close."
    return f"No model's samples do; the largest share is {percent(known[most])}, of {most}."


def _typical(study: Study) -> Sequence[str]:
    """Return the models whose samples are closer than test images by more than their spread."""
    scores = study.scores.set_index(["experiment", "quantity"])
    found = []
    for experiment in study:
        facts = _facts(experiment)
        key = feature_column(CLOSER_TO_TRAIN, str(facts.get("extractor")))
        if facts and not facts.get("verdict") and (experiment.name, key) in scores.index:
            score = scores.loc[(experiment.name, key)].fillna(0)
            if score["mean"] - 2 * score["std"] > experiment.floor.get(key, 0.5):
                found.append(experiment.name)
    return found


def _sample_groups(experiment: Experiment, half: int) -> Images:
    """Return samples, each followed by its closest training images."""
    samples = experiment.evaluation_arrays["memory_samples"]
    nearest = experiment.evaluation_arrays["memory_nearest"]
    number = len(samples) // 2
    side = samples.shape[2]
    groups = []
    for place in range(half * number, half * number + min(_GROUPS, number)):
        pair = [strip(samples[place : place + 1]), strip(nearest[place])]
        groups.append(join(pair, gap=_GAP * side))
    return join(groups, gap=_GROUP_GAP * side)


def _header(experiment: Experiment) -> list[tuple[str, float]]:
    """Return titles and their places above the first group, which hold for all groups."""
    side = experiment.evaluation_arrays["memory_samples"].shape[2]
    width = strip(experiment.evaluation_arrays["memory_nearest"][0]).shape[1]
    return [("sample", side / 2), ("closest real", side * (1 + _GAP) + width / 2)]
