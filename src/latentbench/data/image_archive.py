"""Images in a directory or a zip, which is not unpacked."""

from __future__ import annotations

import errno
import hashlib
import os
import stat
import zipfile
from collections import Counter, defaultdict
from pathlib import Path
from typing import Any

from latentbench.data.image_formats import (
    HEAD_BYTES,
    has_image_suffix,
    has_unknown_suffix,
    starts_like_image,
    suffix_of,
)
from latentbench.data.raw_files import is_bomb
from latentbench.errors import DataError, ImageError, quote, reason

MAX_FILE_BYTES = 2**30

_END_BYTES = 2**16 + 98  # of a zip, with the longest comment and the zip64 records
_NUM_QUOTED = 3
_NUM_SUFFIXES = 8  # by which files that are left out are counted
_SYSTEM_ERRORS = (errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.EIO, errno.ESTALE)


class ImageArchive:
    """The files of a directory or zip, named by their POSIX paths in it.

    Links are followed. Backslashes in a zip's names separate folders, as Windows tools write them.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.is_zip = path.is_file()
        self._zip: zipfile.ZipFile | None = None
        self._process_id = 0  # of the process that opened the zip
        self._file_names: list[str] | None = None
        self._image_names: list[str] | None = None
        self._entries: dict[str, zipfile.ZipInfo] = {}  # of a zip
        self._left_out: dict[str, list[str]] = defaultdict(list)  # names by reason

    def file_names(self) -> list[str]:
        """Return the names of all files but hidden ones, sorted.

        Raises DataError if a folder cannot be read, or if the zip is damaged or has an entry
        outside of its folder.
        """
        if self._file_names is None:
            names = self._zip_names() if self.is_zip else self._folder_names()
            self._file_names = sorted(name for name in names if not _is_hidden(name))
            self._left_out["hidden"] += [name for name in names if _is_hidden(name)]
        return self._file_names

    def image_names(self) -> list[str]:
        """Return the names of all images, sorted.

        Pillow's suffixes decide, or the content of a file whose suffix says nothing.
        """
        if self._image_names is None:
            self._image_names = [name for name in self.file_names() if self._is_image(name)]
        return self._image_names

    def notes(self) -> list[str]:
        """Return a sentence per reason for which files are no images of the dataset."""
        images = set(self.image_names())
        by_kind = defaultdict(list, {kind: [*names] for kind, names in self._left_out.items()})
        suffixes = Counter(suffix_of(name) for name in self.file_names() if name not in images)
        common = {suffix for suffix, _ in suffixes.most_common(_NUM_SUFFIXES)}
        for name in self.file_names():
            if name not in images:
                by_kind[self._reason_to_leave_out(name, common)].append(name)
        notes = []
        for kind, names in sorted(by_kind.items()):
            if names:
                notes.append(f"{len(names):,} left out: {kind} ({_quote_some(names)}).")
        return notes

    def locate(self, name: str) -> str:
        """Return a file's name and the archive, for messages."""
        return f"{quote(name)} of {self.path}"

    def read_bytes(self, name: str) -> bytes:
        """Return the content of a file.

        Raises:
            ImageError: The file cannot be read.
            DataError: The zip cannot be read at all.
            OSError: The system lacks memory or the like.
        """
        if self.is_zip:
            return self._read_entry(name)
        path = self.path / name
        try:
            _require_regular_file(path)
            size = path.stat().st_size
            if size <= MAX_FILE_BYTES:
                return path.read_bytes()
        except OSError as error:
            if is_system_error(error):
                raise
            raise self._image_error(name, "unreadable", reason(error)) from None
        raise self._image_error(name, "too large", f"{size:,} bytes")

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
                line = f"{name}\0{_file_size(self.path / name) or 0}\n"
                digest.update(line.encode("utf-8", "surrogateescape"))
        return digest.hexdigest()

    def _is_image(self, name: str) -> bool:
        if has_image_suffix(name):
            return True
        return has_unknown_suffix(name) and starts_like_image(self._read_head(name))

    def _reason_to_leave_out(self, name: str, common_suffixes: set[str]) -> str:
        if self.is_zip and _is_link(self._entries[name]):
            return "links"
        if not self.is_zip and _file_size(self.path / name) is None:
            return "links that lead nowhere"
        suffix = suffix_of(name)
        if suffix and not (suffix in common_suffixes and suffix[1:].isalnum()):
            suffix = "other"
        return f"{suffix} files that Pillow does not read".lstrip()

    def _read_head(self, name: str) -> bytes:
        """Return the first bytes of a file; none if it cannot be read."""
        try:
            if self.is_zip:
                with self._open_zip().open(self._entries[name]) as entry:
                    return entry.read(HEAD_BYTES)
            _require_regular_file(self.path / name)
            with (self.path / name).open("rb") as file:
                return file.read(HEAD_BYTES)
        except Exception:  # see _read_entry
            return b""

    def _folder_names(self) -> list[str]:
        """Return the names of all files; of a hidden folder, its own name."""
        names = []
        folders: list[tuple[str, frozenset[Identity]]] = [("", _parents(self.path))]
        while folders:
            folder, parents = folders.pop()
            identity, entries = _read_folder(self.path / folder)
            if identity in parents:
                self._left_out["links to a folder that they are in"].append(folder)
                continue
            if not entries:
                self._left_out["empty folders"].append(folder)
            for entry in entries:
                name = f"{folder}{entry.name}"
                if _is_folder(entry) and not _is_hidden(entry.name):
                    folders.append((f"{name}/", parents | {identity}))
                else:
                    names.append(name)
        return names

    def _zip_names(self) -> list[str]:
        self._open_zip()
        return list(self._entries)

    def _open_zip(self) -> zipfile.ZipFile:
        try:
            if self._zip is None:
                opened = zipfile.ZipFile(self.path)
                self._require_all_entries(opened)
                self._list_entries(opened)
                self._zip, self._process_id = opened, os.getpid()
            elif self._process_id != os.getpid():
                # A forked process shares the file position with its parent; it opens its own file.
                self._zip.fp, self._process_id = self.path.open("rb"), os.getpid()
        except (DataError, MemoryError):
            raise
        except OSError as error:
            raise DataError(
                f"{self.path} cannot be read ({reason(error)}); check its permissions."
            ) from None
        # zipfile raises BadZipFile, NotImplementedError (newer versions of the format), ValueError,
        # UnicodeDecodeError, struct.error and others, and documents none but the first.
        except Exception as error:
            raise DataError(
                f"{self.path} cannot be read as a zip ({reason(error)}); copy or download it "
                "again, or pack the images with another program."
            ) from None
        return self._zip

    def _require_all_entries(self, archive: zipfile.ZipFile) -> None:
        """Raise DataError if entries are missing: a damaged length in the table can hide some."""
        found, stated = len(archive.infolist()), _stated_entries(self.path)
        # Writers without the zip64 extension count modulo 65,536.
        if found != stated and (found < 2**16 or found % 2**16 != stated):
            raise DataError(
                f"{self.path} lists {found:,} of {stated:,} entries; copy or download it again."
            )

    def _list_entries(self, archive: zipfile.ZipFile) -> None:
        for entry in archive.infolist():
            name = entry.filename.replace("\\", "/")
            if name.endswith("/"):
                continue
            if _is_outside(name):
                raise DataError(
                    f"{self.path} has an entry outside of its folder ({quote(name)}). Do not trust "
                    "this archive; get it from another place."
                )
            if not path_parts(name):
                self._left_out["entries without a name"].append(name)
                continue
            if name in self._entries:
                self._left_out["entries that a later one replaces"].append(name)
            self._entries[name] = entry

    def _read_entry(self, name: str) -> bytes:
        archive = self._open_zip()
        entry = self._entries[name]
        if _is_link(entry):
            raise self._image_error(name, "unreadable", "a link")
        if entry.flag_bits & 1:
            raise self._image_error(
                name, "encrypted", "it is encrypted", remedy="unpack the zip with its password"
            )
        size, compressed = entry.file_size, max(1, entry.compress_size)
        if size > MAX_FILE_BYTES or is_bomb(size, compressed):
            raise self._image_error(
                name, "too large", f"{size:,} bytes, {size / compressed:.0f}-fold compressed"
            )
        try:
            return archive.read(entry)
        except MemoryError:
            raise
        # The decompressors raise zlib.error, LZMAError, EOFError, OSError, struct.error and others;
        # zipfile adds BadZipFile, RuntimeError, NotImplementedError and UnicodeDecodeError.
        except Exception as error:
            if is_system_error(error):
                raise
            raise self._image_error(name, "damaged in the zip", reason(error)) from None

    def _image_error(
        self, name: str, kind: str, cause: str, *, remedy: str = "repair or remove it"
    ) -> ImageError:
        return ImageError(f"{self.locate(name)} cannot be read ({cause}); {remedy}.", kind)

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_zip": None, "_entries": {}}


class ArchiveReader:
    """Reads the images of an archive by name."""

    def __init__(self, archive: ImageArchive) -> None:
        self.archive = archive

    def read(self, reference: str) -> bytes:
        """Return the content of an image file; raise ImageError if it cannot be read."""
        return self.archive.read_bytes(reference)

    def locate(self, reference: str) -> str:
        """Return the image's name and its archive."""
        return self.archive.locate(reference)


def open_archive(path: Path, *, key: str) -> ImageArchive:
    """Return the archive at a path that the user set as `key`; raise DataError if it is none."""
    try:
        mode = path.stat().st_mode
    except FileNotFoundError:
        raise DataError(
            f"{key}: {path} does not exist; set it to a directory or a zip of images."
        ) from None
    except (OSError, ValueError) as error:  # ValueError: a NUL character
        raise DataError(
            f"{key}: {quote(path)} cannot be read ({reason(error)}); set it to a directory or a "
            "zip of images."
        ) from None
    is_zip = stat.S_ISREG(mode) and path.suffix.lower() == ".zip"
    if not is_zip and not stat.S_ISDIR(mode):
        raise DataError(f"{key}: {path} is neither a directory nor a .zip; set it to one of these.")
    return ImageArchive(path)


def expand_user(path: str, *, key: str) -> Path:
    """Return a path that the user set as `key`, with `~` expanded.

    Raises DataError if it names an unknown user.
    """
    try:
        return Path(path).expanduser()
    except RuntimeError as error:
        raise DataError(
            f"{key}: {quote(path)} is in no known home ({reason(error)}); write the whole path."
        ) from None


def is_system_error(error: Exception) -> bool:
    """Return whether an error is the system's: no reason to leave a file out, which may be whole.

    With too many open files or a lost network drive, results would depend on the moment.
    """
    return isinstance(error, OSError) and error.errno in _SYSTEM_ERRORS


def path_parts(name: str) -> tuple[str, ...]:
    """Return the folders and the file of a POSIX path, much faster than pathlib does."""
    return tuple(part for part in name.split("/") if part not in ("", "."))


def decode_name(name: str) -> str:
    """Return a file name as text: bytes that are not UTF-8 become escapes."""
    return name.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")


Identity = tuple[int, int]  # of a folder: device and inode


def _parents(path: Path) -> frozenset[Identity]:
    """Return the folders that a folder is in."""
    found = [parent.stat() for parent in path.resolve().parents]
    return frozenset((parent.st_dev, parent.st_ino) for parent in found)


def _read_folder(path: Path) -> tuple[Identity, list[os.DirEntry[str]]]:
    try:
        found = path.stat()
        with os.scandir(path) as entries:
            return (found.st_dev, found.st_ino), list(entries)
    except OSError as error:
        raise DataError(
            f"{path} cannot be read ({reason(error)}); change its permissions or remove it."
        ) from None


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a link to itself
        return False


def _file_size(path: Path) -> int | None:
    """Return the size of a file; None for a link that leads nowhere."""
    try:
        return path.stat().st_size
    except OSError:
        return None


def _require_regular_file(path: Path) -> None:
    """Raise OSError for a pipe or device, which could be read without end."""
    if not stat.S_ISREG(path.stat().st_mode):
        raise OSError("not a regular file")


def _quote_some(names: list[str]) -> str:
    quoted = [quote(name) for name in names[:_NUM_QUOTED]]
    if len(names) > _NUM_QUOTED:
        quoted.append("…")
    return ", ".join(quoted)


def _stated_entries(path: Path) -> int:
    """Return the number of entries that the end record of a zip states."""
    with path.open("rb") as file:
        size = file.seek(0, os.SEEK_END)
        file.seek(max(0, size - _END_BYTES))
        end = file.read()
    start = end.rfind(b"PK\5\6")
    locator, zip64 = end[start - 20 :], end[start - 76 :]
    if start >= 76 and locator.startswith(b"PK\6\7") and zip64.startswith(b"PK\6\6"):
        return int.from_bytes(zip64[32:40], "little")
    return int.from_bytes(end[start + 10 : start + 12], "little")


def _is_link(entry: zipfile.ZipInfo) -> bool:
    return stat.S_ISLNK(entry.external_attr >> 16)


def _is_hidden(name: str) -> bool:
    return any(part.startswith(".") or part == "__MACOSX" for part in path_parts(name))


def _is_outside(name: str) -> bool:
    """Return whether a zip entry's path is absolute or has a `..`."""
    parts = name.split("/")
    return ".." in parts or (len(parts) > 1 and parts[0] == "") or parts[0].endswith(":")
