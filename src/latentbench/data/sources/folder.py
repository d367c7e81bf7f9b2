"""Images of the user, which stay where they are."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from latentbench.artifacts.progress import log
from latentbench.config.datasets import FolderDataset
from latentbench.data.image_archive import ArchiveReader, ImageArchive, open_archive, path_parts
from latentbench.data.sources.attribute_table import fingerprint, read_table
from latentbench.data.sources.base import RawDataset, Split, choose_test_images, missing_labels
from latentbench.errors import DataError
from latentbench.rng import numpy_generator

Parts = tuple[str, ...]  # of a path: its folders and its file

TRAIN_FOLDERS = ("train", "training")
TEST_FOLDERS = ("test", "testing", "val", "valid", "validation")  # the first that exists is used


class FolderSource:
    """Images in a directory or zip, with or without train/test folders and class folders.

    Folders around all images are skipped. Without train and test folders, test images are chosen at
    random.
    """

    def fetch(self, dataset: FolderDataset, folder: Path) -> dict[str, Any]:
        """Return path and fingerprint of the images, and of the table of attributes."""
        archive = open_archive(Path(dataset.path).expanduser(), key="path")
        if not archive.image_names():
            raise DataError(
                f"{dataset.path} has no images (jpg, png, bmp, webp, gif or tif); check the path."
            )
        fetched: dict[str, Any] = {
            "path": str(archive.path),
            "fingerprint": archive.fingerprint(),
        }
        if dataset.attributes is not None:
            fetched["attributes"] = fingerprint(Path(dataset.attributes).expanduser())
        return fetched

    def open(self, dataset: FolderDataset, folder: Path, fetched: dict[str, Any]) -> RawDataset:
        """Return the images with their classes and attributes."""
        archive = open_fetched(fetched)
        train_paths, test_paths = _split_paths(_strip_common_folders(archive.image_names()))
        train_classes = _class_folders(train_paths, archive)
        class_names = sorted(set(train_classes.values()) - {""}, key=_natural_key)
        train = _labeled_split(train_classes, class_names)
        if test_paths:
            test_classes = _class_folders(test_paths, archive)
            unknown = sorted(set(test_classes.values()) - set(train_classes.values()))
            if unknown:
                raise DataError(
                    f"{archive.path} has test images of class {unknown[0]!r}, but no training "
                    "images of it; add some or remove the class."
                )
            test = _labeled_split(test_classes, class_names)
        else:
            rng = numpy_generator(dataset.seed, "held out")
            is_test = choose_test_images(train.labels, fraction=dataset.test_fraction, rng=rng)
            test = train.subset(np.flatnonzero(is_test))
            train = train.subset(np.flatnonzero(~is_test))
        attribute_names: list[str] = []
        if "attributes" in fetched:
            table = read_table(fetched["attributes"])
            attribute_names = table.names
            # Both splits at once, since a row must not match an image of each.
            images = [*train.references, *test.references]
            attributes = table.attributes(images, where=fetched["attributes"]["path"])
            train = replace(train, attributes=attributes[: len(train.references)])
            test = replace(test, attributes=attributes[len(train.references) :])
        return RawDataset(
            ArchiveReader(archive),
            train,
            test,
            class_names,
            attribute_names,
            skip_undecodable=dataset.on_error == "skip",
        )


def open_fetched(fetched: dict[str, Any]) -> ImageArchive:
    """Return the archive that was fetched; raise DataError if it has changed since then."""
    archive = open_archive(Path(fetched["path"]), key="path")
    if archive.fingerprint() != fetched["fingerprint"]:
        raise DataError(
            f"{archive.path} has changed since it was fetched; fetch the dataset again."
        )
    return archive


def _strip_common_folders(names: list[str]) -> dict[str, Parts]:
    """Return each image's path below the folders that all images share, except train and test."""
    paths = {name: path_parts(name) for name in names}
    while True:
        top_folders = {path[0] for path in paths.values()}
        is_nested = all(len(path) > 1 for path in paths.values())
        if len(top_folders) > 1 or not is_nested:
            return paths
        if top_folders.pop().lower() in (*TRAIN_FOLDERS, *TEST_FOLDERS):
            return paths
        paths = {name: path[1:] for name, path in paths.items()}


def _split_paths(paths: dict[str, Parts]) -> tuple[dict[str, Parts], dict[str, Parts]]:
    """Return training and test images with their path below the split's folder.

    Without a training folder, all are training images.
    """
    by_folder: dict[str, dict[str, Parts]] = defaultdict(dict)
    for name, path in paths.items():
        if len(path) > 1:
            by_folder[path[0].lower()][name] = path[1:]
    train = _first_of(TRAIN_FOLDERS, by_folder)
    if not train:
        return paths, {}
    test = _first_of(TEST_FOLDERS, by_folder)
    num_ignored = len(paths) - len(train) - len(test)
    if num_ignored:
        log(f"{num_ignored} images outside of the training and test folders are ignored.")
    return train, test


def _first_of(names: tuple[str, ...], folders: dict[str, dict[str, Parts]]) -> dict[str, Parts]:
    """Return the images of the first folder that exists, else none."""
    for name in names:
        if name in folders:
            return folders[name]
    return {}


def _class_folders(paths: dict[str, Parts], archive: ImageArchive) -> dict[str, str]:
    """Return the class folder of each image, or "" for all of them."""
    folders = {name: path[0] if len(path) > 1 else "" for name, path in paths.items()}
    outside = [name for name, folder in folders.items() if not folder]
    if outside and len(outside) < len(folders):
        raise DataError(
            f"{archive.path} has class folders, but also images outside of them ({outside[0]}); "
            "move these into a class folder or remove them."
        )
    return folders


def _labeled_split(classes: dict[str, str], class_names: list[str]) -> Split:
    names = list(classes)
    if not class_names:
        return Split(names, missing_labels(len(names)))
    indices = {name: index for index, name in enumerate(class_names)}
    labels = [indices[classes[name]] for name in names]
    return Split(names, np.array(labels, dtype=np.int64))


def _natural_key(name: str) -> tuple[int, str]:
    """Return a sort key: numbers by value, then names."""
    return (int(name), "") if name.isdecimal() else (0, name)
