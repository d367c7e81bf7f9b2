"""Directories and zips as they really are: links, pipes, odd names, damage."""

from __future__ import annotations

import contextlib
import io
import os
import stat
import tempfile
import warnings
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from latentbench.config.datasets import FolderDataset
from latentbench.data import raw_files
from latentbench.data.image_archive import ImageArchive, open_archive
from latentbench.data.prepared import PreparedDataset
from latentbench.data.sources.folder import FolderSource
from latentbench.errors import DataError, ImageError
from tests.data.conftest import Run, error_of, mutated, picture, png, save, zipped


def zip_of(path: Path, names: list[str], compression: int = zipfile.ZIP_STORED) -> Path:
    """Write a zip of different images, with names that zipfile would change or warn of."""
    with warnings.catch_warnings(), zipfile.ZipFile(path, "w", compression) as archive:
        warnings.simplefilter("ignore")
        for key, name in enumerate(names):
            entry = zipfile.ZipInfo("x")
            entry.filename, entry.compress_type = name, compression
            archive.writestr(entry, png(key))
    return path


def set_bytes(path: Path, signature: bytes, offset: int, value: bytes) -> None:
    """Overwrite bytes of each record of a zip with this signature."""
    data = bytearray(path.read_bytes())
    start = data.find(signature)
    while start >= 0:
        data[start + offset : start + offset + len(value)] = value
        start = data.find(signature, start + 4)
    path.write_bytes(data)


def encrypt(path: Path) -> None:
    zip_of(path, ["a.png", "b.png"])
    set_bytes(path, b"PK\3\4", 6, b"\1")
    set_bytes(path, b"PK\1\2", 8, b"\1")


def damage_lzma(path: Path) -> None:
    zip_of(path, ["a.png", "b.png"], zipfile.ZIP_LZMA)
    data = bytearray(path.read_bytes())
    data[60:90] = b"\xff" * 30
    path.write_bytes(data)


def declare_terabytes(path: Path) -> None:
    zip_of(path, ["a.png", "b.png"])
    set_bytes(path, b"PK\1\2", 24, b"\xff\xff\xff\xf0")


def compress_zeros(path: Path) -> None:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a.png", b"\0" * 4_000_000)


def link_entry(path: Path) -> None:
    with zipfile.ZipFile(path, "w") as archive:
        entry = zipfile.ZipInfo("a.png")
        entry.external_attr = (stat.S_IFLNK | 0o777) << 16
        archive.writestr(entry, "../b.png")


def unknown_method(path: Path) -> None:
    zip_of(path, ["a.png", "b.png"])
    set_bytes(path, b"PK\3\4", 8, b"\x61")
    set_bytes(path, b"PK\1\2", 10, b"\x61")


@pytest.mark.parametrize(
    ("make", "kind"),
    [
        (encrypt, "encrypted"),
        (damage_lzma, "damaged in the zip"),
        (declare_terabytes, "too large"),
        (compress_zeros, "too large"),
        (link_entry, "unreadable"),
        (unknown_method, "damaged in the zip"),
    ],
)
def test_entries_that_cannot_be_read(
    make: Callable[[Path], None], kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(raw_files, "_LARGE_BYTES", 1_000_000)
    make(tmp_path / "set.zip")
    archive = ImageArchive(tmp_path / "set.zip")
    with pytest.raises(ImageError, match=r"'a\.png' of .*set\.zip") as caught:
        archive.read_bytes(archive.image_names()[0])
    assert caught.value.kind == kind


def newer_version(path: Path) -> None:
    zip_of(path, ["a.png"])
    set_bytes(path, b"PK\1\2", 6, b"\xff")


def wrong_utf8(path: Path) -> None:
    zip_of(path, ["é.png"])
    data = path.read_bytes().replace("é".encode(), b"\xe9\xe9")
    path.write_bytes(data)


def unreadable_table(path: Path) -> None:
    zip_of(path, ["a.png"])
    path.write_bytes(path.read_bytes()[:-10])


def another_file(path: Path) -> None:
    path.write_bytes(b"no zip" * 100)


def hidden_entry(path: Path) -> None:
    """Let the comment of an entry end behind the next entry."""
    zip_of(path, ["a.png", "b.png"])
    set_bytes(path, b"PK\1\2", 33, b"\1")


def hidden_zip64_entry(path: Path) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(zipfile, "ZIP_FILECOUNT_LIMIT", 1)
        hidden_entry(path)


@pytest.mark.parametrize(
    "make",
    [
        newer_version,
        wrong_utf8,
        unreadable_table,
        another_file,
        hidden_entry,
        hidden_zip64_entry,
    ],
)
def test_zips_that_cannot_be_opened(make: Callable[[Path], None], tmp_path: Path, run: Run) -> None:
    make(tmp_path / "set.zip")
    line = error_of(run(source="folder", path=str(tmp_path / "set.zip"), on_error="skip"))
    assert "set.zip" in line


def test_a_pipe_is_not_waited_for(tmp_path: Path) -> None:
    save(tmp_path / "a.png", picture(0))
    os.mkfifo(tmp_path / "b.png")
    os.mkfifo(tmp_path / "c")
    archive = ImageArchive(tmp_path)
    assert archive.image_names() == ["a.png", "b.png"]
    assert len(archive.fingerprint()) == 64
    with pytest.raises(ImageError, match="regular file"):
        archive.read_bytes("b.png")


@pytest.mark.parametrize("path", ["~no such user/x", "a\0b", "x" * 5000, "/dev/null", "a.png"])
def test_paths_that_are_none(path: str, tmp_path: Path) -> None:
    save(tmp_path / "a.png", picture(0))
    if path == "a.png":
        path = str(tmp_path / path)
    with pytest.raises(DataError, match=r"^path: "):
        FolderSource().fetch(FolderDataset(source="folder", path=path), tmp_path)


def test_links_are_followed_but_not_in_circles(tmp_path: Path) -> None:
    save(tmp_path / "disk" / "owl" / "0.png", picture(0))
    save(tmp_path / "set" / "cat" / "0.png", picture(1))
    (tmp_path / "set" / "owl").symlink_to(tmp_path / "disk" / "owl")
    (tmp_path / "set" / "cat" / "all").symlink_to(tmp_path / "set")
    (tmp_path / "set" / "cat" / "self").symlink_to("self")
    (tmp_path / "set" / "up").symlink_to(tmp_path)
    (tmp_path / "set" / "lynx").symlink_to(tmp_path / "gone")
    archive = ImageArchive(tmp_path / "set")
    assert archive.image_names() == ["cat/0.png", "owl/0.png"]
    notes = "\n".join(archive.notes())
    for name in ("cat/all", "cat/self", "lynx", "up"):
        assert name in notes


def test_a_folder_that_cannot_be_read_is_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    save(tmp_path / "owl" / "0.png", picture(0))
    scandir = os.scandir

    def refuse(path: Path) -> object:
        if Path(path).name == "owl":
            raise PermissionError(13, "Permission denied")
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refuse)
    with pytest.raises(DataError, match="owl"):
        ImageArchive(tmp_path).file_names()


def test_all_of_pillows_suffixes_are_images(tmp_path: Path) -> None:
    for name in ("a.jfif", "b.JPE", "c.ppm", "d.jp2", "e.mpo", "f.png"):
        (tmp_path / name).write_bytes(b"any")
    for name in ("g", "h.jpg_large", "i.1"):  # images, by their content
        (tmp_path / name).write_bytes(png(0))
    for name in ("j", "k.heic", "l.txt", "m.eps", "n.h5"):
        (tmp_path / name).write_bytes(b"any")
    archive = ImageArchive(tmp_path)
    assert "".join(name[0] for name in archive.image_names()) == "abcdefghi"
    notes = "\n".join(archive.notes())
    for name in ("'j'", "k.heic", "l.txt", "m.eps", "n.h5"):
        assert name in notes


def test_files_that_are_left_out_are_counted_by_few_suffixes(tmp_path: Path) -> None:
    save(tmp_path / "a.png", picture(0))
    (tmp_path / "owl").mkdir()
    (tmp_path / "x.\n\x1b[31m").touch()
    for number in range(299):
        (tmp_path / f"x.{number:03d}").write_bytes(b"any")
    notes = ImageArchive(tmp_path).notes()
    assert sum(int(note.split()[0]) for note in notes) == 301
    assert len(notes) < 12
    assert all(note.isprintable() for note in notes)
    assert any("'owl/'" in note for note in notes)


def test_backslashes_in_a_zip_separate_folders(tmp_path: Path) -> None:
    path = zip_of(tmp_path / "set.zip", ["train\\cat\\0.png", "train\\cat\\", "", "."])
    archive = ImageArchive(path)
    assert archive.file_names() == ["train/cat/0.png"]
    assert archive.read_bytes("train/cat/0.png") == png(0)
    with pytest.raises(DataError, match="outside"):
        ImageArchive(zip_of(tmp_path / "out.zip", ["..\\..\\0.png"])).file_names()


def test_the_last_of_two_entries_counts(tmp_path: Path) -> None:
    archive = ImageArchive(zip_of(tmp_path / "set.zip", ["a.png", "b.png", "a.png"]))
    assert archive.image_names() == ["a.png", "b.png"]
    assert archive.read_bytes("a.png") == png(2)
    assert "'a.png'" in "\n".join(archive.notes())


@pytest.mark.parametrize("limit", [1, 2**16])
@pytest.mark.parametrize("comment", [b"", b"holiday" * 9_000])
def test_zips_with_a_comment_or_zip64(
    limit: int, comment: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(zipfile, "ZIP_FILECOUNT_LIMIT", limit)
    with zipfile.ZipFile(tmp_path / "set.zip", "w") as file:
        file.writestr("a.png", png(0))
        file.writestr("b.png", png(1))
        file.comment = comment
    assert ImageArchive(tmp_path / "set.zip").image_names() == ["a.png", "b.png"]


def test_names_that_are_not_utf8(tmp_path: Path, run: Run, prepared: Run) -> None:
    for label in (b"caf\xe9", b"bar"):
        for key in range(3):
            folder = tmp_path / "set" / os.fsdecode(label)
            save(folder / os.fsdecode(b"\xff%d.png" % key), picture(key))
    (folder / os.fsdecode(b"\xfe.png")).write_bytes(b"no image")
    arguments = {"source": "folder", "path": str(tmp_path / "set")}
    assert "fe.png" in error_of(run(**arguments))
    manifest = prepared(**arguments, on_error="skip").manifest
    assert manifest.class_names == ["bar", "caf\\xe9"]
    assert manifest.skipped == ["bar/\\xfe.png"]


ZIPS = st.sampled_from(
    [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA]
)


@settings(max_examples=150)
@given(st.data(), ZIPS)
def test_a_damaged_zip_is_read_or_an_error(data: st.DataObject, compression: int) -> None:
    whole = io.BytesIO()
    with zipfile.ZipFile(whole, "w", compression) as archive:
        for key, name in enumerate(("a/é.png", "b/1.png", "b/2", "b/3.txt")):
            archive.writestr(name, png(key))
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "set.zip"
        path.write_bytes(data.draw(mutated(whole.getvalue())))
        try:
            damaged = open_archive(path, key="path")
            names = damaged.image_names()
            assert len(damaged.fingerprint()) == 64
            damaged.notes()
        except DataError:
            return
        for name in names:
            with contextlib.suppress(ImageError):
                damaged.read_bytes(name)


@settings(max_examples=8)
@given(data=st.data())
def test_images_and_skipped_images_add_up(data: st.DataObject, tmp_path: Path, run: Run) -> None:
    for key in range(8):
        save(tmp_path / "set" / f"{key}.png", picture(key, (20, 20)))
    for key in data.draw(st.sets(st.integers(0, 7), max_size=6)):
        path = tmp_path / "set" / f"{key}.png"
        path.write_bytes(data.draw(mutated(path.read_bytes())))
    path = zipped(tmp_path / "set", tmp_path / "set.zip")
    if data.draw(st.booleans()):
        path.write_bytes(data.draw(mutated(path.read_bytes())))
    result = run(
        ("fetch", "prepare"), "--workers", "1", source="folder", path=str(path), on_error="skip"
    )
    if result.exit_code:
        error_of(result)
        return
    manifest = PreparedDataset.open(tmp_path / "prepared").manifest
    num_prepared = manifest.train.num_images + manifest.test.num_images
    assert num_prepared + len(manifest.skipped) == len(ImageArchive(path).image_names())
    assert (f"Skipped {len(manifest.skipped)} images" in result.output) == bool(manifest.skipped)
