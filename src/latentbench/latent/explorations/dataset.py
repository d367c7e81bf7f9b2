"""The dataset itself: images of each class, mean images, counts."""

from __future__ import annotations

from typing import Any

import numpy as np

from latentbench.data.image_grid import Images
from latentbench.data.prepared import DatasetManifest, PreparedDataset
from latentbench.evaluation.findings import Findings
from latentbench.inference.loaded_checkpoint import BATCH_SIZE
from latentbench.latent.model_probe import ModelProbe, Rows

IMAGES_PER_CLASS = 8
IMAGES_WITHOUT_CLASSES = 64
MAX_CLASSES = 100  # whose images are kept; all classes are counted
MAX_AVERAGED = 10_000  # images in mean images, over all classes


def explore_data(probe: ModelProbe) -> Findings:
    """Return training images per class and mean images; without classes, of all images.

    `data_samples` has shape (classes, images, height, width, channel), `data_means` (classes,
    height, width, channel). Images are black where a class has too few, and so is the mean of a
    class without images.
    """
    dataset = probe.dataset
    groups = _rows_by_class(probe)
    wanted = IMAGES_PER_CLASS if dataset.manifest.class_names else IMAGES_WITHOUT_CLASSES
    number = min(wanted, max(map(len, groups)))
    num_averaged = MAX_AVERAGED // len(groups)
    arrays = {
        "data_samples": np.stack([_first_images(probe, rows, number) for rows in groups]),
        "data_means": np.stack([_mean_image(probe, rows[:num_averaged]) for rows in groups]),
    }
    facts = {
        "name": dataset.manifest.name,
        "source": dataset.manifest.source,
        "settings": dataset.manifest.settings,
        "image_size": dataset.manifest.image_size,
        "channels": dataset.manifest.channels,
        "images": {split: len(dataset.labels(split)) for split in dataset.splits},
        "classes": class_counts(dataset),
        "attributes": attribute_frequencies(dataset),
        "num_averaged": [min(len(rows), num_averaged) for rows in groups],
    }
    return Findings(arrays, {"data": facts})


def class_counts(dataset: PreparedDataset) -> list[dict[str, Any]]:
    """Return, per class, its name and the number of its images in each split."""
    names = dataset.manifest.class_names
    rows: list[dict[str, Any]] = [{"name": name} for name in names]
    if not rows:
        return rows
    for split in dataset.splits:
        labels = dataset.labels(split)
        counts = np.bincount(labels[labels >= 0], minlength=len(names)).tolist()
        for row, count in zip(rows, counts, strict=True):
            row[split] = count
    return rows


def attribute_frequencies(dataset: PreparedDataset) -> list[dict[str, Any]]:
    """Return, per attribute, its name and the share of images with it in each split, in [0, 1]."""
    rows: list[dict[str, Any]] = [{"name": name} for name in dataset.manifest.attribute_names]
    if not rows:
        return rows
    for split in dataset.splits:
        shares = dataset.attributes(split).mean(axis=0).tolist()
        for row, share in zip(rows, shares, strict=True):
            row[split] = share
    return rows


def _rows_by_class(probe: ModelProbe) -> list[Rows]:
    """Return shuffled training rows by class; without classes, all rows as one group."""
    rows = probe.shuffled_rows("train", "data")
    names = probe.dataset.manifest.class_names
    if not names:
        return [rows]
    labels = probe.dataset.labels("train")[rows]
    return [rows[labels == label] for label in range(min(len(names), MAX_CLASSES))]


def _first_images(probe: ModelProbe, rows: Rows, number: int) -> Images:
    """Return the images of the first rows, padded with black ones."""
    images = np.zeros((number, *_image_shape(probe.dataset.manifest)), np.uint8)
    images[: len(rows)] = probe.images("train", rows[:number])
    return images


def _mean_image(probe: ModelProbe, rows: Rows) -> Images:
    """Return the mean of the images in these rows; black without rows."""
    total = np.zeros(_image_shape(probe.dataset.manifest), np.int64)
    for start in range(0, len(rows), BATCH_SIZE):
        batch = probe.images("train", rows[start : start + BATCH_SIZE])
        total += batch.sum(axis=0, dtype=np.int64)
    mean: Images = np.round(total / max(len(rows), 1)).astype(np.uint8)
    return mean


def _image_shape(manifest: DatasetManifest) -> tuple[int, int, int]:
    return manifest.image_size, manifest.image_size, manifest.channels
