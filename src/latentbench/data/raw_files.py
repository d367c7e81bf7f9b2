"""Read fetched files. What a library raises for a damaged file becomes a DataError."""

from __future__ import annotations

import lzma
import tarfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager

from latentbench.errors import DataError, reason

REMEDY = "repair or replace it, then fetch the dataset again"

# What gzip, bz2, lzma and tarfile raise, from their source. Numbers in the headers of a tar are
# converted (ValueError), allocated (MemoryError, OverflowError) and followed (IndexError,
# RecursionError) as they are.
_DAMAGE = (
    OSError,
    EOFError,
    zlib.error,
    lzma.LZMAError,
    tarfile.TarError,
    ValueError,
    IndexError,
    OverflowError,
    MemoryError,
    RecursionError,
)


_LARGE_BYTES = 2**26
_MAX_COMPRESSION = 200


@contextmanager
def convert_damage(where: object) -> Iterator[None]:
    """Raise DataError, which names the file, if it is missing, unreadable or damaged."""
    try:
        yield
    except _DAMAGE as error:
        raise DataError(f"{where} cannot be read ({reason(error)}); {REMEDY}.") from None


def is_bomb(size: int, compressed: int) -> bool:
    """Return whether a file is a compression bomb: large, and compressed more than images are."""
    return size > max(_LARGE_BYTES, _MAX_COMPRESSION * compressed)


def check_compression(size: int, compressed: int, *, where: object) -> None:
    """Raise DataError if a file is a compression bomb."""
    if is_bomb(size, compressed):
        raise DataError(f"{where} has {size:,} bytes in only {compressed:,}; {REMEDY}.")


def decode_text(data: bytes, *, where: object) -> str:
    """Return UTF-8 text without its byte order mark; raise DataError if it is in another code."""
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise DataError(f"{where} is not UTF-8 text ({error.reason}); save it as UTF-8.") from None
