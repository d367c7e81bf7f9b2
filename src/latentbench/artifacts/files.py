"""Read and write files. Writes are atomic: a file is written completely or not at all."""

from __future__ import annotations

import csv
import errno
import hashlib
import json
import math
import os
import shutil
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import yaml

from latentbench.config.yaml_format import Dumper
from latentbench.errors import ArtifactError, LatentbenchError, StorageError, quote, reason

if TYPE_CHECKING:
    import numpy as np
    from pydantic import BaseModel

    Manifest = TypeVar("Manifest", bound=BaseModel)

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
                f"{path} cannot be written ({reason(error)}); check the permissions of its folder."
            ) from error
        raise


def _is_written_with(path: Path, file: Path) -> bool:
    """Return whether a file is the path, around or in it, or its partial file next to it."""
    is_nested = path.is_relative_to(file) or file.is_relative_to(path)
    return is_nested or file.name.startswith(f".{path.name}.")


@contextmanager
def convert_read_errors(path: Path) -> Iterator[None]:
    """Raise ArtifactError, which names the path, for all that reading the file raises.

    json raises ValueError and RecursionError; numpy ValueError, EOFError, SyntaxError, TypeError,
    OverflowError, tokenize.TokenError and warnings; zipfile BadZipFile, NotImplementedError,
    RuntimeError, struct.error and zlib.error; safetensors SafetensorError; pandas, pydantic and
    Pillow have classes of their own. So every Exception counts as damage, except for those of the
    system. The block should only call libraries that parse the file.
    """
    try:
        if path.exists() and not path.is_file():
            raise ArtifactError(f"{path} is not a file; remove it and run its stage again.")
        yield
    except LatentbenchError:
        raise
    except FileNotFoundError:
        raise ArtifactError(f"{path} is missing; run the stage that writes it.") from None
    except MemoryError as error:
        raise ArtifactError(
            f"{path} is damaged or larger than the memory; delete it and run its stage again."
        ) from error
    except Exception as error:
        if isinstance(error, OSError) and error.strerror:
            raise ArtifactError(
                f"{path} cannot be read ({reason(error)}); check its permissions and its disk."
            ) from error
        raise damaged(path, reason(error)) from error


def damaged(path: Path, why: str) -> ArtifactError:
    """Return the error of a file whose content is wrong."""
    return ArtifactError(f"{path} is damaged ({why}); delete it and run its stage again.")


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


@contextmanager
def write_together(folder: Path, *, last: str) -> Iterator[Path]:
    """Yield an empty folder to write files to, and move them into `folder` if the block succeeds.

    The file `last` is removed first and moved last. So wherever a process is killed, a folder with
    this file has all files of one run. If the block fails, `folder` keeps its old content. The next
    run deletes what a killed run left.
    """
    name = f".{Path(last).name}"
    staged = folder / f"{name}.{os.getpid()}.partial"
    with convert_disk_errors(folder):
        for leftover in folder.glob(f"{name}.*.partial"):
            shutil.rmtree(leftover)
        staged.mkdir(parents=True)
    try:
        yield staged
        files = [path for path in staged.rglob("*") if path.is_file()]
        files.sort(key=lambda path: (path == staged / last, path))
        with convert_disk_errors(folder):
            (folder / last).unlink(missing_ok=True)
            for path in files:
                target = folder / path.relative_to(staged)
                target.parent.mkdir(parents=True, exist_ok=True)
                path.replace(target)
    finally:
        shutil.rmtree(staged, ignore_errors=True)


def write_text(path: Path, text: str) -> None:
    """Write text as UTF-8."""
    with atomic_write(path) as partial:
        partial.write_text(_as_utf8(text), encoding="utf-8")


def _as_utf8(text: str) -> str:
    """Return text with the bytes of paths that the locale could not decode read as UTF-8."""
    try:
        content = text.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:
        content = text.encode("utf-8", "replace")
    return content.decode("utf-8", "replace")


def write_bytes(path: Path, content: bytes) -> None:
    """Write bytes."""
    with atomic_write(path) as partial:
        partial.write_bytes(content)


def write_json(path: Path, content: Mapping[str, Any]) -> None:
    """Write a mapping as JSON; raise ValueError if it has NaN or infinity."""
    write_text(path, json.dumps(content, indent=2, ensure_ascii=False, allow_nan=False) + "\n")


def read_json(path: Path) -> dict[str, Any]:
    """Return the mapping in a JSON file.

    Raises ArtifactError if it is missing or damaged, or has NaN or infinity.
    """
    with convert_read_errors(path):
        text = path.read_text(encoding="utf-8")
        content = json.loads(text, parse_float=_finite, parse_constant=_finite)
        if not isinstance(content, dict):
            raise TypeError("not a mapping")
    return content


def _finite(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise ValueError(f"{text} is not a number")
    return value


def write_manifest(path: Path, content: Mapping[str, Any]) -> None:
    """Write a mapping as JSON with a checksum of its content."""
    readable = json.loads(_as_utf8(json.dumps(content, ensure_ascii=False)))
    write_json(path, {**readable, "checksum": json_sha256(readable)})


def read_manifest(path: Path) -> dict[str, Any]:
    """Return what `write_manifest` wrote, without the checksum.

    Raises ArtifactError if the file is missing, damaged or without a checksum.
    """
    content = read_json(path)
    if content.pop("checksum", None) != json_sha256(content):
        raise damaged(path, "its content does not match its checksum")
    return content


def read_model(path: Path, model: type[Manifest], *, format: int) -> Manifest:  # noqa: A002
    """Return a manifest as a pydantic model.

    Raises ArtifactError if it is missing, damaged or of another format.
    """
    from pydantic import ValidationError

    content = read_manifest(path)
    require_format(path, content, format)
    try:
        return model.model_validate(content)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"]))
        raise damaged(path, f"{quote(where)}: {first['msg']}") from None


def require_format(path: Path, content: Mapping[str, Any], expected: int) -> None:
    """Raise ArtifactError unless the entry `format` is the expected number."""
    found = content.get("format")
    if found != expected:
        raise ArtifactError(
            f"{path} has format {quote(found)}, but this version reads format {expected}; run its "
            "stage again."
        )


def json_sha256(content: Mapping[str, Any]) -> str:
    """Return the SHA-256 of a mapping as JSON, of whatever order and layout."""
    # Tuples and keys that are numbers become what they are read back as.
    plain = json.loads(json.dumps(content))
    return hashlib.sha256(json.dumps(plain, sort_keys=True).encode()).hexdigest()


def yaml_text(content: Mapping[str, Any]) -> str:
    """Return a mapping as YAML, with its keys in their order."""
    text: str = yaml.dump(dict(content), Dumper=Dumper, sort_keys=False, allow_unicode=True)
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


def read_array(
    path: Path,
    *,
    mmap: bool = False,
    shape: tuple[int, ...] | None = None,
    dtype: str | None = None,
) -> np.ndarray[Any, Any]:
    """Return the array of a .npy file, memory-mapped if `mmap`.

    Raises ArtifactError if it is missing or damaged, or has another shape or dtype than given.
    """
    import numpy as np

    # A mapped file cannot declare more than it has, and a file of another kind is refused.
    with convert_read_errors(path), np.errstate(over="raise"):
        mapped = np.lib.format.open_memmap(path, mode="r")
    expected = (mapped.shape if shape is None else shape, np.dtype(dtype or mapped.dtype))
    if (mapped.shape, mapped.dtype) != expected:
        raise ArtifactError(
            f"{path} has shape {mapped.shape} and type {mapped.dtype} instead of {expected[0]} and "
            f"{expected[1]}; run its stage again."
        )
    return mapped if mmap else np.array(mapped)


def write_arrays(path: Path, arrays: Mapping[str, np.ndarray[Any, Any]]) -> None:
    """Write named arrays as one .npz file; equal arrays give equal bytes."""
    import numpy as np

    with atomic_write(path) as partial, partial.open("wb") as file:
        np.savez(file, allow_pickle=False, **dict(sorted(arrays.items())))


def read_arrays(path: Path) -> dict[str, np.ndarray[Any, Any]]:
    """Return the arrays of a .npz file by name; raise ArtifactError if missing or damaged."""
    import numpy as np

    with (
        convert_read_errors(path),
        path.open("rb") as stream,
        np.load(stream, allow_pickle=False) as file,
    ):
        arrays = dict(file)
        # The zip format's number of entries. Where the lengths in its list of entries are damaged,
        # the reader takes an entry for the comment of the one before.
        stream.seek(-12, os.SEEK_END)
        number = int.from_bytes(stream.read(2), "little")
    if len(arrays) != number or not arrays:
        raise damaged(path, f"it has {len(arrays)} of {number} arrays")
    return arrays


def file_sha256(path: Path) -> str:
    """Return the SHA-256 of a file's content, in hexadecimal; 0.7 s per GB on one core."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def require_sha256(path: Path, expected: str) -> None:
    """Raise ArtifactError if the file is missing or has another SHA-256."""
    with convert_read_errors(path):
        found = file_sha256(path)
    if found != expected:
        raise damaged(path, f"SHA-256 {found} instead of {quote(expected)}")
