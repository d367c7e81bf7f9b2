"""Prepared datasets: memory-mapped arrays and a manifest."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Self

import numpy as np
from pydantic import BaseModel, ConfigDict, ValidationError

from latentbench.artifacts.files import read_array, read_json
from latentbench.artifacts.paths import DATASET_MANIFEST, attributes_name, images_name, labels_name
from latentbench.errors import ArtifactError

FORMAT = 1


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
    skipped: list[str]
    settings: dict[str, Any]
    digest: str


class PreparedDataset:
    """Images and labels of both splits.

    Without classes, `class_names` is empty and all labels are -1.
    """

    def __init__(self, folder: Path, manifest: DatasetManifest) -> None:
        self.folder = folder
        self.manifest = manifest

    @classmethod
    def open(cls, folder: Path) -> Self:
        """Return the dataset in a folder, after checking its manifest and the arrays' shapes.

        Raises ArtifactError if a file is missing, damaged or has another shape.
        """
        path = folder / DATASET_MANIFEST
        content = read_json(path)
        try:
            dataset = cls(folder, DatasetManifest.model_validate(content))
        except ValidationError as error:
            first = error.errors()[0]
            raise ArtifactError(
                f"{path} is damaged ({'.'.join(map(str, first['loc']))}: {first['msg']}); prepare "
                "the dataset again."
            ) from None
        for split in ("train", "test"):
            dataset._check(split)
        return dataset

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
        manifest = self.manifest
        number = getattr(manifest, split).num_images
        size = manifest.image_size
        shapes: dict[str, tuple[int, ...]] = {
            images_name(split): (number, size, size, manifest.channels),
            labels_name(split): (number,),
        }
        if manifest.attribute_names:
            shapes[attributes_name(split)] = (number, len(manifest.attribute_names))
        for name, expected in shapes.items():
            shape = read_array(self.folder / name, mmap=True).shape
            if shape != expected:
                raise ArtifactError(
                    f"{self.folder / name} has shape {shape} instead of {expected}; prepare the "
                    "dataset again."
                )
