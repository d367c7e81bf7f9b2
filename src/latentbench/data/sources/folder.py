"""Images of the user, which stay where they are."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from latentbench.config.datasets import FolderDataset
from latentbench.data.image_archive import ArchiveReader, ImageArchive, expand_user, open_archive
from latentbench.data.sources.attribute_table import fingerprint, read_table
from latentbench.data.sources.base import RawDataset, Split, choose_held_out, missing_labels
from latentbench.data.sources.layout import find_layout, natural_key
from latentbench.errors import DataError
from latentbench.rng import numpy_generator


class FolderSource:
    """Images in a directory or zip, with or without train/test folders and class folders.

    Folders around all images are skipped. Without train and test folders, test images are chosen at
    random.
    """

    entries: ClassVar[dict[str, type]] = {"path": str, "fingerprint": str}

    def fetch(self, dataset: FolderDataset, folder: Path) -> dict[str, Any]:
        """Return path and fingerprint of the images, and of the table of attributes."""
        archive = open_archive(expand_user(dataset.path, key="path"), key="path")
        if not archive.image_names():
            found = " ".join(archive.notes()[:3])
            raise DataError(
                f"{dataset.path} has no images (jpg, png, webp, tif and others that Pillow reads); "
                f"check the path. {found}".rstrip()
            )
        fetched: dict[str, Any] = {
            "path": str(archive.path),
            "fingerprint": archive.fingerprint(),
        }
        if dataset.attributes is not None:
            fetched["attributes"] = fingerprint(expand_user(dataset.attributes, key="attributes"))
        return fetched

    def open(self, dataset: FolderDataset, folder: Path, fetched: dict[str, Any]) -> RawDataset:
        """Return the images with their classes and attributes."""
        archive = open_fetched(fetched)
        layout = find_layout(archive.image_names(), where=str(archive.path))
        notes = list(layout.notes)
        class_names = sorted(set(layout.train.values()) - {""}, key=natural_key)
        train = _labeled_split(layout.train, class_names)
        if layout.test:
            test = _labeled_split(layout.test, class_names)
        else:
            train, test = _hold_out(train, dataset)
            chosen = "of each class" if class_names else "of the images"
            notes.append(f"{100 * dataset.test_fraction:g} % {chosen} were chosen for testing.")
        attribute_names: list[str] = []
        if "attributes" in fetched:
            train, test, attribute_names = _add_attributes(train, test, fetched["attributes"])
        return RawDataset(
            ArchiveReader(archive),
            train,
            test,
            class_names,
            attribute_names,
            skip_undecodable=dataset.on_error == "skip",
            notes=[*notes, *archive.notes()],
        )


def open_fetched(fetched: dict[str, Any]) -> ImageArchive:
    """Return the archive that was fetched; raise DataError if it has changed since then."""
    archive = open_archive(Path(fetched["path"]), key="path")
    if archive.fingerprint() != fetched["fingerprint"]:
        raise DataError(
            f"{archive.path} has changed since it was fetched; fetch the dataset again."
        )
    return archive


def _labeled_split(classes: dict[str, str], class_names: list[str]) -> Split:
    names = list(classes)
    if not class_names:
        return Split(names, missing_labels(len(names)))
    indices = {name: index for index, name in enumerate(class_names)}
    labels = [indices[classes[name]] for name in names]
    return Split(names, np.array(labels, dtype=np.int64))


def _hold_out(images: Split, dataset: FolderDataset) -> tuple[Split, Split]:
    """Return training and test images, chosen at random."""
    rng = numpy_generator(dataset.seed, "held out")
    is_test = choose_held_out(images.labels, fraction=dataset.test_fraction, rng=rng)
    if not is_test.any():
        raise DataError(
            f"{dataset.path} has no class with two images, so none can be held out for testing; "
            "add images or a test folder."
        )
    return images.subset(np.flatnonzero(~is_test)), images.subset(np.flatnonzero(is_test))


def _add_attributes(
    train: Split, test: Split, fetched: dict[str, str]
) -> tuple[Split, Split, list[str]]:
    """Return both splits with their attributes, and the names of these."""
    table = read_table(fetched)
    # Both splits at once, since a row must not match an image of each.
    images = [*train.references, *test.references]
    attributes = table.attributes(images, where=fetched["path"])
    number = len(train.references)
    return (
        replace(train, attributes=attributes[:number]),
        replace(test, attributes=attributes[number:]),
        table.names,
    )
