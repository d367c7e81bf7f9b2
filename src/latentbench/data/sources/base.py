"""What a source of pictures offers to fetching and preparing."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from PIL import Image


class Reader(Protocol):
    """Reads one picture at a time, in a worker process: it must pickle, and open files only when first asked."""

    def read(self, reference: Any) -> Image.Image | bytes:
        """The picture that a reference of this source stands for, or the bytes of its file."""
        ...


@dataclass(frozen=True)
class Split:
    """References to pictures, their labels (-1 where there are no classes), and 0/1 attributes by column."""

    references: Sequence[Any]
    labels: np.ndarray[Any, np.dtype[np.int64]]
    attributes: np.ndarray[Any, np.dtype[np.uint8]] | None = None

    def subset(self, chosen: np.ndarray[Any, np.dtype[np.int64]]) -> Split:
        return Split(
            [self.references[index] for index in chosen],
            self.labels[chosen],
            None if self.attributes is None else self.attributes[chosen],
        )


@dataclass(frozen=True)
class RawDataset:
    """A dataset before it is prepared."""

    reader: Reader
    train: Split
    test: Split
    class_names: list[str] = field(default_factory=list)
    attribute_names: list[str] = field(default_factory=list)
    skip_undecodable: bool = False


class Source(Protocol):
    """One way to get pictures, for the kind of dataset that its functions take."""

    def fetch(self, dataset: Any, folder: Path) -> dict[str, Any]:
        """Bring the raw files to `folder`, or note where the user's lie; what is returned goes into source.json."""
        ...

    def open(self, dataset: Any, folder: Path, fetched: dict[str, Any]) -> RawDataset:
        """The contents of what was fetched."""
        ...


class ArrayReader:
    """Pictures that are arrays already: uint8 (number, height, width) or (number, height, width, 3)."""

    def __init__(self, images: np.ndarray[Any, np.dtype[np.uint8]]) -> None:
        self.images = images

    def read(self, reference: int) -> Image.Image:
        return Image.fromarray(self.images[reference])


def unlabeled(number: int) -> np.ndarray[Any, np.dtype[np.int64]]:
    return np.full(number, -1, dtype=np.int64)


def held_out(
    labels: np.ndarray[Any, np.dtype[np.int64]], *, share: float, rng: np.random.Generator
) -> np.ndarray[Any, np.dtype[np.bool_]]:
    """A mask of the pictures held out for testing: of each class its share, and at least one."""
    mask = np.zeros(len(labels), dtype=np.bool_)
    for label in sorted(set(labels.tolist())):  # np.unique would import numpy.ma, 40 ms
        members = rng.permutation(np.flatnonzero(labels == label))
        mask[members[: max(1, round(share * len(members)))]] = True
    return mask
