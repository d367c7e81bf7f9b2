"""Files that are whole or absent: written beside their place, then renamed into it."""

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

from latentbench.errors import ArtifactError, StorageError

if TYPE_CHECKING:
    import numpy as np

_DISK_FULL = {errno.ENOSPC, errno.EDQUOT}
_DISK_REFUSES = {errno.EROFS, errno.EACCES, errno.EPERM}


@contextmanager
def convert_disk_errors(path: Path) -> Iterator[None]:
    """Turn what a full or read-only disk raises into a StorageError that names the path."""
    try:
        yield
    except OSError as error:
        if error.errno in _DISK_FULL:
            raise StorageError(
                f"No space is left to write {path}; free some and run again."
            ) from error
        if error.errno in _DISK_REFUSES:
            raise StorageError(
                f"{path} cannot be written ({error.strerror}); check its folder."
            ) from error
        raise


@contextmanager
def atomic_write(path: Path) -> Iterator[Path]:
    """A path beside `path` to write to; it becomes `path` if the block succeeds and goes away if it fails.

    The name is fixed, so what a killed run left behind is overwritten by the next.
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
    with atomic_write(path) as partial:
        partial.write_text(text, encoding="utf-8")


def write_bytes(path: Path, content: bytes) -> None:
    with atomic_write(path) as partial:
        partial.write_bytes(content)


def write_json(path: Path, content: Mapping[str, Any]) -> None:
    write_text(path, json.dumps(content, indent=2, ensure_ascii=False, allow_nan=False) + "\n")


def read_json(path: Path) -> dict[str, Any]:
    """The mapping in a JSON file that a stage left.

    Raises ArtifactError where it is missing or damaged.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ArtifactError(f"{path} is missing; run the stage that writes it.") from None
    except (UnicodeDecodeError, json.JSONDecodeError) as error:
        raise ArtifactError(
            f"{path} is damaged ({error}); delete it and run its stage again."
        ) from None
    if not isinstance(content, dict):
        raise ArtifactError(
            f"{path} is damaged (not a mapping); delete it and run its stage again."
        )
    return content


def yaml_text(content: Mapping[str, Any]) -> str:
    text: str = yaml.safe_dump(dict(content), sort_keys=False, allow_unicode=True)
    return text


def write_yaml(path: Path, content: Mapping[str, Any]) -> None:
    write_text(path, yaml_text(content))


def write_csv(path: Path, rows: Iterable[Mapping[str, Any]], *, columns: Sequence[str]) -> None:
    """Rows as CSV. Floats are written so that they read back as the same number."""
    with atomic_write(path) as partial, partial.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, columns, lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)


def read_csv(path: Path) -> list[dict[str, str]]:
    try:
        with path.open(encoding="utf-8", newline="") as file:
            return list(csv.DictReader(file))
    except FileNotFoundError:
        raise ArtifactError(f"{path} is missing; run the stage that writes it.") from None


def write_array(path: Path, array: np.ndarray[Any, Any]) -> None:
    import numpy as np

    with atomic_write(path) as partial, partial.open("wb") as file:
        np.save(file, array, allow_pickle=False)


def read_array(path: Path, *, mmap: bool = False) -> np.ndarray[Any, Any]:
    """A .npy array; `mmap` leaves it on disk until it is indexed.

    Raises ArtifactError where it is missing or damaged.
    """
    import numpy as np

    try:
        array: np.ndarray[Any, Any] = np.load(
            path, mmap_mode="r" if mmap else None, allow_pickle=False
        )
    except FileNotFoundError:
        raise ArtifactError(f"{path} is missing; run the stage that writes it.") from None
    except (ValueError, EOFError, OSError) as error:
        raise ArtifactError(
            f"{path} is damaged ({error}); delete it and run its stage again."
        ) from None
    return array


def write_arrays(path: Path, arrays: Mapping[str, np.ndarray[Any, Any]]) -> None:
    """Named arrays as one .npz file; the same arrays give the same bytes."""
    import numpy as np

    with atomic_write(path) as partial, partial.open("wb") as file:
        np.savez(file, allow_pickle=False, **dict(sorted(arrays.items())))


def read_arrays(path: Path) -> dict[str, np.ndarray[Any, Any]]:
    """The arrays of a .npz file by name.

    Raises ArtifactError where it is missing or damaged.
    """
    import numpy as np

    try:
        with path.open("rb") as stream, np.load(stream, allow_pickle=False) as file:
            return dict(file)
    except FileNotFoundError:
        raise ArtifactError(f"{path} is missing; run the stage that writes it.") from None
    except (ValueError, TypeError, AttributeError, EOFError, OSError, zipfile.BadZipFile) as error:
        raise ArtifactError(
            f"{path} is damaged ({error}); delete it and run its stage again."
        ) from None


def file_sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
