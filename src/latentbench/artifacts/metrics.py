"""The metrics of generated images: column in metrics.csv, name in print, and direction."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Metric:
    """A column of metrics.csv; the column `KEY_std` holds its standard deviation.

    `extractor` is the network whose features the metric compares.
    """

    key: str
    name: str
    long_name: str
    extractor: str
    higher_is_better: bool = False


CMMD = "cmmd"

# What measures how close samples are to the training images, in order of precedence: the report
# ranks by the first that was measured. Networks that agree with people's judgment of photographs
# (Stein et al., 2023; Jayasumana et al., 2024) come before Inception, which often does not.
METRICS = (
    Metric("fd_dinov2", "FD (DINOv2)", "Fréchet DINOv2 distance", "dinov2"),
    Metric(CMMD, "CMMD", "CLIP maximum mean discrepancy", "clip"),
    Metric("fid", "FID", "Fréchet Inception distance", "inception"),
    Metric("fd_classifier", "FD (classifier)", "Fréchet classifier distance", "classifier"),
    Metric("kd_dinov2", "KD (DINOv2)", "kernel DINOv2 distance", "dinov2"),
    Metric("kid", "KID", "kernel Inception distance", "inception"),
    Metric("kd_classifier", "KD (classifier)", "kernel classifier distance", "classifier"),
)

NAMES = {metric.key: metric.name for metric in METRICS}

# Extractor to the keys of its distances: its Fréchet distance and its kernel distance, or CMMD.
# Extractors are in order of precedence.
DISTANCES = {
    "dinov2": ("fd_dinov2", "kd_dinov2"),
    "clip": (CMMD,),
    "inception": ("fid", "kid"),
    "classifier": ("fd_classifier", "kd_classifier"),
}

# Extractors in print.
EXTRACTOR_NAMES = {
    "dinov2": "DINOv2",
    "clip": "CLIP",
    "inception": "Inception",
    "classifier": "classifier",
}

# Precision, recall, density and coverage, each a column `NAME_EXTRACTOR`; higher is better.
PRDC = ("precision", "recall", "density", "coverage")

# The share of samples that are closer to a training image than the median test image is, a column
# `closer_to_train_EXTRACTOR`. Test images score 0.5; neither direction is better.
CLOSER_TO_TRAIN = "closer_to_train"

# The part of `fd_classifier` that the frequencies of classes alone make: the Fréchet distance of
# real images with the classes that the classifier sees in the samples.
CLASS_SHARES = "fd_class_shares"

# The share of samples that the classifier assigns to the requested class. For models conditioned on
# attributes, the mean over these of the classifier's balanced accuracy. Higher is better.
LABEL_ACCURACY = "label_accuracy"


Columns = dict[str, float | None]


def prdc_metrics(extractor: str) -> tuple[Metric, ...]:
    """Return precision, recall, density and coverage over the features of an extractor."""
    metrics = []
    for name in PRDC:
        key = feature_column(name, extractor)
        metrics.append(Metric(key, name.capitalize(), name, extractor, higher_is_better=True))
    return tuple(metrics)


def feature_column(name: str, extractor: str) -> str:
    """Return the column of a metric that is measured over the features of each extractor."""
    return f"{name}_{extractor}"


def mean_and_std(metric: str, values: Sequence[float] | Sequence[Sequence[float]]) -> Columns:
    """Return the two columns of a metric from its values (sets,) or (sets, networks).

    The standard deviation is that of a value of another set of images and, where several networks
    measured the sets, of another network. It is None where there is one value. Sets with NaN are
    left out; both columns are None where none is left.
    """
    table = np.array(values, dtype=np.float64).reshape(len(values), -1)
    table = table[~np.isnan(table).any(axis=1)]
    if not table.size:
        return {metric: None, f"{metric}_std": None}
    std = None if table.size == 1 else math.sqrt(variance(table))
    return {metric: float(table.mean()), f"{metric}_std": std}


def variance(table: np.ndarray[tuple[int, int], np.dtype[np.float64]]) -> float:
    """Return the variance of a value of a new row and a new column of a table (rows, columns).

    It is the sum of the unbiased variance components of rows, columns and residuals (Searle et al.,
    1992). The variance of all values would be too small, because the values of a row share its
    effect. A single row or column has no component.
    """
    rows, columns = table.shape
    by_row, by_column = table.mean(axis=1), table.mean(axis=0)
    if columns == 1:
        return float(by_row.var(ddof=1))
    if rows == 1:
        return float(by_column.var(ddof=1))
    residuals = table - by_row[:, None] - by_column + table.mean()
    residual = np.square(residuals).sum() / ((rows - 1) * (columns - 1))
    shared = 1 - 1 / rows - 1 / columns
    return float(by_row.var(ddof=1) + by_column.var(ddof=1) + shared * residual)
