"""Prepared datasets: memory-mapped arrays and a manifest."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self

import numpy as np
from pydantic import BaseModel, ConfigDict

from latentbench.artifacts.files import damaged, read_array, read_model, require_sha256
from latentbench.artifacts.paths import (
    DATASET_MANIFEST,
    attributes_name,
    images_name,
    labels_name,
    prepared_splits,
)
from latentbench.data.preparation.resize_spec import ResizeSpec
from latentbench.errors import ArtifactError, list_names

FORMAT = 1

_SHOWN_COLUMNS = 8  # of the images in a notebook


class SplitManifest(BaseModel):
    """The files of a split."""

    model_config = ConfigDict(extra="forbid")

    num_images: int
    images_sha256: str
    labels_sha256: str
    attributes_sha256: str | None = None


class DatasetManifest(BaseModel):
    """The content of dataset.json, which is written after all arrays."""

    model_config = ConfigDict(extra="forbid")

    format: int
    name: str
    source: str
    image_size: int
    channels: int
    class_names: list[str]
    attribute_names: list[str]
    train: SplitManifest
    test: SplitManifest
    validation: SplitManifest | None = None
    skipped: list[str]
    settings: dict[str, Any]
    digest: str


class PreparedDataset:
    """Images and labels of the splits `train` and `test`, and of `validation` if it has any.

    Without classes, `class_names` is empty and all labels are -1.
    """

    def __init__(self, folder: Path, manifest: DatasetManifest) -> None:
        self.folder = folder
        self.manifest = manifest

    @classmethod
    def open(cls, folder: Path) -> Self:
        """Return the dataset in a folder, after checking its manifest and its arrays.

        Reading all bytes for their SHA-256 takes 0.7 s per GB on one core.
        Raises ArtifactError if a file is missing or damaged.
        """
        dataset = cls(folder, read_model(folder / DATASET_MANIFEST, DatasetManifest, format=FORMAT))
        for split in dataset.splits:
            dataset._check(split)
        return dataset

    @property
    def class_names(self) -> list[str]:
        """The names of the classes; empty without classes."""
        return self.manifest.class_names

    @property
    def attribute_names(self) -> list[str]:
        """The names of the attributes, in the order of the columns of `attributes`."""
        return self.manifest.attribute_names

    @property
    def resize_spec(self) -> ResizeSpec:
        """How images of any size and mode were brought to the size and mode of these."""
        found, settings = self.manifest, self.manifest.settings
        crop, pad = settings.get("crop"), settings.get("pad", 0)
        return ResizeSpec(found.image_size, found.channels, crop, pad)

    @property
    def splits(self) -> tuple[str, ...]:
        """The names of the splits: `train`, `test`, and `validation` if the dataset has it."""
        return prepared_splits(has_validation=self.manifest.validation is not None)

    def __repr__(self) -> str:
        return f"PreparedDataset({str(self.folder)!r})"

    def _repr_html_(self) -> str:
        """Return a table of what the dataset has, and its first training images."""
        from latentbench.data.display import describe_channels, html_grid, html_table

        found = self.manifest
        rows = {
            "source": found.source,
            "images": f"{found.train.num_images:,} train, {found.test.num_images:,} test",
            "size": f"{found.image_size}×{found.image_size}, {describe_channels(found.channels)}",
            "classes": list_names(found.class_names),
            "attributes": list_names(found.attribute_names),
        }
        first = np.asarray(self.images("train")[: 2 * _SHOWN_COLUMNS])
        grid = html_grid(first, columns=_SHOWN_COLUMNS, label="The first training images")
        return html_table(f"Dataset {found.name}", rows) + grid

    def require_shape(self, *, image_size: int, channels: int) -> None:
        """Raise ArtifactError if the images have another size or number of channels."""
        found = self.manifest
        if (found.image_size, found.channels) != (image_size, channels):
            raise ArtifactError(
                f"{self.folder} has images of {found.image_size}×{found.image_size} pixels and "
                f"{found.channels} channels, but the experiment needs {image_size}×{image_size} "
                f"and {channels}; prepare the dataset again."
            )

    def images(self, split: str) -> np.ndarray[Any, np.dtype[np.uint8]]:
        """Return the images, uint8 (number, height, width, channel), memory-mapped."""
        return read_array(self.folder / images_name(split), mmap=True)

    def labels(self, split: str) -> np.ndarray[Any, np.dtype[np.int64]]:
        """Return the class indices, int64 (number,)."""
        return read_array(self.folder / labels_name(split))

    def attributes(self, split: str) -> np.ndarray[Any, np.dtype[np.uint8]]:
        """Return 0 or 1 per attribute, uint8 (number, attributes), as in `attribute_names`."""
        return read_array(self.folder / attributes_name(split))

    def _check(self, split: str) -> None:
        manifest: SplitManifest = getattr(self.manifest, split)
        number, size = manifest.num_images, self.manifest.image_size
        attributes = self.manifest.attribute_names
        images = self.folder / images_name(split)
        read_array(
            images, mmap=True, dtype="uint8", shape=(number, size, size, self.manifest.channels)
        )
        require_sha256(images, manifest.images_sha256)
        path = self.folder / labels_name(split)
        labels = read_array(path, dtype="int64", shape=(number,))
        require_sha256(path, manifest.labels_sha256)
        if self.manifest.class_names:
            _require_range(path, labels, -1, len(self.manifest.class_names) - 1)
        if attributes:
            path = self.folder / attributes_name(split)
            values = read_array(path, dtype="uint8", shape=(number, len(attributes)))
            if manifest.attributes_sha256 is not None:
                require_sha256(path, manifest.attributes_sha256)
            _require_range(path, values, 0, 1)


def dataset_digest(splits: Mapping[str, Mapping[str, Any]]) -> str:
    """Return the SHA-256 of the SHA-256 of all arrays, from the manifests of the splits."""
    digest = hashlib.sha256()
    for manifest in splits.values():
        for key, value in manifest.items():
            if key.endswith("sha256"):
                digest.update(value.encode())
    return digest.hexdigest()


def open_dataset(folder: str | Path) -> PreparedDataset:
    """Return the prepared dataset in a folder such as data/prepared/glyphs, after checking it.

    >>> data = open_dataset("data/prepared/glyphs")
    >>> data.images("train").shape, data.labels("train").shape, data.class_names

    Raises:
        ArtifactError: A file is missing or damaged.
    """
    path = Path(folder).expanduser()
    if not (path / DATASET_MANIFEST).is_file():
        found = sorted(each.parent.name for each in path.glob(f"*/{DATASET_MANIFEST}"))
        several = f"; it has the datasets {list_names(found)}" if found else ""
        raise ArtifactError(
            f"{path} has no {DATASET_MANIFEST}; give data/prepared/DATASET{several}."
        )
    return PreparedDataset.open(path)


def _require_range(path: Path, values: np.ndarray[Any, Any], smallest: int, largest: int) -> None:
    if values.size and not smallest <= values.min() <= values.max() <= largest:
        raise damaged(
            path, f"values from {values.min()} to {values.max()} instead of {smallest} to {largest}"
        )
