"""Errors that are reported to the user: what is wrong, where, and what to do.

LatentbenchError
├── ConfigError        params.yaml or a resolved config is invalid
├── DataError          images or labels are missing, damaged or do not fit the settings
│   ├── DownloadError  a file could not be downloaded
│   └── ImageError     an image cannot be read or decoded
├── ArtifactError      an output of a stage is missing, damaged or has other settings
├── StorageError       the disk is full or not writable
├── DivergenceError    a loss is infinite or NaN
├── ArgumentError      an argument of the Python API has no valid value
├── UnsupportedError   a model cannot do what a method of the Python API does
└── InterruptedRun     a stage was interrupted and can be resumed
"""

from __future__ import annotations

import errno
import re
from collections.abc import Collection
from itertools import islice

_MOST_NAMES = 20
_LONGEST_QUOTE = 80
_LONGEST_REASON = 200
_LONGEST_MESSAGE = 2_000
# What to do about an error of the system.
_REMEDIES = {
    errno.ENOSPC: "Free some space and run again",
    errno.EDQUOT: "Free some space of your quota and run again",
    errno.EFBIG: "Raise the limit of file sizes (ulimit -f) and run again",
    errno.EMFILE: "Raise the limit of open files (ulimit -n) and run again",
    errno.ENFILE: "Close some programs and run again",
    errno.ENOMEM: "Free some memory and run again",
    errno.EROFS: "Make its file system writable or choose another folder",
    errno.EACCES: "Check the permissions of it and its folders",
    errno.EPERM: "Check the permissions of it and its folders",
    errno.ENAMETOOLONG: "Choose shorter names",
    errno.EIO: "Check the disk and run again",
    errno.ENXIO: "Choose a file",
}
_OBJECT = re.compile(r" ?<[\w.]+ object at 0x[0-9a-fA-F]+>")


def quote(text: object) -> str:
    """Return foreign text for a message: in quotes, control characters as escapes, cut at 80."""
    return repr(_cut(str(text), _LONGEST_QUOTE))


def reason(error: BaseException) -> str:
    """Return what an exception says, for a message: one line, at most 200 characters.

    Of an error of the system it is the reason without the path, and of one without a message the
    class. Addresses of objects are left out.
    """
    text = error.strerror if isinstance(error, OSError) else None
    return shorten((text or _OBJECT.sub("", str(error))).rstrip(".")) or type(error).__name__


def shorten(text: object, longest: int = _LONGEST_REASON) -> str:
    """Return foreign text for a message as one line: cut, control characters as escapes."""
    return printable(_cut(" ".join(str(text).split()), longest))


def printable(message: str) -> str:
    """Return a message as one line of at most 2,000 characters, control characters as escapes."""
    cut = _cut(message, _LONGEST_MESSAGE)
    return "".join(char if char.isprintable() else repr(char)[1:-1] for char in cut)


def explain(error: OSError, place: object) -> str:
    """Return what the system refused, for a message: file, reason and remedy.

    `place` is where it happened, for an error that names no file.
    """
    named = [_quote_path(name) for name in (error.filename, error.filename2) if name is not None]
    remedy = _REMEDIES.get(error.errno or 0, "Check the path and run again")
    return f"{' and '.join(named) or place}: {reason(error)}. {remedy}."


def _quote_path(path: object) -> str:
    """Return a path in quotes, control characters as escapes; of a long one the last part."""
    text = str(path)
    return repr(text if len(text) <= _LONGEST_REASON else f"…{text[1 - _LONGEST_REASON :]}")


def list_names(names: Collection[str]) -> str:
    """Return names for a message: the first 20, separated by commas, and the number of others."""
    if not names:
        return "none"
    others = len(names) - _MOST_NAMES
    more = f" and {others} more" if others > 0 else ""
    return ", ".join(_cut(name, _LONGEST_QUOTE) for name in islice(names, _MOST_NAMES)) + more


def _cut(text: str, longest: int) -> str:
    return text if len(text) <= longest else f"{text[: longest - 1]}…"


class LatentbenchError(Exception):
    """Base of all errors that the command line reports without a traceback."""

    exit_code = 1


class ConfigError(LatentbenchError):
    """A setting is unknown, of the wrong type, out of range or contradicts another."""


class DataError(LatentbenchError):
    """Images or labels are missing, damaged or do not fit the settings."""


class DownloadError(DataError):
    """A file could not be downloaded from a mirror or its official hosts."""


class ImageError(DataError):
    """An image cannot be read or decoded, for a cause that lies in the image.

    Skipped images are counted by `kind`, such as "encrypted".
    """

    def __init__(self, message: str, kind: str) -> None:
        super().__init__(message, kind)  # both are needed to send the error to another process
        self.kind = kind

    def __str__(self) -> str:
        return str(self.args[0])


class ArtifactError(LatentbenchError):
    """An output of a stage is missing, damaged or was made with other settings."""


class StorageError(LatentbenchError):
    """The disk is full or a folder is not writable."""


class DivergenceError(LatentbenchError):
    """A loss became infinite or NaN during training."""


class ArgumentError(LatentbenchError, ValueError):
    """An argument of the Python API has no valid value."""


class UnsupportedError(LatentbenchError, TypeError):
    """A model cannot do what a method of the Python API does: it lacks the network for it."""


class InterruptedRun(LatentbenchError):
    """A stage was interrupted by a signal, after saving its state."""

    exit_code = 75  # EX_TEMPFAIL of sysexits.h: run it again
