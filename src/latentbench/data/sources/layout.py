"""Which folders of images are splits, and which are classes."""

from __future__ import annotations

import re
import unicodedata
from collections import defaultdict
from dataclasses import dataclass, field
from typing import NoReturn

from latentbench.data.image_archive import decode_name, path_parts
from latentbench.errors import DataError, quote

Parts = tuple[str, ...]  # of a path: its folders and its file
Paths = dict[str, Parts]  # of images, by name

TRAIN_FOLDERS = ("train", "training")
TEST_FOLDERS = ("test", "testing", "val", "valid", "validation")  # the first that exists is used
_SPLIT_WORD = re.compile(
    r"(?<![a-z])(training|train|testing|test|validation|valid|val)(?=(?:set|data)?(?![a-z]))"
)
_CASE_CHANGE = re.compile(r"(?<=[a-z])(?=[A-Z])")


@dataclass(frozen=True)
class Layout:
    """Class folders of the training and test images, by image name; "" for all without classes.

    Without test folder, `test` is empty. `notes` are sentences about how the folders were read.
    """

    train: dict[str, str]
    test: dict[str, str]
    notes: list[str] = field(default_factory=list)


def find_layout(names: list[str], *, where: str) -> Layout:
    """Return the classes of the training and test images.

    Raises DataError if the folders can be read in two ways, or if the classes do not fit.
    """
    paths = _strip_common_folders(names)
    by_folder: dict[str, Paths] = defaultdict(dict)
    for name, path in paths.items():
        by_folder[path[0] if len(path) > 1 else ""][name] = path[1:] or path
    train_folder, test_folder = _split_folders(by_folder, where=where)
    if train_folder is None:
        _refuse_splits_in_classes(paths, where=where)
        return Layout(_class_folders(paths, where=where), {})
    train = _class_folders(_below(train_folder, by_folder), where=where)
    test: dict[str, str] = {}
    notes = [f"Training images are in {quote(train_folder)}."]
    if test_folder is not None:
        test = _class_folders(_below(test_folder, by_folder), where=where)
        if set(test.values()) == {""} and set(train.values()) != {""}:
            notes.append(
                f"{len(test):,} left out: images in {quote(test_folder)} have no class folders."
            )
            test = {}
        else:
            notes.append(f"Test images are in {quote(test_folder)}.")
    for folder, others in sorted(by_folder.items()):
        if folder not in (train_folder, test_folder):
            place = f"in {quote(folder)}" if folder else "outside of folders"
            notes.append(f"{len(others):,} left out: images {place}.")
    unknown = sorted(set(test.values()) - set(train.values()))
    if unknown:
        raise DataError(
            f"{where} has test images of class {quote(unknown[0])}, but no training images of it; "
            "add some or remove the class."
        )
    return Layout(train, test, notes)


def natural_key(name: str) -> tuple[int, str, str, str]:
    """Return a sort key: numbers by value, then names.

    The value is compared as text, since a class folder may have more digits than int() converts.
    """
    if not name.isdecimal():
        return (0, "", name, name)
    digits = "".join(str(unicodedata.decimal(digit)) for digit in name).lstrip("0")
    return (len(digits), digits, "", name)


def _strip_common_folders(names: list[str]) -> Paths:
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


def _split_folders(by_folder: dict[str, Paths], *, where: str) -> tuple[str | None, str | None]:
    """Return the folders of the training and test images; None for those that do not exist.

    They are `train` and `test`, or two folders that differ in these words only, such as seg_train
    and seg_test. A single word in the name of a class, such as bullet_train, means nothing.
    Raises DataError if they could be class folders, too.
    """
    train: dict[str, list[str]] = {}  # by the rest of their names
    test: dict[str, list[str]] = {}
    folders = sorted(folder for folder in by_folder if folder)
    for folder in folders:
        word, rest = _split_word(folder)
        if word in TRAIN_FOLDERS:
            train.setdefault(rest, []).append(folder)
        elif word:
            test.setdefault(rest, []).append(folder)
    pairs = [rest for rest in train if rest in test]
    if "" in pairs:
        pairs = [""]
    if len(pairs) == 1 and len(train[pairs[0]]) == 1:
        return train[pairs[0]][0], min(test[pairs[0]], key=_test_order)
    exact = [*train.get("", []), *test.get("", [])]
    if folders == train.get(""):
        return folders[0], None
    if train and test:
        _refuse(where, exact or train[min(train)], folders)
    elif exact and exact[0].lower() != "valid":
        _refuse(where, exact, folders)
    return None, None


def _split_word(folder: str) -> tuple[str, str]:
    """Return the word for a split in a folder's name, and the rest; "" for both without one."""
    words = _CASE_CHANGE.sub("_", decode_name(folder)).lower()
    found = _SPLIT_WORD.search(words)
    if found is None:
        return "", ""
    rest = f"{words[: found.start()]}*{words[found.end() :]}"
    return found[1], "" if rest == "*" else rest


def _test_order(folder: str) -> tuple[int, str]:
    return TEST_FOLDERS.index(_split_word(folder)[0]), folder


def _refuse(where: str, splits: list[str], folders: list[str]) -> NoReturn:
    listed = ", ".join(quote(folder) for folder in folders[:5])
    first = quote(splits[0])
    raise DataError(
        f"{where} can be read in two ways: {first} has the images of a split, or of a class like "
        f"other folders ({listed}). For a split, have one folder train and one folder test, and "
        f"move the others away; for a class, rename {first}, to class_1 for example."
    )


def _refuse_splits_in_classes(paths: Paths, *, where: str) -> None:
    """Raise DataError if a class folder has folders for training and for test images."""
    below: dict[str, set[str]] = defaultdict(set)
    for path in paths.values():
        if len(path) > 2:
            below[path[0]].add(path[1].lower())
    for folder, names in sorted(below.items()):
        if names.intersection(TRAIN_FOLDERS) and names.intersection(TEST_FOLDERS):
            raise DataError(
                f"{where} can be read in two ways: the folders for training and test in "
                f"{quote(folder)} are splits, or all its images are one class. For splits, move "
                "the images to train/CLASS and test/CLASS; else rename these folders."
            )


def _below(folder: str, by_folder: dict[str, Paths]) -> Paths:
    """Return the paths below a split's folder, and below one of the same name in it."""
    paths = by_folder[folder]
    while all(len(path) > 1 and path[0] == folder for path in paths.values()):
        paths = {name: path[1:] for name, path in paths.items()}
    return paths


def _class_folders(paths: Paths, *, where: str) -> dict[str, str]:
    """Return the class folder of each image, or "" for all of them.

    Names are in Unicode's form NFC, so that folders from macOS and Linux are the same classes.
    """
    folders = {}
    for name, path in paths.items():
        folder = decode_name(path[0]) if len(path) > 1 else ""
        folders[name] = unicodedata.normalize("NFC", folder)
    outside = [name for name, folder in folders.items() if not folder]
    if outside and len(outside) < len(folders):
        raise DataError(
            f"{where} has class folders, but also images outside of them ({quote(outside[0])}); "
            "move these into a class folder or remove them."
        )
    return folders
