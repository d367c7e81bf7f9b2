"""The prepared dataset as the later stages read it: memory-mapped arrays beside a manifest."""

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
    model_config = ConfigDict(extra="forbid")

    num_images: int
    images_sha256: str
    labels_sha256: str
    attributes_sha256: str | None = None


class DatasetManifest(BaseModel):
    """dataset.json: written when every array beside it is whole."""

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
    """Images uint8 (number, height, width, channel) and labels int64 (number,), by split.

    Where the dataset has no classes, `class_names` is empty and every label is -1.
    """

    def __init__(self, folder: Path, manifest: DatasetManifest) -> None:
        self.folder = folder
        self.manifest = manifest

    @classmethod
    def open(cls, folder: Path) -> Self:
        """Check that the manifest and the arrays agree; nothing is read into memory yet.

        Raises ArtifactError where a file is missing, damaged or of another shape.
        """
        path = folder / DATASET_MANIFEST
        content = read_json(path)
        try:
            dataset = cls(folder, DatasetManifest.model_validate(content))
        except ValidationError as error:
            first = error.errors()[0]
            raise ArtifactError(
                f"{path} is damaged ({'.'.join(map(str, first['loc']))}: {first['msg']}); prepare the dataset again."
            ) from None
        for split in ("train", "test"):
            dataset._check(split)
        return dataset

    def require_shape(self, *, image_size: int, channels: int) -> None:
        """Raise ArtifactError unless the images are what an experiment was resolved for."""
        found = self.manifest
        if (found.image_size, found.channels) != (image_size, channels):
            raise ArtifactError(
                f"{self.folder} holds images of {found.image_size}×{found.image_size} with {found.channels} channels, "
                f"but {image_size}×{image_size} with {channels} are asked for; prepare the dataset again."
            )

    def images(self, split: str) -> np.ndarray[Any, np.dtype[np.uint8]]:
        return read_array(self.folder / images_name(split), mmap=True)

    def labels(self, split: str) -> np.ndarray[Any, np.dtype[np.int64]]:
        return read_array(self.folder / labels_name(split))

    def attributes(self, split: str) -> np.ndarray[Any, np.dtype[np.uint8]]:
        """0 or 1, (number, attributes), in the order of `attribute_names`."""
        return read_array(self.folder / attributes_name(split))

    def _check(self, split: str) -> None:
        manifest = self.manifest
        number = getattr(manifest, split).num_images
        shapes = {
            images_name(split): (
                number,
                manifest.image_size,
                manifest.image_size,
                manifest.channels,
            ),
            labels_name(split): (number,),
        }
        if manifest.attribute_names:
            shapes[attributes_name(split)] = (number, len(manifest.attribute_names))
        for name, expected in shapes.items():
            shape = read_array(self.folder / name, mmap=True).shape
            if shape != expected:
                raise ArtifactError(
                    f"{self.folder / name} has shape {shape}, but its manifest says {expected}; "
                    "prepare the dataset again."
                )
