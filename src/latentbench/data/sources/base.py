"""The interface of sources of images."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, Protocol

import numpy as np
from PIL import Image

from latentbench.artifacts.paths import VALIDATION


class Reader(Protocol):
    """Reads images one by one in worker processes.

    It is sent to these, so it must be picklable and open files in `read` only.
    """

    def read(self, reference: Any) -> Image.Image | bytes:
        """Return the image with this reference, or the bytes of its file."""
        ...

    def locate(self, reference: Any) -> str:
        """Return the image's name and place, for messages."""
        ...


@dataclass(frozen=True)
class Split:
    """The images of a split: references for the reader, labels and attributes.

    Labels are -1 without classes. Attributes are 0 or 1, (number, attributes).
    """

    references: Sequence[Any]
    labels: np.ndarray[Any, np.dtype[np.int64]]
    attributes: np.ndarray[Any, np.dtype[np.uint8]] | None = None

    def subset(self, rows: np.ndarray[Any, np.dtype[np.int64]]) -> Split:
        """Return the split with these images only."""
        references = [self.references[row] for row in rows]
        attributes = None if self.attributes is None else self.attributes[rows]
        return Split(references, self.labels[rows], attributes)


@dataclass(frozen=True)
class RawDataset:
    """A dataset before it is prepared.

    `validation` has the training images that are kept for searches, None without any. `notes` are
    sentences about how the source read its files, and what it left out.
    """

    reader: Reader
    train: Split
    test: Split
    class_names: list[str] = field(default_factory=list)
    attribute_names: list[str] = field(default_factory=list)
    skip_undecodable: bool = False
    notes: list[str] = field(default_factory=list)
    validation: Split | None = None

    def splits(self) -> dict[str, Split]:
        """Return the splits by name."""
        splits = {"train": self.train, "test": self.test}
        return splits if self.validation is None else splits | {VALIDATION: self.validation}


class Source(Protocol):
    """Where images come from. The settings are those of its class in `config.datasets`.

    `entries` are the entries of source.json that `open` needs, and their types.
    """

    entries: ClassVar[dict[str, type]]

    def fetch(self, dataset: Any, folder: Path) -> dict[str, Any]:
        """Download or copy the raw files to `folder`, and return the content of source.json."""
        ...

    def open(self, dataset: Any, folder: Path, fetched: dict[str, Any]) -> RawDataset:
        """Return the dataset that was fetched."""
        ...


class ArrayReader:
    """Reads images from an array: uint8 (number, height, width) or (number, height, width, 3)."""

    def __init__(self, images: np.ndarray[Any, np.dtype[np.uint8]]) -> None:
        self.images = images

    def read(self, reference: int) -> Image.Image:
        """Return the image at an index."""
        return Image.fromarray(self.images[reference])

    def locate(self, reference: int) -> str:
        """Return the image's number."""
        return f"image {reference}"


def missing_labels(number: int) -> np.ndarray[Any, np.dtype[np.int64]]:
    """Return the labels of images without classes: -1."""
    return np.full(number, -1, dtype=np.int64)


def choose_held_out(
    labels: np.ndarray[Any, np.dtype[np.int64]], *, fraction: float, rng: np.random.Generator
) -> np.ndarray[Any, np.dtype[np.bool_]]:
    """Return a random mask of images to hold out: a fraction of each class.

    Of a class with several images, at least one is held out and at least one is not.
    """
    mask = np.zeros(len(labels), dtype=np.bool_)
    for label in sorted(set(labels.tolist())):  # np.unique would import numpy.ma, 40 ms
        members = rng.permutation(np.flatnonzero(labels == label))
        number = max(1, round(fraction * len(members)))
        mask[members[: min(number, len(members) - 1)]] = True
    return mask
