"""Pictures in a directory or a zip, by their names, without unpacking."""

from __future__ import annotations

import hashlib
import os
import zipfile
import zlib
from pathlib import Path
from typing import Any

from latentbench.errors import DataError

PICTURES = {".jpg", ".jpeg", ".png", ".bmp", ".webp", ".gif", ".tif", ".tiff"}


class ImageArchive:
    """The files below a directory or inside a zip, named by POSIX paths relative to it."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.is_zip = path.is_file()
        self._zip: zipfile.ZipFile | None = None
        self._opened_by = 0

    def names(self) -> list[str]:
        """All files in the order of their names, hidden ones left out.

        Raises DataError where the zip is damaged or an entry climbs out of it.
        """
        names = self._zip_names() if self.is_zip else self._folder_names()
        return sorted(
            name for name in names if not any(_is_hidden(part) for part in parts_of(name))
        )

    def pictures(self) -> list[str]:
        return [name for name in self.names() if os.path.splitext(name)[1].lower() in PICTURES]  # noqa: PTH122

    def bytes(self, name: str) -> bytes:
        if self.is_zip:
            return self._opened().read(name)
        return (self.path / name).read_bytes()

    def fingerprint(self) -> str:
        """Of a zip the names, sizes and checksums in its table; of a directory the names and sizes of its files."""
        digest = hashlib.sha256()
        if self.is_zip:
            for entry in self._opened().infolist():
                digest.update(f"{entry.filename}\0{entry.file_size}\0{entry.CRC}\n".encode())
        else:
            for name in self.names():
                digest.update(f"{name}\0{(self.path / name).stat().st_size}\n".encode())
        return digest.hexdigest()

    def _folder_names(self) -> list[str]:
        return [
            (Path(parent) / name).relative_to(self.path).as_posix()
            for parent, _, names in os.walk(self.path)
            for name in names
        ]

    def _zip_names(self) -> list[str]:
        names = [entry.filename for entry in self._opened().infolist() if not entry.is_dir()]
        for name in names:
            if _climbs(name):
                raise DataError(
                    f"{self.path} has an entry that climbs out of its folder ({name!r}); "
                    "do not trust this archive, get it from elsewhere."
                )
        return names

    def _opened(self) -> zipfile.ZipFile:
        if self._zip is None:
            try:
                self._zip, self._opened_by = zipfile.ZipFile(self.path), os.getpid()
            except zipfile.BadZipFile as error:
                raise DataError(
                    f"{self.path} is not a whole zip ({error}); it may be truncated, copy or download it again."
                ) from None
        elif self._opened_by != os.getpid():
            # A forked process shares its parent's place in the file, so it opens its own; the table is the same.
            self._zip.fp, self._opened_by = self.path.open("rb"), os.getpid()
        return self._zip

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_zip": None}


class ArchiveReader:
    """Reads the pictures of a store by name."""

    def __init__(self, store: ImageArchive) -> None:
        self.store = store

    def read(self, reference: str) -> bytes:
        try:
            return self.store.bytes(reference)
        except (zipfile.BadZipFile, zlib.error, NotImplementedError) as error:
            raise OSError(f"damaged in its zip: {error}") from None


def open_archive(path: Path, *, key: str) -> ImageArchive:
    """The store at a path that the user gave under `key`; raises DataError where there is none."""
    if not path.exists():
        raise DataError(
            f"{key} is {str(path)!r}, which does not exist; give a directory or a zip of pictures."
        )
    if path.is_file() and path.suffix.lower() != ".zip":
        raise DataError(
            f"{key} is {str(path)!r}, which is neither a directory nor a .zip; give one of these."
        )
    return ImageArchive(path)


def parts_of(name: str) -> tuple[str, ...]:
    """The folders of a name, and its file. As pathlib has it, but for the hundreds of thousands that there may be."""
    return tuple(part for part in name.split("/") if part not in ("", "."))


def _is_hidden(part: str) -> bool:
    return part.startswith(".") or part == "__MACOSX"


def _climbs(name: str) -> bool:
    parts = name.replace("\\", "/").split("/")
    return ".." in parts or parts[0] == "" or parts[0].endswith(":")
