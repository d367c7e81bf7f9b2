"""Damaged or inconsistent official files: a DataError that names them, never other labels."""

from __future__ import annotations

import gzip
import io
import lzma
import tarfile
import zipfile
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

import hypothesis
import numpy as np
import pytest
from hypothesis import strategies as st

from latentbench.artifacts.files import write_manifest
from latentbench.artifacts.paths import SOURCE_FORMAT
from latentbench.config.datasets import DatasetConfig
from latentbench.config.load import parse_params
from latentbench.data.preparation.prepare import open_raw
from latentbench.data.sources import RawDataset
from latentbench.data.sources.attribute_table import fingerprint, read_table
from latentbench.data.sources.celeba import CelebASource
from latentbench.data.sources.cifar10 import BATCHES, CLASS_NAMES, RECORD
from latentbench.errors import ArtifactError, DataError
from latentbench.rng import numpy_generator
from tests.data.conftest import picture, save

few = hypothesis.settings(max_examples=50)

DIGITS = [str(digit) for digit in range(10)]


def opened(raw: Path, fetched: dict[str, Any], **dataset: Any) -> RawDataset:
    """Return the dataset of the files in `raw`, as `prepare` reads it."""
    content = {"format": SOURCE_FORMAT, "source": dataset["source"], **fetched}
    write_manifest(raw / "source.json", content)
    return open_raw(_config(**dataset), raw)


@cache
def _config(**dataset: Any) -> DatasetConfig:
    params = {"studies": {}, "datasets": {"set": dataset}, "experiments": {}}
    return parse_params(params, where="params.yaml").dataset("set")


def error_naming(path: Path, *words: str) -> Any:
    """Return a context for a DataError of one line with the path and the words."""
    return pytest.raises(DataError, check=lambda error: _is_clear(error, path, words))


def _is_clear(error: DataError, path: Path, words: Sequence[str] = ()) -> bool:
    line = str(error)
    assert str(path) in line
    assert line.isprintable()
    assert len(line) < 1000
    for word in words:
        assert word in line
    return True


def check_consistent(dataset: RawDataset) -> None:
    """Check that each image of either split is there once, and that its labels exist."""
    references = [*dataset.train.references, *dataset.test.references]
    assert len(set(references)) == len(references)
    for split in (dataset.train, dataset.test):
        assert len(split.references) == len(split.labels) > 0
        for reference in split.references:
            image = dataset.reader.read(reference)
            assert isinstance(image, bytes) or min(image.size) > 0
        if dataset.class_names:
            assert 0 <= split.labels.min() <= split.labels.max() < len(dataset.class_names)
        if dataset.attribute_names:
            shape = (len(split.references), len(dataset.attribute_names))
            assert split.attributes is not None
            assert split.attributes.shape == shape
            assert set(np.unique(split.attributes)) <= {0, 1}


@st.composite
def mutations(draw: st.DrawFn, whole: bytes) -> bytes:
    """Return the bytes with some replaced, inserted, doubled or cut."""
    data = bytearray(whole)
    for _ in range(draw(st.integers(1, 4))):
        start = draw(st.integers(0, len(data)))
        stop = start + draw(st.integers(0, 40))
        kind = draw(st.sampled_from(["replace", "insert", "double", "cut", "end"]))
        if kind == "replace":
            data[start:stop] = draw(st.binary(max_size=40))
        elif kind == "insert":
            data[start:start] = draw(st.sampled_from([b"\0", b"\n", b",", b'"', b"-", b"9" * 30]))
        elif kind == "double":
            data[start:start] = data[start:stop]
        elif kind == "cut":
            del data[start:stop]
        else:
            del data[start:]
    return bytes(data)


@pytest.mark.parametrize(
    ("entry", "settings"),
    [
        ("class_names", {"source": "mnist"}),
        ("class_names", {"source": "emnist", "split": "letters"}),
        ("fonts", {"source": "glyphs"}),
        ("path", {"source": "folder", "path": "pictures"}),
        ("fingerprint", {"source": "celeba"}),
        ("lists", {"source": "celeba"}),
    ],
)
def test_a_manifest_without_an_entry_is_refused(
    entry: str, settings: dict[str, Any], tmp_path: Path
) -> None:
    fetched = {"path": "x", "fingerprint": "x", "class_names": [], "lists": {}, "fonts": {}}
    for wrong in ({}, {entry: 5}):
        content = {key: value for key, value in fetched.items() if key != entry} | wrong
        with pytest.raises(ArtifactError, match=rf"source\.json.*{entry}"):
            opened(tmp_path, content, **settings)


# IDX: MNIST and EMNIST


def idx(values: np.ndarray[Any, Any]) -> bytes:
    sizes = [size.to_bytes(4, "big") for size in values.shape]
    return bytes((0, 0, 8, values.ndim)) + b"".join(sizes) + values.astype(np.uint8).tobytes()


def mnist_files(**changes: np.ndarray[Any, Any]) -> dict[str, bytes]:
    """Return the unpacked files of 6 and 3 images; changes are by `train_labels` and so on."""
    files = {}
    for split, number in (("train", 6), ("t10k", 3)):
        images = numpy_generator(0, split).integers(0, 256, (number, 7, 5), dtype=np.uint8)
        labels = np.arange(number)
        for kind, values in (("images-idx3", images), ("labels-idx1", labels)):
            change = changes.get(f"{split}_{kind[:6]}")
            files[f"{split}-{kind}-ubyte.gz"] = idx(values if change is None else change)
    return files


def open_mnist(raw: Path, files: dict[str, bytes]) -> RawDataset:
    raw.mkdir(exist_ok=True)
    for name, data in files.items():
        (raw / name).write_bytes(gzip.compress(data, 1))
    return opened(raw, {"class_names": DIGITS}, source="mnist")


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"train_labels": np.arange(8)}, ["6", "8"]),  # would take images of the test split
        ({"train_labels": np.arange(5)}, ["6", "5"]),
        ({"t10k_labels": np.arange(4)}, ["3", "4"]),
        ({"train_labels": np.array([0, 1, 255, 2, 3, 255])}, ["255", "image 2", "2 such"]),
        ({"t10k_labels": np.array([0, 1, 10])}, ["10", "image 2 of the test"]),
        ({"train_labels": np.zeros((6, 1))}, ["train-labels", "2 dimensions"]),
        ({"train_images": np.arange(6)}, ["train-images", "1 dimensions"]),
        ({"train_images": np.zeros((6, 7))}, ["train-images", "2 dimensions"]),
        ({"train_images": np.zeros((6, 7, 5, 3, 1))}, ["train-images", "5 dimensions"]),
        ({"train_images": np.zeros((6, 8, 5))}, ["(8, 5)", "(7, 5)"]),
        (
            {"train_images": np.zeros((6, 7, 5, 2)), "t10k_images": np.zeros((3, 7, 5, 2))},
            ["(7, 5, 2)"],
        ),
        ({"train_images": np.zeros((6, 0, 5)), "t10k_images": np.zeros((3, 0, 5))}, ["(0, 5)"]),
        ({"t10k_images": np.zeros((0, 7, 5)), "t10k_labels": np.zeros(0)}, ["test"]),
    ],
)
def test_idx_files_that_do_not_fit_are_refused(
    changes: dict[str, Any], words: list[str], tmp_path: Path
) -> None:
    check_consistent(open_mnist(tmp_path / "raw", mnist_files()))
    with error_naming(tmp_path / "raw", *words):
        open_mnist(tmp_path / "raw", mnist_files(**changes))


def test_an_idx_file_is_unpacked_no_further_than_its_header_says(tmp_path: Path) -> None:
    files = mnist_files()
    name = "train-labels-idx1-ubyte.gz"
    files[name] += bytes(1 << 24)
    with error_naming(tmp_path / "raw" / name, "more elements instead of 6"):
        open_mnist(tmp_path / "raw", files)
    files[name] = bytes((0, 0, 8, 1, 255, 255, 255, 255)) + bytes(6)
    with error_naming(tmp_path / "raw" / name, "4,294,967,295"):
        open_mnist(tmp_path / "raw", files)


@few
@hypothesis.given(st.data())
def test_changed_idx_files_are_consistent_or_refused(tmp_path: Path, data: st.DataObject) -> None:
    files = mnist_files()
    name = data.draw(st.sampled_from(sorted(files)))
    files[name] = data.draw(mutations(files[name]))
    try:
        check_consistent(open_mnist(tmp_path / "raw", files))
    except DataError as error:
        _is_clear(error, tmp_path / "raw")


@few
@hypothesis.given(st.data())
def test_changed_gzip_files_are_consistent_or_refused(tmp_path: Path, data: st.DataObject) -> None:
    open_mnist(tmp_path / "raw", mnist_files())
    path = tmp_path / "raw" / "train-images-idx3-ubyte.gz"
    path.write_bytes(data.draw(mutations(path.read_bytes())))
    try:
        check_consistent(opened(tmp_path / "raw", {"class_names": DIGITS}, source="mnist"))
    except DataError as error:
        _is_clear(error, path)


def open_letters(raw: Path, train: np.ndarray[Any, Any], test: np.ndarray[Any, Any]) -> RawDataset:
    raw.mkdir(exist_ok=True)
    with zipfile.ZipFile(raw / "gzip.zip", "w") as archive:
        for split, labels in (("train", train), ("test", test)):
            stem = f"gzip/emnist-letters-{split}"
            images = np.zeros((len(labels), 7, 5))
            archive.writestr(f"{stem}-images-idx3-ubyte.gz", gzip.compress(idx(images), 1))
            archive.writestr(f"{stem}-labels-idx1-ubyte.gz", gzip.compress(idx(labels), 1))
    names = [chr(code) for code in range(97, 123)]
    return opened(raw, {"class_names": names}, source="emnist", split="letters")


@pytest.mark.parametrize("first", [0, 1])
def test_letters_may_be_numbered_from_either(first: int, tmp_path: Path) -> None:
    dataset = open_letters(tmp_path / "raw", np.arange(52) % 26 + first, np.array([3, 4]))
    assert dataset.train.labels.tolist() == [*range(26), *range(26)]
    assert dataset.test.labels.tolist() == [3 - first, 4 - first]


@pytest.mark.parametrize("label", [0, 27, 255])
def test_a_letter_without_a_class_is_refused(label: int, tmp_path: Path) -> None:
    labels = np.arange(1, 27)
    with error_naming(tmp_path / "raw", "label"):
        open_letters(tmp_path / "raw", labels, np.array([3, label]))


def test_missing_or_repeated_files_of_emnist_are_refused(tmp_path: Path) -> None:
    open_letters(tmp_path / "raw", np.arange(1, 27), np.arange(1, 27))
    path = tmp_path / "raw" / "gzip.zip"
    name = "emnist-letters-test-labels-idx1-ubyte.gz"
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr(f"other/{name}", b"")
    fetched = {"class_names": DIGITS}
    with error_naming(path, f"2 files {name}"):
        opened(tmp_path / "raw", fetched, source="emnist", split="letters")
    with error_naming(path, "0 files emnist-digits"):
        opened(tmp_path / "raw", fetched, source="emnist", split="digits")


# CIFAR-10


def cifar_files(**changes: bytes) -> dict[str, bytes]:
    files = {CLASS_NAMES: b"polar bear\ncat\n\n"}
    for names in BATCHES.values():
        for name in names:
            records = numpy_generator(0, name).integers(0, 256, (2, RECORD), dtype=np.uint8)
            records[:, 0] = [0, 1]
            files[name] = records.tobytes()
    return files | changes


def packed(files: dict[str, bytes]) -> bytes:
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w") as archive:
        for name, data in files.items():
            member = tarfile.TarInfo(f"cifar-10-batches-bin/{name}")
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))
    return stream.getvalue()


def open_cifar(raw: Path, archive: bytes) -> RawDataset:
    raw.mkdir(exist_ok=True)
    (raw / "cifar-10-binary.tar.gz").write_bytes(archive)
    return opened(raw, {}, source="cifar10")


def test_classes_of_cifar_are_lines(tmp_path: Path) -> None:
    dataset = open_cifar(tmp_path / "raw", gzip.compress(packed(cifar_files())))
    assert dataset.class_names == ["polar bear", "cat"]
    check_consistent(dataset)


def without(name: str) -> dict[str, bytes]:
    files = cifar_files()
    del files[name]
    return files


@pytest.mark.parametrize(
    ("files", "words"),
    [
        (cifar_files(**{"test_batch.bin": bytes((2,)) * RECORD}), ["label 2", "2 classes"]),
        (cifar_files(**{"test_batch.bin": bytes((255,)) * RECORD}), ["label 255"]),
        (cifar_files(**{"test_batch.bin": bytes(RECORD - 1)}), ["test_batch.bin"]),
        (without("data_batch_4.bin"), ["data_batch_4.bin"]),
        (without(CLASS_NAMES), [CLASS_NAMES]),
        (cifar_files(**{CLASS_NAMES: b"\n"}), [CLASS_NAMES]),
        (cifar_files(**{CLASS_NAMES: "Bär\nKatze".encode("latin-1")}), [CLASS_NAMES, "UTF-8"]),
        (cifar_files(**{CLASS_NAMES: b"cat\ncat"}), ["'cat'"]),
        (cifar_files(**{f"copy/{CLASS_NAMES}": b"cat\ndog"}), ["two files", CLASS_NAMES]),
    ],
)
def test_cifar_files_that_do_not_fit_are_refused(
    files: dict[str, bytes], words: list[str], tmp_path: Path
) -> None:
    with error_naming(tmp_path / "raw", *words):
        open_cifar(tmp_path / "raw", gzip.compress(packed(files), 1))


@pytest.mark.parametrize("pack", [bytes, gzip.compress, lzma.compress])
def test_a_damaged_archive_of_cifar_is_refused(pack: Any, tmp_path: Path) -> None:
    whole = bytearray(pack(packed(cifar_files())))
    check_consistent(open_cifar(tmp_path / "raw", bytes(whole)))
    for damaged in (whole[:-15_000], whole[:100], b"", b"no archive", bytes(5000)):
        with error_naming(tmp_path / "raw"):
            open_cifar(tmp_path / "raw", bytes(damaged))


def test_a_batch_that_would_fill_the_memory_is_refused(tmp_path: Path) -> None:
    member = tarfile.TarInfo("data_batch_1.bin")
    member.size = 1 << 34
    archive = gzip.compress(member.tobuf() + bytes(1 << 16))
    with error_naming(tmp_path / "raw", member.name, f"{1 << 34:,}"):
        open_cifar(tmp_path / "raw", archive)


def test_a_tar_that_leads_back_to_its_start_is_refused(tmp_path: Path) -> None:
    member = tarfile.TarInfo("data_batch_1.bin")
    member.size = -(1 << 10)
    member.pax_headers = {"size": str(member.size)}
    header = tarfile.TarInfo("x").tobuf() + member.tobuf(tarfile.PAX_FORMAT)
    with error_naming(tmp_path / "raw"):
        open_cifar(tmp_path / "raw", header + bytes(1 << 12))


@few
@hypothesis.given(st.data())
def test_changed_archives_of_cifar_are_consistent_or_refused(
    tmp_path: Path, data: st.DataObject
) -> None:
    archive = bytearray(packed(cifar_files()))
    # Where the headers are; elsewhere a change is another image.
    place = 512 * data.draw(st.integers(0, len(archive) // 512 - 1))
    header = bytearray(data.draw(mutations(bytes(archive[place : place + 512]))))
    if data.draw(st.booleans()):
        header[148:156] = b" " * 8
        header[148:156] = b"%06o\0 " % sum(header)
    archive[place : place + 512] = header
    pack = data.draw(st.sampled_from([bytes, lambda tar: gzip.compress(tar, 1)]))
    changed = pack(bytes(archive))
    if data.draw(st.booleans()):
        changed = data.draw(mutations(changed))
    try:
        check_consistent(open_cifar(tmp_path / "raw", changed))
    except DataError as error:
        _is_clear(error, tmp_path / "raw")


# Tables of attributes and CelebA's lists

IMAGES = [f"{number:06d}.jpg" for number in range(1, 7)]
TABLES = {
    "csv": b"image,Smiling,Hat\n" + b"".join(f"{name},1,0\n".encode() for name in IMAGES),
    "list": b"6\nSmiling Hat\n" + b"".join(f"{name}  1 -1\n".encode() for name in IMAGES),
}


def read_attributes(path: Path, table: bytes) -> np.ndarray[Any, Any]:
    path.write_bytes(table)
    return read_table(fingerprint(path)).attributes(IMAGES, where=str(path))


@pytest.mark.parametrize(
    ("table", "words"),
    [
        (TABLES["csv"].replace(b",1,0\n", b"," + b"1" * 200_000 + b",0\n", 1), []),
        (TABLES["csv"].replace(b",1,0\n", b"," + b"1" * 5000 + b",0\n", 1), [IMAGES[0]]),
        (TABLES["csv"].replace(b",1,0\n", b",-9223372036854775808,0\n", 1), ["Smiling", IMAGES[0]]),
        (TABLES["csv"].replace(b",1,0\n", b",36893488147419103232,0\n", 1), ["Smiling"]),
        (TABLES["csv"].replace(b",1,0", b""), ["0 values", IMAGES[0]]),
        (TABLES["list"].replace(b"  1 -1", b""), ["0 values", IMAGES[0]]),
        (TABLES["csv"] + b",1,0\n", ["without"]),
        (TABLES["csv"].replace(b"image", b"'\xe9"), ["UTF-8"]),
        (TABLES["csv"].decode().encode("utf-16"), ["UTF-8"]),
        (TABLES["list"].replace(b"Smiling Hat", b"Hat Hat"), ["'Hat'"]),
        (b"".join(f"{name} 1 0\n".encode() for name in IMAGES), ["no attributes"]),
        (b"", ["no attributes"]),
        (TABLES["csv"].replace(b",1,0\n", b",\x1b[31m" + b"y" * 500 + b",0\n", 1), [IMAGES[0]]),
    ],
)
def test_a_table_that_does_not_fit_is_refused(
    table: bytes, words: list[str], tmp_path: Path
) -> None:
    with error_naming(tmp_path / "table.csv", *words):
        read_attributes(tmp_path / "table.csv", table)


def test_a_row_belongs_to_the_same_name_in_another_form(tmp_path: Path) -> None:
    composed, decomposed = "caf\u00e9.jpg", "cafe\u0301.jpg"
    for row, image in ((composed, decomposed), (decomposed, composed)):
        path = tmp_path / "table.csv"
        path.write_text(f"image,Smiling\n{row},1\n", encoding="utf-8")
        attributes = read_table(fingerprint(path)).attributes([f"faces/{image}"], where="table")
        assert attributes.tolist() == [[1]]


@few
@hypothesis.given(st.data())
def test_changed_tables_are_read_or_refused(tmp_path: Path, data: st.DataObject) -> None:
    path = tmp_path / "table.csv"
    table = data.draw(st.sampled_from(sorted(TABLES.values())).flatmap(mutations))
    try:
        attributes = read_attributes(path, table)
    except DataError as error:
        _is_clear(error, path)
    else:
        assert attributes.shape[0] == len(IMAGES)
        assert attributes.shape[1] >= 1
        assert set(np.unique(attributes)) <= {0, 1}


@few
@hypothesis.given(st.data())
def test_changed_lists_of_celeba_are_consistent_or_refused(
    tmp_path: Path, data: st.DataObject
) -> None:
    folder = tmp_path / "img_align_celeba"
    if not folder.exists():
        for number, name in enumerate(IMAGES):
            save(folder / name, picture(number, (8, 8)))
    parts = b"".join(f"{name} {number // 2}\n".encode() for number, name in enumerate(IMAGES))
    lists = {"list_attr_celeba": TABLES["list"], "list_eval_partition": parts}
    changed = data.draw(st.sampled_from(sorted(lists)))
    lists[changed] = data.draw(mutations(lists[changed]))
    for name, content in lists.items():
        (tmp_path / f"{name}.txt").write_bytes(content)
    settings = {"source": "celeba", "path": str(folder)}
    try:
        fetched = CelebASource().fetch(_config(**settings).dataset, tmp_path)
        check_consistent(opened(tmp_path, fetched, **settings))
    except DataError as error:
        _is_clear(error, tmp_path)
