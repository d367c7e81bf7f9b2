"""Pictures of the user's own, read where they lie."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from latentbench.artifacts.progress import log
from latentbench.config.datasets import FolderDataset
from latentbench.data.image_archive import ArchiveReader, ImageArchive, open_archive, parts_of
from latentbench.data.sources.attribute_table import fingerprint, read_table
from latentbench.data.sources.base import RawDataset, Split, held_out, unlabeled
from latentbench.errors import DataError
from latentbench.rng import numpy_generator

Parts = tuple[str, ...]  # of a path: its folders, and its file

TRAIN_FOLDERS = ("train", "training")
TEST_FOLDERS = ("test", "testing", "val", "valid", "validation")  # the first that is there


class FolderSource:
    """`path` holds pictures, or train/ and test/ with pictures; in each they may lie in class folders.

    A single folder around everything is looked through. One without train/ and test/ has its test split held out.
    `attributes` is a table of what each picture has.
    """

    def fetch(self, dataset: FolderDataset, folder: Path) -> dict[str, Any]:  # noqa: ARG002
        store = open_archive(Path(dataset.path).expanduser(), key="path")
        if not store.pictures():
            raise DataError(
                f"{dataset.path} holds no pictures (jpg, png, bmp, webp, gif or tif); check the path."
            )
        fetched: dict[str, Any] = {"path": str(store.path), "fingerprint": store.fingerprint()}
        if dataset.attributes is not None:
            fetched["attributes"] = fingerprint(Path(dataset.attributes).expanduser())
        return fetched

    def open(self, dataset: FolderDataset, folder: Path, fetched: dict[str, Any]) -> RawDataset:  # noqa: ARG002
        store = open_fetched(fetched)
        splits = _part_splits(_unwrapped(store.pictures()))
        train_classes = _classes(splits["train"], store)
        class_names = sorted(set(train_classes.values()) - {""}, key=_natural)
        train = _split(train_classes, class_names)
        if "test" in splits:
            test_classes = _classes(splits["test"], store)
            unknown = sorted(set(test_classes.values()) - set(train_classes.values()))
            if unknown:
                raise DataError(
                    f"{store.path} has test pictures of {unknown[0]!r}, but no training pictures of it."
                )
            test = _split(test_classes, class_names)
        else:
            rng = numpy_generator(dataset.seed, "held out")
            mask = held_out(train.labels, share=dataset.test_fraction, rng=rng)
            train, test = train.subset(np.flatnonzero(~mask)), train.subset(np.flatnonzero(mask))
        attribute_names: list[str] = []
        if "attributes" in fetched:
            attribute_names, (train, test) = _with_attributes((train, test), fetched["attributes"])
        return RawDataset(
            ArchiveReader(store),
            train,
            test,
            class_names,
            attribute_names,
            skip_undecodable=dataset.on_error == "skip",
        )


def _with_attributes(
    splits: tuple[Split, Split], fetched: dict[str, str]
) -> tuple[list[str], list[Split]]:
    """The names of the attributes, and the splits with them."""
    table = read_table(fetched)
    pictures = [picture for split in splits for picture in split.references]
    columns = np.split(table.columns(pictures, where=fetched["path"]), [len(splits[0].references)])
    return table.names, [
        replace(split, attributes=rows) for split, rows in zip(splits, columns, strict=True)
    ]


def open_fetched(fetched: dict[str, Any]) -> ImageArchive:
    """The store that was fetched; raises DataError where it is no longer what it was."""
    store = open_archive(Path(fetched["path"]), key="path")
    if store.fingerprint() != fetched["fingerprint"]:
        raise DataError(f"{store.path} has changed since it was fetched; fetch the dataset again.")
    return store


def _unwrapped(names: list[str]) -> dict[str, Parts]:
    """The path of each picture below the folders that all of them share, splits excepted."""
    paths = {name: parts_of(name) for name in names}
    while True:
        tops = {path[0] for path in paths.values()}
        nested = all(len(path) > 1 for path in paths.values())
        [top, *others] = sorted(tops)
        if others or not nested or top.lower() in (*TRAIN_FOLDERS, *TEST_FOLDERS):
            return paths
        paths = {name: path[1:] for name, path in paths.items()}


def _part_splits(paths: dict[str, Parts]) -> dict[str, dict[str, Parts]]:
    """Pictures by split, their paths below it; all are for training where no folder says otherwise."""
    by_top: dict[str, dict[str, Parts]] = defaultdict(dict)
    for name, path in paths.items():
        if len(path) > 1:
            by_top[path[0].lower()][name] = path[1:]
    train = next((by_top[top] for top in TRAIN_FOLDERS if top in by_top), None)
    if train is None:
        return {"train": paths}
    test = next((by_top[top] for top in TEST_FOLDERS if top in by_top), None)
    ignored = len(paths) - len(train) - len(test or {})
    if ignored:
        log(f"{ignored} pictures lie outside the training and test folders and are left out.")
    return {"train": train} | ({"test": test} if test else {})


def _classes(paths: dict[str, Parts], store: ImageArchive) -> dict[str, str]:
    """The class folder of each picture, empty throughout where there are none."""
    folders = {name: path[0] if len(path) > 1 else "" for name, path in paths.items()}
    beside = [name for name, folder in folders.items() if not folder]
    if beside and len(beside) < len(folders):
        raise DataError(
            f"{store.path} has pictures in class folders and pictures beside them ({beside[0]}); "
            "move these into a class folder or away."
        )
    return folders


def _split(classes: dict[str, str], class_names: list[str]) -> Split:
    names = list(classes)
    if not class_names:
        return Split(names, unlabeled(len(names)))
    places = {name: index for index, name in enumerate(class_names)}
    return Split(names, np.array([places[classes[name]] for name in names], dtype=np.int64))


def _natural(name: str) -> tuple[int, str]:
    """Numbers by value, then names."""
    return (int(name), "") if name.isdecimal() else (0, name)
