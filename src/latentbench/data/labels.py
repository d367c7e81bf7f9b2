"""What images are asked for by: vectors of classes or attributes, and which of them a dataset has."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import torch
from torch import Tensor

from latentbench.data.prepared import PreparedDataset
from latentbench.errors import DataError

Condition = str | Sequence[str] | None
Vectors = np.ndarray[Any, np.dtype[np.uint8]]


def label_names(dataset: PreparedDataset, condition: Condition) -> list[str]:
    """What each entry of a label vector stands for; none where nothing is asked for.

    Raises DataError where the dataset has no classes or not that attribute.
    """
    if condition is None:
        return []
    manifest = dataset.manifest
    if condition == "class":
        if len(manifest.class_names) < 2:
            raise DataError(
                f"model.condition is `class`, but {manifest.name} has {len(manifest.class_names) or 'no'} classes; "
                "put its pictures into a folder per class, or drop the condition."
            )
        return manifest.class_names
    unknown = [name for name in condition if name not in manifest.attribute_names]
    if unknown:
        known = ", ".join(manifest.attribute_names) or "none"
        raise DataError(
            f"model.condition has {unknown[0]!r}, but the attributes of {manifest.name} are: {known}."
        )
    return list(condition)


def label_vectors(dataset: PreparedDataset, split: str, condition: Condition) -> Vectors:
    """uint8 (number, num_labels): of a class one 1 among zeros, of attributes a 1 for each that is there."""
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
    """The different label vectors of a training split, and how often each is there.

    A checkpoint carries them, so that samples can be asked for as the data had them. Without a condition there is
    one kind, of no entries.
    """

    names: list[str]
    vectors: list[list[int]]
    counts: list[int]

    @classmethod
    def from_dataset(cls, dataset: PreparedDataset, condition: Condition) -> Self:
        vectors = label_vectors(dataset, "train", condition)
        if condition is None:
            return cls([], [[]], [len(vectors)])
        kinds, counts = np.unique(vectors, axis=0, return_counts=True)
        # Rows sort by their first entry; reversed, classes come in their order, and no attribute comes last.
        return cls(label_names(dataset, condition), kinds[::-1].tolist(), counts[::-1].tolist())

    def __len__(self) -> int:
        return len(self.vectors)

    def descriptions(self) -> list[str]:
        """What each kind is called: its class, or the attributes that are there."""
        return [self.describe(vector) for vector in self.vectors]

    def describe(self, vector: Sequence[int | bool]) -> str:
        """The same of one label vector, of the data or not."""
        return (
            ", ".join(name for name, is_there in zip(self.names, vector, strict=True) if is_there)
            or "none"
        )

    def round_robin(self, number: int) -> Tensor:
        """Float (number, num_labels): all kinds in turn."""
        return self._tensor()[torch.arange(number) % len(self)]

    def sample(self, number: int, generator: torch.Generator) -> Tensor:
        """Float (number, num_labels), on the CPU: each kind as often as the data has it."""
        weights = torch.tensor(self.counts, dtype=torch.float64)
        return self._tensor()[
            torch.multinomial(weights, number, replacement=True, generator=generator)
        ]

    def _tensor(self) -> Tensor:
        return torch.tensor(self.vectors, dtype=torch.float32).view(len(self), len(self.names))
