"""Locks of the folders that a stage writes: a second run of the stage is refused, or waits."""

from __future__ import annotations

import datetime
import errno
import fcntl
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TextIO

from latentbench.artifacts.files import convert_disk_errors
from latentbench.artifacts.progress import log
from latentbench.errors import StorageError, quote, reason

_HELD = {errno.EACCES, errno.EAGAIN}


@contextmanager
def lock_folder(folder: Path, stage: str, *, wait: bool = False) -> Iterator[None]:
    """Hold the lock of a stage's output folder: the file .FOLDER.STAGE.lock next to it.

    With `wait`, wait until no other process holds it.

    The lock is a POSIX record lock. The system releases it when the process ends, however it ends,
    and forked processes do not inherit it. It works between the machines of a network file system
    that supports it. Where the file cannot be made or locked, the stage runs without the lock.

    Raises:
        StorageError: Another process holds it, and `wait` is false. The message has its process
            id, host and start.
    """
    place = folder.absolute()
    path = place.with_name(f".{place.name}.{stage}.lock")
    file = _acquire(path, folder, stage, fcntl.LOCK_EX if wait else fcntl.LOCK_EX | fcntl.LOCK_NB)
    try:
        yield
    finally:
        if file is not None:
            # Before the release: who opens it from now on makes a new file.
            Path(file.name).unlink(missing_ok=True)
            file.close()


def _acquire(path: Path, folder: Path, stage: str, operation: int) -> TextIO | None:
    """Return the open file, which holds the lock, or None where locks do not work."""
    with convert_disk_errors(folder):
        path.parent.mkdir(parents=True, exist_ok=True)
    while True:
        try:
            file = path.open("a+", encoding="utf-8", errors="replace")
        except OSError as error:
            _log_missing_lock(folder, error)
            return None
        try:
            fcntl.lockf(file, operation)
            # The holder before may have removed the file after this process opened it.
            if _is_file_at(path, file):
                _write_holder(file)
                return file
        except OSError as error:
            if error.errno not in _HELD:
                file.close()
                _log_missing_lock(folder, error)
                return None
            file.seek(0)
            holder = file.read(200).strip() or "a process that just started"
            file.close()
            raise StorageError(
                f"{folder} is being written by another run of {stage}: {quote(holder)}. Wait until "
                "it ends, or stop it, and run again."
            ) from None
        file.close()


def _is_file_at(path: Path, file: TextIO) -> bool:
    try:
        return os.path.samestat(path.stat(), os.fstat(file.fileno()))
    except FileNotFoundError:
        return False


def _write_holder(file: TextIO) -> None:
    now = datetime.datetime.now().astimezone().isoformat(sep=" ", timespec="seconds")
    file.truncate(0)
    file.write(f"process {os.getpid()} on {socket.gethostname()} since {now}\n")
    file.flush()


def _log_missing_lock(folder: Path, error: OSError) -> None:
    log(f"{folder} is not locked ({reason(error)}): start no second run on it.")
