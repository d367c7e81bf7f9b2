"""A sample of a prepared dataset, small enough to be handed in with the models."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from latentbench.artifacts.files import file_sha256, write_array, write_manifest, write_together
from latentbench.artifacts.paths import (
    DATASET_MANIFEST,
    SPLITS,
    attributes_name,
    images_name,
    labels_name,
)
from latentbench.data.prepared import PreparedDataset, dataset_digest
from latentbench.rng import numpy_generator

# Most images of each split, and most bytes of their pixels.
MAX_IMAGES = {"train": 4_096, "test": 512}
MAX_BYTES = {"train": 12e6, "test": 3e6}


def write_sample(dataset: PreparedDataset, folder: Path, *, min_train: int) -> None:
    """Write a random sample of both splits as a prepared dataset, in the order of the images.

    The training split has at least `min_train` images, if the dataset does.
    """
    with write_together(folder, last=DATASET_MANIFEST) as staged:
        manifests = {}
        for split, at_least in zip(SPLITS, (min_train, 1), strict=True):
            manifests[split] = _write_split(dataset, split, staged, at_least)
        # A sample is not searched, so it has no validation images.
        manifest = dataset.manifest.model_dump() | {"validation": None} | manifests
        write_manifest(staged / DATASET_MANIFEST, manifest | {"digest": dataset_digest(manifests)})


def _write_split(
    dataset: PreparedDataset, split: str, folder: Path, at_least: int
) -> dict[str, Any]:
    """Write the arrays of a split and return its manifest."""
    images = dataset.images(split)
    limit = min(MAX_IMAGES[split], int(MAX_BYTES[split] // images[0].nbytes))
    number = min(len(images), max(limit, at_least))
    order = numpy_generator(0, f"walkthrough {split}").permutation(len(images))
    rows = np.sort(order[:number])
    arrays: dict[str, tuple[str, np.ndarray[Any, Any]]] = {
        "images": (images_name(split), images[rows]),
        "labels": (labels_name(split), dataset.labels(split)[rows]),
    }
    if dataset.manifest.attribute_names:
        arrays["attributes"] = (attributes_name(split), dataset.attributes(split)[rows])
    manifest: dict[str, Any] = {"num_images": number}
    for kind, (name, array) in arrays.items():
        write_array(folder / name, array)
        manifest[f"{kind}_sha256"] = file_sha256(folder / name)
    return manifest
