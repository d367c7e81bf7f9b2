"""Errors that are reported to the user: what is wrong, where, and what to do.

LatentbenchError
├── ConfigError        params.yaml or a resolved config is invalid
├── DataError          images or labels are missing, damaged or do not fit the settings
│   └── DownloadError  a file could not be downloaded
├── ArtifactError      an output of a stage is missing, damaged or has other settings
├── StorageError       the disk is full or not writable
├── DivergenceError    a loss is infinite or NaN
└── InterruptedRun     a stage was interrupted and can be resumed
"""

from __future__ import annotations

import re

_LONGEST_QUOTE = 80
_LONGEST_REASON = 200
_OBJECT = re.compile(r" ?<[\w.]+ object at 0x[0-9a-fA-F]+>")


def quote(text: object) -> str:
    """Return foreign text for a message: in quotes, control characters as escapes, cut at 80."""
    return repr(_cut(str(text), _LONGEST_QUOTE))


def reason(error: BaseException) -> str:
    """Return what a library's exception says, for a message: one line, at most 200 characters.

    Control characters are escapes, and addresses of objects are left out. An exception without a
    message is given by its class.
    """
    line = " ".join(_OBJECT.sub("", str(error)).split()).rstrip(".")
    return repr(_cut(line, _LONGEST_REASON))[1:-1] if line else type(error).__name__


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


class ArtifactError(LatentbenchError):
    """An output of a stage is missing, damaged or was made with other settings."""


class StorageError(LatentbenchError):
    """The disk is full or a folder is not writable."""


class DivergenceError(LatentbenchError):
    """A loss became infinite or NaN during training."""


class InterruptedRun(LatentbenchError):
    """A stage was interrupted by a signal, after saving its state."""

    exit_code = 75  # EX_TEMPFAIL of sysexits.h: run it again
