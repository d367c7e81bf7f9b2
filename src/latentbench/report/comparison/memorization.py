"""Whether samples are new: how near they come to training images, and the nearest ones beside them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from latentbench.artifacts.metrics import CLOSER_TO_TRAIN, METRICS, feature_column
from latentbench.artifacts.thresholds import CLOSE_QUANTILE, COPY_FRACTION
from latentbench.report.latent.sample_grids import names
from latentbench.report.presentation.formatting import listed, percent, spaced
from latentbench.report.presentation.image_grids import Images, Row, join, rows_figures, strip
from latentbench.report.presentation.page import Drawing, Table
from latentbench.report.presentation.style import color_of, house_style
from latentbench.report.results.columns import Column, measured, models_table
from latentbench.report.results.study import Experiment, Study

_EXTRACTORS = {"inception": "Inception", "classifier": "classifier"}
_GROUPS = 3  # samples in a row, each with its nearest training images
_ROWS = {"closest": 0, "not selected": 1}  # which half of the stored samples


def nearness(study: Study) -> Table:
    """The share of samples nearer to a training image than half of the unseen real images are, a row per model."""
    _, notes = study.with_files("metrics.csv", "evaluate", lambda e: e.checkpoints)
    keys = {
        extractor: feature_column(CLOSER_TO_TRAIN, extractor)
        for extractor in dict.fromkeys(metric.extractor for metric in METRICS)
    }
    columns = [
        Column(
            f"Nearer than unseen images ({_EXTRACTORS[extractor]}), %",
            measured(key),
            0,
            lambda value, _: f"{100 * value:.1f}",
            metric=key,
        )
        for extractor, key in keys.items()
    ]
    if not any(column.value(e) for column in columns for e in study.experiments):
        return Table(None, notes)
    return Table(models_table(study, columns), notes)


def copies(study: Study) -> Drawing:
    """Samples, and beside each its nearest training images: the closest of all, then samples nobody selected."""
    present, notes = study.with_evaluation("memorization_samples", "memorization_nearest")
    if not present:
        return Drawing(None, notes=notes)
    groups = [
        [Row(e.name, color_of(e.index), _groups(e, half), remark) for remark, half in _ROWS.items()]
        for e in present
    ]
    with house_style():
        figure, *others = rows_figures(groups, header=_header(present[0]))
    return Drawing(
        figure,
        f"Samples beside their three nearest training images, of {names(present)}.",
        notes,
        others,
    )


def verdicts(study: Study) -> str:
    """When samples count as copies, on which models they do, and what else makes samples near."""
    asked = [experiment for experiment in study.experiments if _facts(experiment)]
    if not asked:
        return ""
    criterion = (
        f"Samples count as copies where at least {percent(COPY_FRACTION, 0)} of them are nearer to a training image than all "
        f"but {percent(CLOSE_QUANTILE, 0)} of the real test images are."
    )
    found = [
        f"**{e.name}**: {spaced(str(_facts(e)['warning']))}"
        for e in asked
        if _facts(e).get("warning")
    ]
    return " ".join([criterion, *(found or [_no_copies(asked)]), *_typical(asked)])


def _no_copies(asked: Sequence[Experiment]) -> str:
    shares = {e.name: share for e in asked if (share := _facts(e).get("copied")) is not None}
    if len(shares) < len(asked):
        return "Those of no model do."
    most = max(shares, key=lambda name: shares[name])
    if shares[most] == 0:
        return "Of no model is any sample so near."
    return f"Those of no model do: the largest share is {percent(shares[most])}, of {most}."


def _typical(asked: Sequence[Experiment]) -> list[str]:
    """Whose samples are nearer than unseen images are, without being copies."""
    near = []
    for experiment in asked:
        column = feature_column(CLOSER_TO_TRAIN, str(_facts(experiment)["extractor"]))
        score = experiment.score(column)
        real = experiment.floor.get(column, 0.5)
        if (
            score
            and score.mean - 2 * (score.std or 0) > real
            and not _facts(experiment).get("warning")
        ):
            near.append(experiment.name)
    if not near:
        return []
    return [
        f"So the samples of {listed(near)}, nearer than unseen images, are the most typical images, not copies."
    ]


def scope(study: Study) -> str:
    """How many samples were held against how many training images."""
    sizes = {
        (int(facts["num_samples"]), int(facts["num_training"]))
        for e in study.experiments
        if (facts := _facts(e))
    }
    return " ".join(
        f"{samples:,} samples of each sampling seed were held against {images:,} training images."
        for samples, images in sorted(sizes)
    )


def _facts(experiment: Experiment) -> dict[str, Any]:
    return (experiment.metrics or {}).get("memorization") or {}


def _groups(experiment: Experiment, half: int) -> Images:
    """Each sample and, a little apart, its nearest training images."""
    samples, nearest = (
        experiment.examined["memorization_samples"],
        experiment.examined["memorization_nearest"],
    )
    number = len(samples) // 2
    shown = slice(half * number, half * number + min(_GROUPS, number))
    side = samples.shape[2]
    groups = [
        join([strip(sample[None]), strip(training)], gap=0.2 * side)
        for sample, training in zip(samples[shown], nearest[shown], strict=True)
    ]
    return join(groups, gap=0.7 * side)


def _header(experiment: Experiment) -> list[tuple[str, float]]:
    """Over the first group what stands in it, which holds for all."""
    side, gap = experiment.examined["memorization_samples"].shape[2], 0.2
    within = strip(experiment.examined["memorization_nearest"][0]).shape[1]
    return [("sample", side / 2), ("nearest real", side * (1 + gap) + within / 2)]
