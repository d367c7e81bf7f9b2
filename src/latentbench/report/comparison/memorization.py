"""Memorization: how close samples are to training images, and the closest ones side by side."""

from __future__ import annotations

import pandas as pd

from latentbench.artifacts.metrics import CLOSER_TO_TRAIN, EXTRACTOR_NAMES, feature_column
from latentbench.artifacts.thresholds import CLOSE_QUANTILE, COPY_FRACTION
from latentbench.report.presentation import page, style
from latentbench.report.presentation.image_grids import Images, Row, join, rows_figures, strip
from latentbench.results import Experiment, Quantity, RunGroup, Study, Table
from latentbench.results.formatting import escape_markdown, join_words, percent, space_percent
from latentbench.results.tables import models_table, percent_cell

_GROUPS = 3  # samples in a row, each with its closest training images
_GAP, _GROUP_GAP = 0.2, 0.7  # of an image's side: after a sample, and after a group
_HALVES = {"closest": 0, "not selected": 1}  # of the stored samples


def closeness(study: Study) -> Table:
    """Return the share of samples closer to a training image than the median test image is."""
    _, notes = study.with_rows(study.metrics, "metrics.csv", "evaluate")
    quantities = []
    for extractor, printed in EXTRACTOR_NAMES.items():
        key = feature_column(CLOSER_TO_TRAIN, extractor)
        if key in set(study.scores["quantity"]):
            name = f"Closer than test images ({printed}), %"
            quantities.append(Quantity(key, name, 0, lambda value, _: percent_cell(value)))
    return Table(models_table(study, quantities) if quantities else None, notes)


def closest_pairs(study: Study) -> page.Drawing:
    """Return samples with their closest training images: the closest of all, then random ones."""
    present, notes = study.with_evaluation("memorization_samples", "memorization_nearest")
    if not present:
        return page.Drawing(None, notes=notes)
    groups = []
    for each in present:
        color = style.color_of(each.index)
        images = {remark: _sample_groups(each, half) for remark, half in _HALVES.items()}
        groups.append([Row(each.name, color, own, remark) for remark, own in images.items()])
    figures = rows_figures(groups, header=_header(present[0]))
    return page.Drawing.of(figures, "Samples and their closest training images, of", present, notes)


def verdicts(study: Study) -> str:
    """Return when samples count as copies, and for which models they do."""
    facts = _facts(study)
    if facts.empty:
        return ""
    sentences = [
        f"Samples count as copies if at least {percent(COPY_FRACTION, 0)} of them are closer to a "
        f"training image than {percent(1 - CLOSE_QUANTILE, 0)} of the test images are."
    ]
    for name, warning in facts["warning"].items():
        if warning:
            sentences.append(
                f"**{escape_markdown(name)}**: {escape_markdown(space_percent(warning))}"
            )
    if len(sentences) == 1:
        name = escape_markdown(facts["copied"].idxmax())
        largest = f"{percent(facts['copied'].max())}, of {name}"
        sentences.append(f"No model's samples do; the largest share so close is {largest}.")
    typical = _typical(study, facts)
    if typical:
        sentences.append(
            f"The samples of {join_words(typical)} are closer to training images than test images "
            "are, but they are typical images, not copies."
        )
    return " ".join(sentences)


def scope(study: Study) -> str:
    """Return how many samples were compared with how many training images."""
    facts = _facts(study)
    if facts.empty:
        return ""
    sizes = facts[["num_samples", "num_training"]].drop_duplicates()
    return " ".join(
        f"{samples:,} samples of each sampling seed were compared with {images:,} training images."
        for samples, images in sizes.itertuples(index=False)
    )


def _facts(study: Study) -> pd.DataFrame:
    """Return a row per experiment and prior that metrics.json has facts on memorization of.

    The columns `experiment` and `prior` say of which.
    """
    facts = {}
    for each in study:
        for run in study.by_prior(RunGroup((each,))):
            is_own = run.prior in (None, each.prior)
            others = each.evaluation.get("other_priors") or {}
            evaluation = each.evaluation if is_own else others.get(run.prior) or {}
            own = evaluation.get("memorization")
            if own:
                facts[run.name] = own | {"experiment": each.name, "prior": run.prior or each.prior}
    return pd.DataFrame(facts).T.dropna(how="all").infer_objects()


def _typical(study: Study, facts: pd.DataFrame) -> list[str]:
    """Return the models whose samples are closer than test images by more than their spread."""
    scores = study.scores.set_index(["training", "prior", "quantity"])[["mean", "std"]].fillna(0)
    found = []
    for name, row in facts[facts["warning"].eq("")].iterrows():
        key = feature_column(CLOSER_TO_TRAIN, row["extractor"])
        place = (row["experiment"], row["prior"], key)
        if place in scores.index:
            mean, std = scores.loc[place]
            if mean - 2 * std > study[row["experiment"]].floor.get(key, 0.5):
                found.append(escape_markdown(name))
    return found


def _sample_groups(experiment: Experiment, half: int) -> Images:
    """Return samples, each followed by its closest training images."""
    samples = experiment.evaluation_arrays["memorization_samples"]
    nearest = experiment.evaluation_arrays["memorization_nearest"]
    start, side = half * (len(samples) // 2), samples.shape[2]
    groups = []
    for place in range(start, start + min(_GROUPS, len(samples) // 2)):
        pair = [strip(samples[place : place + 1]), strip(nearest[place])]
        groups.append(join(pair, gap=_GAP * side))
    return join(groups, gap=_GROUP_GAP * side)


def _header(experiment: Experiment) -> list[tuple[str, float]]:
    """Return titles and their places above the first group, which hold for all groups."""
    side = experiment.evaluation_arrays["memorization_samples"].shape[2]
    width = strip(experiment.evaluation_arrays["memorization_nearest"][0]).shape[1]
    return [("sample", side / 2), ("closest real", side * (1 + _GAP) + width / 2)]
