"""Which folders are splits, which are classes, and what is said about it."""

from __future__ import annotations

import itertools
import unicodedata
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from latentbench.artifacts.paths import SPLITS
from latentbench.data.prepared import PreparedDataset
from latentbench.data.sources.layout import Layout, find_layout, natural_key
from latentbench.errors import DataError
from tests.data.conftest import Run, error_of, picture, save


def layout_of(*folders: str) -> Layout:
    """Return the layout of folders with two images each."""
    names = [f"{folder}/{key}.png" for folder in folders for key in range(2)]
    return find_layout(sorted(name.lstrip("/") for name in names), where="set")


@pytest.mark.parametrize(
    ("train", "test"),
    [
        ("train", "test"),
        ("Training", "validation"),
        ("seg_train/seg_train", "seg_test/seg_test"),
        ("training_set", "test_set"),
        ("TrainSet", "TestSet"),
        ("trainset", "testset"),
        ("train2017", "val2017"),
        ("archive/images.train", "archive/images.valid"),
        ("asl-alphabet-train", "asl-alphabet-test"),
    ],
)
def test_split_folders(train: str, test: str) -> None:
    layout = layout_of(f"{train}/cat", f"{train}/dog", f"{test}/cat", f"{test}/dog")
    assert set(layout.train.values()) == set(layout.test.values()) == {"cat", "dog"}
    notes = "\n".join(layout.notes)
    for folder in (train, test):
        assert folder.split("/")[-1] in notes


def test_the_first_test_folder_is_used_and_the_others_are_named() -> None:
    layout = layout_of("train", "val", "test", "extra")
    assert len(layout.test) == 2
    assert all(name.startswith("test/") for name in layout.test)
    assert "2 left out: images in 'val'." in layout.notes
    assert "2 left out: images in 'extra'." in layout.notes


@pytest.mark.parametrize(
    "folders",
    [
        ["train", "car", "bus"],
        ["test", "car", "bus"],
        ["test"],
        ["train", "Training", "test"],
        ["mnist_train", "mnist_test", "cifar_train", "cifar_test"],
        ["train", "test1"],
        ["cat/train", "cat/test", "dog/train", "dog/test"],
        ["set/train", "set/test", "docs"],
    ],
)
def test_folders_that_can_be_read_in_two_ways(folders: list[str]) -> None:
    with pytest.raises(DataError, match=r"^set .*two ways"):
        layout_of(*folders)


@pytest.mark.parametrize(
    "folders",
    [["bullet_train", "car"], ["test_tube", "flask"], ["valid", "invalid"], ["trainer", "tester"]],
)
def test_classes_with_such_names_are_classes(folders: list[str]) -> None:
    layout = layout_of(*folders)
    assert (set(layout.train.values()), layout.test) == (set(folders), {})


def test_test_images_without_classes_are_left_out() -> None:
    layout = layout_of("train/ok", "train/nok", "test")
    assert (set(layout.train.values()), layout.test) == ({"ok", "nok"}, {})
    assert "2 left out: images in 'test' have no class folders." in layout.notes


def test_forms_of_unicode_are_one_class() -> None:
    folders = [unicodedata.normalize(form, "train/Zoë") for form in ("NFC", "NFD")]
    assert len(set(folders)) == 2
    assert set(layout_of(*folders, "test/Zoë").train.values()) == {"Zoë"}


NAMES = st.sampled_from(["0", "00", "1", "01", "001", "2", "10", "٣", "a", "b", "1a", "A"])


@given(st.sets(NAMES | st.text(min_size=1)))
def test_the_order_of_classes_is_that_of_numbers_and_names(names: set[str]) -> None:
    for before, after in itertools.pairwise(sorted(names, key=natural_key)):
        if before.isdecimal() and after.isdecimal():
            assert int(before) <= int(after)
        assert natural_key(before) != natural_key(after)


def test_a_class_of_many_digits_has_a_place() -> None:
    names = ["9" * 5000, "1" + "0" * 5000, "2", "0" * 5000, "b"]
    assert [len(name) for name in sorted(names, key=natural_key)] == [5000, 1, 1, 5000, 5001]


PARTS = st.sampled_from(["train", "test", "val", "a", "b", "seg_train", "seg_test", "é", "1", "01"])


@settings(max_examples=200)
@given(st.sets(st.lists(PARTS, max_size=4).map("/".join), min_size=1, max_size=6))
def test_each_image_is_used_or_said_to_be_left_out(folders: set[str]) -> None:
    names = sorted(f"{folder}/{key}.png".lstrip("/") for folder in folders for key in range(2))
    try:
        layout = find_layout(names, where="set")
    except DataError:
        return
    left_out = [int(note.split()[0]) for note in layout.notes if "left out" in note]
    assert not set(layout.train) & set(layout.test)
    assert len(layout.train) + len(layout.test) + sum(left_out) == len(names)
    assert set(layout.test.values()) <= set(layout.train.values())


def test_a_class_of_one_image_is_trained_on(tmp_path: Path, run: Run) -> None:
    for label, number in (("a", 4), ("rare", 1)):
        for key in range(number):
            save(tmp_path / "set" / label / f"{key}.png", picture(key))
    arguments = {"source": "folder", "path": str(tmp_path / "set")}
    output = run(**arguments, test_fraction=0.9).output
    dataset = PreparedDataset.open(tmp_path / "prepared")
    assert [dataset.labels(split).tolist() for split in SPLITS] == [[0, 1], [0, 0, 0]]
    assert "'a' 1 + 3, 'rare' 1 + 0" in output
    for path in (tmp_path / "set" / "a").iterdir():
        path.unlink()
    assert str(tmp_path / "set") in error_of(run(**arguments))


def test_rows_and_images_in_other_forms_of_unicode_match(tmp_path: Path, prepared: Run) -> None:
    rows = []
    for key, forms in enumerate(itertools.product(["NFC", "NFD"], repeat=2)):
        name, row = (unicodedata.normalize(form, f"Zoë{key}.png") for form in forms)
        save(tmp_path / "set" / name, picture(key))
        rows.append(f"{row},{key % 2}")
    table = tmp_path / "table.csv"
    table.write_text("\n".join(["image,Smiling", *rows]), encoding="utf-8")
    dataset = prepared(source="folder", path=str(tmp_path / "set"), attributes=str(table))
    assert dataset.manifest.attribute_names == ["Smiling"]
