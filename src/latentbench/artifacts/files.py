"""Read and write files. Writes are atomic: a file is written completely or not at all."""

from __future__ import annotations

import csv
import errno
import hashlib
import json
import os
import zipfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from latentbench.errors import ArtifactError, StorageError, reason

if TYPE_CHECKING:
    import numpy as np

# libyaml's writer takes a quarter of the time.
_DUMPER = getattr(yaml, "CSafeDumper", yaml.SafeDumper)
_DISK_FULL = {errno.ENOSPC, errno.EDQUOT}
_NOT_WRITABLE = {errno.EROFS, errno.EACCES, errno.EPERM}


@contextmanager
def convert_disk_errors(path: Path) -> Iterator[None]:
    """Raise StorageError, which names the path, if the disk is full or cannot be written.

    An error of another file stays as it is, and one that names no file gets this path.
    """
    try:
        yield
    except OSError as error:
        if error.filename is None:
            error.filename = str(path)
        elif not _is_written_with(path, Path(str(error.filename))):
            raise
        if error.errno in _DISK_FULL:
            raise StorageError(
                f"No space is left to write {path}; free some and run again."
            ) from error
        if error.errno in _NOT_WRITABLE:
            raise StorageError(
                f"{path} cannot be written ({error.strerror}); check the permissions of its folder."
            ) from error
        raise


def _is_written_with(path: Path, file: Path) -> bool:
    """Return whether a file is the path, around or in it, or its partial file next to it."""
    is_nested = path.is_relative_to(file) or file.is_relative_to(path)
    return is_nested or file.name.startswith(f".{path.name}.")


@contextmanager
def convert_read_errors(path: Path, *damage: type[Exception]) -> Iterator[None]:
    """Raise ArtifactError if the file is missing or reading it raises one of `damage`."""
    try:
        yield
    except FileNotFoundError:
        raise ArtifactError(f"{path} is missing; run the stage that writes it.") from None
    except damage as error:
        raise ArtifactError(
            f"{path} is damaged ({reason(error)}); delete it and run its stage again."
        ) from None


@contextmanager
def atomic_write(path: Path) -> Iterator[Path]:
    """Yield a temporary path to write to, and rename it to `path` if the block succeeds.

    If the block fails, the temporary file is deleted and `path` keeps its old content. The
    temporary name is fixed, so the next run overwrites what a killed run left.
    """
    partial = path.with_name(f".{path.name}.partial")
    with convert_disk_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            yield partial
            with partial.open("rb") as written:
                os.fsync(written.fileno())
            partial.replace(path)
        finally:
            partial.unlink(missing_ok=True)


def write_text(path: Path, text: str) -> None:
    """Write text as UTF-8."""
    with atomic_write(path) as partial:
        partial.write_text(text, encoding="utf-8")


def write_bytes(path: Path, content: bytes) -> None:
    """Write bytes."""
    with atomic_write(path) as partial:
        partial.write_bytes(content)


def write_json(path: Path, content: Mapping[str, Any]) -> None:
    """Write a mapping as JSON; raise ValueError if it has NaN or infinity."""
    write_text(path, json.dumps(content, indent=2, ensure_ascii=False, allow_nan=False) + "\n")


def read_json(path: Path) -> dict[str, Any]:
    """Return the mapping in a JSON file; raise ArtifactError if it is missing or damaged."""
    with convert_read_errors(path, UnicodeDecodeError, json.JSONDecodeError, TypeError):
        content = json.loads(path.read_text(encoding="utf-8"))
        if not isinstance(content, dict):
            raise TypeError("not a mapping")
    return content


def yaml_text(content: Mapping[str, Any]) -> str:
    """Return a mapping as YAML, with its keys in their order."""
    text: str = yaml.dump(dict(content), Dumper=_DUMPER, sort_keys=False, allow_unicode=True)
    return text


def write_yaml(path: Path, content: Mapping[str, Any]) -> None:
    """Write a mapping as YAML, with its keys in their order."""
    write_text(path, yaml_text(content))


def write_csv(path: Path, rows: Iterable[Mapping[str, Any]], *, columns: Sequence[str]) -> None:
    """Write rows as CSV. Floats have all digits, so they read back as the same numbers."""
    with atomic_write(path) as partial, partial.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, columns, lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)


def read_csv(path: Path) -> list[dict[str, str]]:
    """Return the rows of a CSV file as text by column; raise ArtifactError if it is missing."""
    with convert_read_errors(path), path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def write_array(path: Path, array: np.ndarray[Any, Any]) -> None:
    """Write an array as .npy."""
    import numpy as np

    with atomic_write(path) as partial, partial.open("wb") as file:
        np.save(file, array, allow_pickle=False)


def read_array(path: Path, *, mmap: bool = False) -> np.ndarray[Any, Any]:
    """Return the array of a .npy file, memory-mapped if `mmap`.

    Raises ArtifactError if it is missing or damaged.
    """
    import numpy as np

    with convert_read_errors(path, ValueError, EOFError, OSError):
        array: np.ndarray[Any, Any] = np.load(
            path, mmap_mode="r" if mmap else None, allow_pickle=False
        )
    return array


def write_arrays(path: Path, arrays: Mapping[str, np.ndarray[Any, Any]]) -> None:
    """Write named arrays as one .npz file; equal arrays give equal bytes."""
    import numpy as np

    with atomic_write(path) as partial, partial.open("wb") as file:
        np.savez(file, allow_pickle=False, **dict(sorted(arrays.items())))


def read_arrays(path: Path) -> dict[str, np.ndarray[Any, Any]]:
    """Return the arrays of a .npz file by name; raise ArtifactError if missing or damaged."""
    import numpy as np

    damage = (ValueError, TypeError, AttributeError, EOFError, OSError, zipfile.BadZipFile)
    with (
        convert_read_errors(path, *damage),
        path.open("rb") as stream,
        np.load(stream, allow_pickle=False) as file,
    ):
        return dict(file)


def file_sha256(path: Path) -> str:
    """Return the SHA-256 of a file's content, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
