"""Errors of TensorBoard's writer thread reach the caller."""

from __future__ import annotations

import errno
import threading
from pathlib import Path
from typing import Any

import pytest
from tensorboard.summary.writer.record_writer import RecordWriter

from latentbench.errors import StorageError
from latentbench.training.tensorboard import TensorBoardLogger


def test_full_disk_is_one_storage_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    threads = set(threading.enumerate())
    logger = TensorBoardLogger(tmp_path / "logs", step=0)

    def no_space(*_: Any) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(RecordWriter, "write", no_space)

    def write_until_it_fails() -> None:
        # More than the writer's queue holds.
        for step in range(500):
            logger.add_scalars({"loss/critic": 1.0}, step=step)

    with pytest.raises(StorageError, match=str(tmp_path / "logs")):
        write_until_it_fails()
    for writer in set(threading.enumerate()) - threads:
        writer.join()
    assert "Traceback" not in capfd.readouterr().err
