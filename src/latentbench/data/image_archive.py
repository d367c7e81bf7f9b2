"""Images in a directory or a zip, which is not unpacked."""

from __future__ import annotations

import hashlib
import os
import zipfile
import zlib
from pathlib import Path
from typing import Any

from latentbench.errors import DataError

IMAGE_SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp", ".webp", ".gif", ".tif", ".tiff")


class ImageArchive:
    """The files of a directory or zip, named by their POSIX paths in it."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.is_zip = path.is_file()
        self._zip: zipfile.ZipFile | None = None
        self._process_id = 0  # of the process that opened the zip

    def file_names(self) -> list[str]:
        """Return the names of all files but hidden ones, sorted.

        Raises DataError if the zip is damaged or has an entry outside of its folder.
        """
        names = self._zip_names() if self.is_zip else self._folder_names()
        return sorted(name for name in names if not _is_hidden(name))

    def image_names(self) -> list[str]:
        """Return the names of all images, sorted."""
        return [name for name in self.file_names() if name.lower().endswith(IMAGE_SUFFIXES)]

    def read_bytes(self, name: str) -> bytes:
        """Return the content of a file."""
        if self.is_zip:
            return self._open_zip().read(name)
        return (self.path / name).read_bytes()

    def fingerprint(self) -> str:
        """Return a SHA-256 that changes with the content.

        It covers names, sizes and checksums of a zip's table, and names and sizes of a directory's
        files.
        """
        digest = hashlib.sha256()
        if self.is_zip:
            for entry in self._open_zip().infolist():
                digest.update(f"{entry.filename}\0{entry.file_size}\0{entry.CRC}\n".encode())
        else:
            for name in self.file_names():
                digest.update(f"{name}\0{(self.path / name).stat().st_size}\n".encode())
        return digest.hexdigest()

    def _folder_names(self) -> list[str]:
        names = []
        for parent, _, files in os.walk(self.path):
            folder = Path(parent).relative_to(self.path)
            names += [(folder / file).as_posix() for file in files]
        return names

    def _zip_names(self) -> list[str]:
        names = [entry.filename for entry in self._open_zip().infolist() if not entry.is_dir()]
        for name in names:
            if _is_outside(name):
                raise DataError(
                    f"{self.path} has an entry outside of its folder ({name!r}). Do not trust this "
                    "archive; get it from another place."
                )
        return names

    def _open_zip(self) -> zipfile.ZipFile:
        if self._zip is None:
            try:
                self._zip, self._process_id = zipfile.ZipFile(self.path), os.getpid()
            except zipfile.BadZipFile as error:
                raise DataError(
                    f"{self.path} is not a complete zip ({error}); copy or download it again."
                ) from None
        elif self._process_id != os.getpid():
            # A forked process shares the file position with its parent, so it opens the file again.
            self._zip.fp, self._process_id = self.path.open("rb"), os.getpid()
        return self._zip

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_zip": None}


class ArchiveReader:
    """Reads the images of an archive by name."""

    def __init__(self, archive: ImageArchive) -> None:
        self.archive = archive

    def read(self, reference: str) -> bytes:
        """Return the content of an image file; raise OSError if it is damaged."""
        try:
            return self.archive.read_bytes(reference)
        except (zipfile.BadZipFile, zlib.error, NotImplementedError) as error:
            raise OSError(f"damaged in its zip: {error}") from None


def open_archive(path: Path, *, key: str) -> ImageArchive:
    """Return the archive at a path that the user set as `key`; raise DataError if it is none."""
    if not path.exists():
        raise DataError(f"{key}: {path} does not exist; set it to a directory or a zip of images.")
    if path.is_file() and path.suffix.lower() != ".zip":
        raise DataError(f"{key}: {path} is neither a directory nor a .zip; set it to one of these.")
    return ImageArchive(path)


def path_parts(name: str) -> tuple[str, ...]:
    """Return the folders and the file of a POSIX path, much faster than pathlib does."""
    return tuple(part for part in name.split("/") if part not in ("", "."))


def _is_hidden(name: str) -> bool:
    return any(part.startswith(".") or part == "__MACOSX" for part in path_parts(name))


def _is_outside(name: str) -> bool:
    """Return whether a zip entry's path is absolute or has a `..`."""
    parts = name.replace("\\", "/").split("/")
    return ".." in parts or parts[0] == "" or parts[0].endswith(":")
