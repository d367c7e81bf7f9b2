"""Captions of the comparison chapter that depend on what was measured."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from latentbench.artifacts.metrics import CLASS_SHARES, LABEL_ACCURACY
from latentbench.results import Experiment, Study
from latentbench.results.formatting import escape_markdown, join_words, space_percent
from latentbench.results.tables import best_in_bold

_SIZES = (
    "{num_seeds} × {num_samples:,} generated images (sampling seeds × images), against "
    "{num_reference:,} real images"
)
_TESTED = {"num_test_sets", "num_test_images", "num_test_compared"}
_REAL = (
    "Real images{where} are {num_test_sets} sets of {num_test_images:,} test images, with ± over "
    "these; {num_test_compared:,} for precision, recall, density and coverage."
)
_SPREAD_OF_REPEATS = (
    "Trainings that differ only in their seed are one model, with their mean; its ± is the "
    "standard deviation over trainings. For a model trained once, ± is the standard deviation over "
    "sets of samples, and there is no test. Models with repeats are compared by Welch's t test "
    "over trainings [@welch1947]. Its degrees of freedom are the smaller number of trainings less "
    "one: false positives are then at most 5 % for any two spreads [@mickey1966]. p values "
    "are corrected for all pairs of models of a dataset by Shaffer's method [@shaffer1986], "
    "separately for each metric. Confidence intervals are of one difference alone."
)
_SPREAD_OF_SAMPLES = (
    "Each model was trained once. ± is the standard deviation over sets of samples of that one "
    "training: it leaves out the spread over trainings, which is often larger. So numbers describe "
    "these trainings; a test of the models needs repeats."
)


def protocol(study: Study) -> str:
    """Return how the numbers of the summary were measured; empty where none were."""
    evaluations = [each.evaluation for each in study if each.evaluation]
    if not evaluations:
        return ""
    sizes = dict.fromkeys(map(_SIZES.format_map, evaluations))
    protocols = pd.DataFrame([found.get("protocols") or {} for found in evaluations])
    parts = [f"Measured on {'; '.join(sizes)}."]
    has_lists = False
    for extractor in sorted(protocols):
        texts = protocols[extractor].dropna().str.strip().str.rstrip(".").map(space_percent)
        parts.append(_extractor_protocol(study, extractor, sorted(texts.unique())))
        has_lists = has_lists or texts.nunique() > 1
    parts += _real_images(study)
    parts.append(_SPREAD_OF_REPEATS if study.has_repeats else _SPREAD_OF_SAMPLES)
    return ("\n\n" if has_lists else " ").join(parts)


def _real_images(study: Study) -> list[str]:
    """Return how many real images the tables measure, a sentence per dataset at least."""
    sentences: dict[str, None] = {}
    for each in study:
        if each.evaluation.keys() >= _TESTED:
            sentences[_REAL.format(**each.evaluation, where=_where(study, each))] = None
    return list(sentences)


def _where(study: Study, experiment: Experiment) -> str:
    """Return ` of mnist` where the study has several datasets."""
    return f" of {escape_markdown(experiment.dataset)}" if study.has_several_datasets else ""


def _extractor_protocol(study: Study, extractor: str, texts: Sequence[str]) -> str:
    """Return what all datasets have in common once, and what differs as a list."""
    metrics = [each.name for each in study.measured_metrics if each.extractor == extractor]
    names = join_words(metrics or [extractor])
    if len(texts) == 1:
        return f"{names}: {escape_markdown(texts[0])}."
    clauses = [text.split("; ") for text in texts]
    shared = set(clauses[0]).intersection(*clauses[1:])
    common = [clause for clause in clauses[0] if clause in shared]
    lines = [f"{names}, by dataset:\n"]
    for own in clauses:
        differing = [clause for clause in own if clause not in shared]
        lines.append(f"- {escape_markdown('; '.join(differing))}")
    if common:
        sentence = escape_markdown("; ".join(common))
        lines.append(f"\n{sentence[:1].upper()}{sentence[1:]}.")
    return "\n".join(lines)


def rows_by_prior(study: Study) -> str:
    """Return what the rows of a model with several priors are; empty where there is none."""
    if not study.has_fitted_priors:
        return ""
    return (
        " Autoencoders and VAEs have a row per prior of their latents: the one that is fitted to "
        "the codes of training images after training [@ghosh2020], and N(0, I). What does not "
        "depend on it is in the first row."
    )


def curves_by_prior(study: Study) -> str:
    """Return which curves are of N(0, I) next to a fitted prior; empty where there are none."""
    if not study.has_fitted_priors:
        return ""
    return "Pale curves with open markers are of latents from N(0, I), next to a fitted prior. "


def summary_caption(study: Study) -> str:
    """Return what the columns of the summary are, as far as it has them."""
    sentences = ["Each model after its last epoch."]
    names = [f"{metric.name} is the {metric.long_name}" for metric in study.measured_metrics]
    if names:
        sentences.append(f"{join_words(names)}, to real images.")
    if CLASS_SHARES in set(study.scores["quantity"]):
        sentences.append(
            "FD of class shares is the part of FD (classifier) due to the frequencies of classes: "
            "the distance of real images with the frequencies that the classifier sees in the "
            "samples."
        )
    if LABEL_ACCURACY in set(study.scores["quantity"]):
        sentences.append(
            "As requested is the share of samples that the classifier assigns to the requested "
            "class. For models conditioned on attributes it is the balanced accuracy of the "
            "requested attributes, averaged over them."
        )
    return " ".join(sentences) + rows_by_prior(study) + best_in_bold(study)


def reference_lines(study: Study) -> str:
    """Return what the horizontal lines next to curves mean; empty where there are none."""
    tested, halves = set(), set()
    for each in study:
        where = _where(study, each)
        tested.add(_test_line(each.evaluation, where) if each.floor else "")
        halves.add(_halves_line(each.halves, where) if each.halves else "")
    sentences = [sentence for sentence in [*sorted(tested), *sorted(halves)] if sentence]
    if sentences:
        sentences.append("A line far below all curves is given as a number at the lower edge.")
    return " ".join(sentences)


def _test_line(evaluation: Mapping[str, Any], where: str) -> str:
    """Return what the line of real test images is; empty where their number is unknown."""
    images, samples = evaluation.get("num_test_images"), evaluation["num_samples"]
    if not images:
        return ""
    comparison = {-1: "a lower", 0: "about the same", 1: "a higher"}[np.sign(images - samples)]
    sets = evaluation.get("num_test_sets")
    spread = ""
    if sets:
        spread = f", the mean over {sets} sets of them, and its band the standard deviation"
    classes = ""
    if evaluation.get("has_random_classes"):
        classes = " The classes of a set are drawn at random, as those of samples are."
    return (
        f"The dashed line is the distance of {images:,} real test images{where}{spread}. No model "
        f"was trained on them; {samples:,} samples of a perfect model would have {comparison} "
        f"distance.{classes}"
    )


def _halves_line(halves: Mapping[str, Any], where: str) -> str:
    """Return what the line of two halves is; empty where their number is unknown."""
    if "num_images" not in halves:
        return ""
    spread = ""
    if halves.get("num_splits"):
        spread = (
            f" It is the mean over {halves['num_splits']} random splits, and its band the standard "
            "deviation."
        )
    return (
        f"The dotted line is the distance between two halves of the training images{where}, "
        f"{halves['num_images']:,} each: the lowest that is realistic for that number.{spread}"
    )


def sample_sizes(study: Study) -> str:
    """Return what the curves over the number of samples show, and which of them have no line."""
    sentences = [
        "Distance against the number of samples, after the last epoch. Points are means over "
        "disjoint sets of samples. A line through points of at least 1.5 samples per feature "
        "dimension reaches infinitely many samples at the left. With fewer samples the bias is not "
        "proportional to 1 over their number. Samples are of each model's own prior."
    ]
    for metric in study.measured_metrics:
        found = [each.sample_sizes(metric.key) for each in study]
        smallest = {sizes["fitted_from"] for sizes in found if sizes and sizes["infinite"] is None}
        for number in sorted(smallest):
            sentences.append(
                f"{metric.name} has no line where fewer than four points have {number:,} samples."
            )
    return " ".join([*sentences, "Compare models at equal numbers."])
