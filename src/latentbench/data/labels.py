"""Label vectors that models are conditioned on: classes or attributes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import torch
from pydantic import TypeAdapter
from torch import Tensor

from latentbench.data.prepared import PreparedDataset
from latentbench.errors import DataError

Condition = str | Sequence[str] | None
Vectors = np.ndarray[Any, np.dtype[np.uint8]]


def label_names(dataset: PreparedDataset, condition: Condition) -> list[str]:
    """Return the class or attribute of each entry of a label vector; none without a condition.

    Raises DataError if the dataset has no classes or lacks an attribute.
    """
    if condition is None:
        return []
    manifest = dataset.manifest
    if condition == "class":
        if len(manifest.class_names) < 2:
            raise DataError(
                f"model.condition is `class`, but {manifest.name} has fewer than two classes; put "
                "its images into a folder per class, or remove the condition."
            )
        return manifest.class_names
    for name in condition:
        if name not in manifest.attribute_names:
            known = ", ".join(manifest.attribute_names) or "none"
            raise DataError(
                f"model.condition has {name!r}, but the attributes of {manifest.name} are: "
                f"{known}. Use only these."
            )
    return list(condition)


def label_vectors(dataset: PreparedDataset, split: str, condition: Condition) -> Vectors:
    """Return the label vectors of a split, uint8 (number, num_labels).

    Classes are one-hot; attributes are 1 if the image has them. Without a condition, num_labels is
    0.
    """
    names = label_names(dataset, condition)
    if condition is None:
        return np.zeros((getattr(dataset.manifest, split).num_images, 0), np.uint8)
    if condition == "class":
        one_hot: Vectors = np.eye(len(names), dtype=np.uint8)[dataset.labels(split)]
        return one_hot
    columns = [dataset.manifest.attribute_names.index(name) for name in names]
    return dataset.attributes(split)[:, columns]


@dataclass(frozen=True)
class LabelSet:
    """The distinct label vectors of a training split, and the number of images with each.

    They are stored in checkpoints, so that labels can be sampled as they are distributed in the
    data. Without a condition there is one vector, with no entries.
    """

    names: list[str]
    vectors: list[list[int]]
    counts: list[int]

    @classmethod
    def from_dataset(cls, dataset: PreparedDataset, condition: Condition) -> Self:
        """Return the distinct label vectors of the dataset's training split."""
        vectors = label_vectors(dataset, "train", condition)
        if condition is None:
            return cls([], [[]], [len(vectors)])
        distinct, counts = np.unique(vectors, axis=0, return_counts=True)
        # np.unique sorts the rows; in reverse, classes are in their order and "none" is last.
        names = label_names(dataset, condition)
        return cls(names, distinct[::-1].tolist(), counts[::-1].tolist())

    @classmethod
    def from_metadata(cls, metadata: Any) -> Self:
        """Return the label set of a checkpoint; raise ValueError where it is none."""
        labels: Self = TypeAdapter(cls).validate_python(metadata)
        sizes = {len(vector) for vector in labels.vectors}
        if sizes != {len(labels.names)} or len(labels.counts) != len(labels):
            raise ValueError("names, vectors and counts do not fit")
        if min(labels.counts) < 0 or not any(labels.counts):
            raise ValueError("a count is negative or all are 0")
        return labels

    def __len__(self) -> int:
        return len(self.vectors)

    def descriptions(self) -> list[str]:
        """Return the description of each distinct label vector."""
        return [self.describe(vector) for vector in self.vectors]

    def describe(self, vector: Sequence[int | bool]) -> str:
        """Return the class of a label vector, or its attributes, or "none"."""
        present = [name for name, value in zip(self.names, vector, strict=True) if value]
        return ", ".join(present) or "none"

    def round_robin(self, number: int) -> Tensor:
        """Return `number` label vectors, the distinct ones in turn, float (number, num_labels)."""
        return self._tensor()[torch.arange(number) % len(self)]

    def sample(self, number: int, generator: torch.Generator) -> Tensor:
        """Return random label vectors, distributed as in the data: float (number, num_labels)."""
        weights = torch.tensor(self.counts, dtype=torch.float64)
        rows = torch.multinomial(weights, number, replacement=True, generator=generator)
        return self._tensor()[rows]

    def _tensor(self) -> Tensor:
        return torch.tensor(self.vectors, dtype=torch.float32).view(len(self), len(self.names))
