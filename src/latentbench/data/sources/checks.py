"""Check that the images, labels and attributes of a dataset fit each other, whatever its source."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import numpy as np

from latentbench.data.sources.base import RawDataset, Split
from latentbench.errors import DataError, quote


def check_dataset(dataset: RawDataset, *, where: object) -> None:
    """Raise DataError if counts, shapes or ranges of a dataset's splits are wrong.

    Each image has a label of one of the classes, or all have -1 if there are no classes. It has a
    value 0 or 1 for each attribute. No image is in both splits or twice in one.
    The message starts with `where`, the path of the dataset.
    """
    _check_names(dataset.class_names, kind="class", where=where)
    _check_names(dataset.attribute_names, kind="attribute", where=where)
    for name, split in (("train", dataset.train), ("test", dataset.test)):
        _check_counts(split, name=name, where=where)
        _check_labels(split, dataset.class_names, name=name, where=where)
        _check_attributes(split, dataset.attribute_names, name=name, where=where)
    counts = Counter(dataset.train.references)
    counts.update(dataset.test.references)
    reference, count = counts.most_common(1)[0]
    if count > 1:
        raise DataError(
            f"{where} has the image {quote(reference)} {count} times in its splits; list it once."
        )


def _check_names(names: Sequence[str], *, kind: str, where: object) -> None:
    for name, count in Counter(names).items():
        if count > 1 or not name.strip():
            raise DataError(
                f"{where} has the {kind} {quote(name)} {count} times; give each {kind} a name of "
                "its own."
            )


def _check_counts(split: Split, *, name: str, where: object) -> None:
    number = len(split.references)
    if number == 0:
        raise DataError(f"{where} has no images for the {name} split; add some.")
    if split.labels.shape != (number,):
        raise DataError(
            f"{where} has {number} images in the {name} split, but labels of shape "
            f"{split.labels.shape}; use files that belong together."
        )


def _check_labels(split: Split, class_names: Sequence[str], *, name: str, where: object) -> None:
    first, last = (0, len(class_names) - 1) if class_names else (-1, -1)
    invalid = np.flatnonzero((split.labels < first) | (split.labels > last))
    if len(invalid):
        raise DataError(
            f"{where} has the label {split.labels[invalid[0]]} for image {invalid[0]} of the "
            f"{name} split, and {len(invalid)} such labels in all, but its {len(class_names)} "
            f"classes have the labels {first} to {last}; correct the labels."
        )


def _check_attributes(
    split: Split, attribute_names: Sequence[str], *, name: str, where: object
) -> None:
    shape = (len(split.references), len(attribute_names))
    if split.attributes is None:
        if attribute_names:
            raise DataError(f"{where} has no attributes for the {name} split; add them.")
        return
    if split.attributes.shape != shape or split.attributes.max(initial=0) > 1:
        raise DataError(
            f"{where} has attributes of shape {split.attributes.shape} in the {name} split, but "
            f"needs 0 or 1 for each of {shape[0]} images and {shape[1]} attributes; correct them."
        )
