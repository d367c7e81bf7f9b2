"""The images that a model learned from: some of each class, their mean, how many there are."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from latentbench.artifacts.paths import SPLITS
from latentbench.data.image_grid import Images
from latentbench.data.prepared import DatasetManifest, PreparedDataset
from latentbench.evaluation.findings import Findings
from latentbench.latent.model_probe import BATCH_SIZE, ModelProbe, Rows

IMAGES_PER_CLASS = 8
IMAGES_WITHOUT_CLASSES = 64
MOST_CLASSES = 100  # whose images are kept; all are counted
MOST_AVERAGED = 10_000  # images of which means are taken, those of all classes together


def explore_data(subject: ModelProbe) -> Findings:
    """Training images by class, data_samples (classes, images, height, width, channel), and the mean image of each,
    data_means (classes, height, width, channel); where there are no classes, of all images as of one.

    A class with fewer images than the others leaves its last places black, one without any also its mean; the counts
    tell which.
    """
    dataset = subject.dataset
    groups = _rows_by_class(subject)
    number = min(
        IMAGES_PER_CLASS if dataset.manifest.class_names else IMAGES_WITHOUT_CLASSES,
        max(map(len, groups)),
    )
    each = MOST_AVERAGED // len(groups)
    arrays = {
        "data_samples": np.stack([_first(subject, rows, number) for rows in groups]),
        "data_means": np.stack([_mean(subject, rows[:each]) for rows in groups]),
    }
    described = {
        "name": dataset.manifest.name,
        "source": dataset.manifest.source,
        "settings": dataset.manifest.settings,
        "image_size": dataset.manifest.image_size,
        "channels": dataset.manifest.channels,
        "images": {split: getattr(dataset.manifest, split).num_images for split in SPLITS},
        "classes": class_counts(dataset),
        "attributes": attribute_frequencies(dataset),
        "num_averaged": [min(len(rows), each) for rows in groups],
    }
    return Findings(arrays, {"data": described})


def class_counts(dataset: PreparedDataset) -> list[dict[str, Any]]:
    """Of each class its name and how many images of each split are of it."""
    names = dataset.manifest.class_names
    counts = {}
    for split in SPLITS if names else ():
        labels = dataset.labels(split)
        counts[split] = np.bincount(labels[labels >= 0], minlength=len(names)).tolist()
    return [
        {"name": name} | {split: counts[split][label] for split in counts}
        for label, name in enumerate(names)
    ]


def attribute_frequencies(dataset: PreparedDataset) -> list[dict[str, Any]]:
    """Of each attribute its name and the share of each split's images that have it, in [0, 1]."""
    names = dataset.manifest.attribute_names
    shares = (
        {split: dataset.attributes(split).mean(axis=0).tolist() for split in SPLITS}
        if names
        else {}
    )
    return [
        {"name": name} | {split: shares[split][place] for split in shares}
        for place, name in enumerate(names)
    ]


def _rows_by_class(subject: ModelProbe) -> list[Rows]:
    """Rows of the training split in the study's order, those of each class, or all of them."""
    rows = subject.order("train", "data")
    names = subject.dataset.manifest.class_names
    if not names:
        return [rows]
    labels = subject.dataset.labels("train")[rows]
    return [rows[labels == label] for label in range(min(len(names), MOST_CLASSES))]


def _first(subject: ModelProbe, rows: Rows, number: int) -> Images:
    """The images of the first rows, black ones after them where there are too few."""
    manifest = subject.dataset.manifest
    images = np.zeros((number, *_shape(manifest)), np.uint8)
    images[: len(rows)] = subject.images("train", rows[:number])
    return images


def _mean(subject: ModelProbe, rows: Rows) -> Images:
    """The mean of the images in these rows, black without any."""
    total = np.zeros(_shape(subject.dataset.manifest), np.int64)
    for part in _parts(rows):
        total += subject.images("train", part).sum(axis=0, dtype=np.int64)
    mean: Images = np.round(total / max(len(rows), 1)).astype(np.uint8)
    return mean


def _shape(manifest: DatasetManifest) -> tuple[int, int, int]:
    return manifest.image_size, manifest.image_size, manifest.channels


def _parts(rows: Rows) -> Iterator[Rows]:
    """So many that few images are in memory at once."""
    for start in range(0, len(rows), BATCH_SIZE):
        yield rows[start : start + BATCH_SIZE]
