"""Two runs on the same folder: the second is refused, with the process that holds the lock."""

from __future__ import annotations

import errno
import fcntl
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from latentbench.artifacts.lock import lock_folder
from latentbench.errors import StorageError
from tests.evaluation.conftest import run

# Holds the lock until it is killed.
HOLDER = """
import signal, sys
from pathlib import Path
from latentbench.artifacts.lock import lock_folder

with lock_folder(Path(sys.argv[1]), "train"):
    print("locked", flush=True)
    signal.pause()
"""


# Says when it starts, and when it has the lock.
WAITER = """
import sys
from pathlib import Path
from latentbench.artifacts.lock import lock_folder

print("started", flush=True)
with lock_folder(Path(sys.argv[1]), "train", wait=True):
    print("locked", flush=True)
"""


@pytest.fixture
def hold() -> Iterator[Callable[[Path], subprocess.Popen[str]]]:
    """Start another process that holds the lock of train on a folder."""
    started = []

    def start(folder: Path) -> subprocess.Popen[str]:
        command = [sys.executable, "-c", HOLDER, str(folder)]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        started.append(process)
        assert process.stdout is not None
        assert process.stdout.readline() == "locked\n"
        return process

    yield start
    for process in started:
        process.kill()
        process.communicate()


def test_the_second_run_is_refused_and_a_killed_one_holds_nothing(
    tmp_path: Path, hold: Callable[[Path], subprocess.Popen[str]]
) -> None:
    folder = tmp_path / "vae"
    process = hold(folder)
    with pytest.raises(StorageError) as refused, lock_folder(folder, "train"):
        pass
    assert str(process.pid) in str(refused.value)
    assert os.uname().nodename in str(refused.value)
    with lock_folder(folder, "evaluate"):  # writes other files
        pass
    process.send_signal(signal.SIGKILL)
    process.wait()
    with lock_folder(folder, "train"):
        pass
    assert list(tmp_path.iterdir()) == []


def test_a_run_may_wait_for_the_lock(
    tmp_path: Path, hold: Callable[[Path], subprocess.Popen[str]]
) -> None:
    folder = tmp_path / "vae"
    holder = hold(folder)
    command = [sys.executable, "-c", WAITER, str(folder)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as waiter:
        assert waiter.stdout is not None
        assert waiter.stdout.readline() == "started\n"
        holder.kill()
        assert waiter.stdout.readline() == "locked\n"
    assert waiter.returncode == 0
    assert list(tmp_path.iterdir()) == []


def test_a_forked_worker_does_not_hold_the_lock(tmp_path: Path) -> None:
    """Workers may outlive a killed run for a moment, while it is already started again."""
    with lock_folder(tmp_path / "vae", "train"):
        [path] = tmp_path.iterdir()
        child = os.fork()
        if child == 0:
            with path.open("r+") as file:
                try:
                    fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                except OSError:
                    os._exit(1)  # the lock is the parent's alone
            os._exit(0)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 1


@pytest.mark.parametrize("number", [errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP])
def test_a_file_system_without_locks_is_used_without(
    number: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def unsupported(*_: object) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(fcntl, "lockf", unsupported)
    with lock_folder(tmp_path / "vae", "train"):
        pass
    assert "vae" in capsys.readouterr().err


def test_a_lock_file_that_was_removed_meanwhile_does_not_count(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The holder before removes its file after this process opened it and before it locks it."""
    lockf, removed = fcntl.lockf, []

    def lock_after_removal(file: object, operation: int) -> None:
        if not removed:
            [path] = tmp_path.iterdir()
            path.unlink()
            removed.append(path)
        lockf(file, operation)

    monkeypatch.setattr(fcntl, "lockf", lock_after_removal)
    with lock_folder(tmp_path / "vae", "train"):
        assert list(tmp_path.iterdir()) == removed


def test_the_command_line_names_the_run_that_holds_the_folder(
    make_config: Callable[..., Path],
    make_prepared: Callable[..., Path],
    tmp_path: Path,
    hold: Callable[[Path], subprocess.Popen[str]],
) -> None:
    """The results, or the scratch folder alone."""
    config, data = make_config("vae"), make_prepared()
    folders = {"results": config.parent, "scratch": tmp_path / "scratch"}
    for held in folders.values():
        process = hold(held)
        result = run("train", config=config, data=data, logs=tmp_path / "logs", **folders)
        assert result.exit_code == 1
        [line] = result.output.splitlines()
        assert str(held) in line
        assert str(process.pid) in line
        process.kill()
        process.wait()
    assert not list(config.parent.glob("*.csv"))
