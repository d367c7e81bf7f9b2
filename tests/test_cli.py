"""What the system refuses is reported with the file and a remedy, by every command."""

from __future__ import annotations

import errno
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any, NoReturn

import pytest
from click.testing import CliRunner

from latentbench.cli import main
from latentbench.errors import ArtifactError, explain

PARAMS = "studies: {demo: {title: Demo}}\ndatasets: {}\nexperiments: {}\n"


def _configure(monkeypatch: pytest.MonkeyPatch, output: Path, error: Exception) -> str:
    """Return what `configure` prints if writing raises this error."""

    def fail(*_: object, **__: object) -> NoReturn:
        raise error

    monkeypatch.setattr(Path, "write_text", fail)
    arguments = ["configure", "--params", "-", "--study", "demo", "--output", str(output)]
    result = CliRunner().invoke(main, arguments, input=PARAMS)
    assert result.exit_code == 1
    assert isinstance(result.exception, SystemExit)
    [line] = result.output.splitlines()
    assert line.startswith("Error: ")
    return line


@pytest.mark.parametrize(
    "number", [errno.EFBIG, errno.EIO, errno.EMFILE, errno.ENOSPC, errno.EROFS, errno.EACCES]
)
def test_an_error_without_a_file_names_the_one_that_is_written(
    number: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / ("long" * 30) / ("long" * 30)
    line = _configure(monkeypatch, folder, OSError(number, os.strerror(number)))
    assert "study.yaml" in line
    assert re.search(r"[.;] \w[^.;]+\.$", line), "no remedy"


def test_an_error_of_another_file_names_that_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An unreadable input, or a read-only /dev/shm, is no fault of the output."""
    other = "/dev/shm/psm_1"
    error = OSError(errno.EROFS, os.strerror(errno.EROFS), other)
    line = _configure(monkeypatch, tmp_path, error)
    assert other in line
    assert str(tmp_path) not in line


def test_too_little_memory_is_one_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert "memory" in _configure(monkeypatch, tmp_path, MemoryError("Unable to allocate 9 EiB"))


@pytest.mark.parametrize("number", sorted(errno.errorcode))
def test_every_error_of_the_system_has_file_and_remedy(number: int) -> None:
    place = "a file of train in results/demo/vae"
    nameless = explain(OSError(number, os.strerror(number)), place)
    named = explain(OSError(number, os.strerror(number), "x\ny" * 1_000), place)
    assert nameless.startswith(f"{place}: ")
    assert place not in named
    for message in (nameless, named):
        assert message.isprintable()
        assert len(message) < 400
        assert os.strerror(number) in message


def test_help_lists_every_command_once() -> None:
    """What users run comes before the stages."""
    output = CliRunner().invoke(main, ["--help"]).output
    listed = re.findall(r"^  ([a-z]+)  ", output, re.MULTILINE)
    assert sorted(listed) == sorted(main.commands)
    assert listed[:2] == ["init", "plan"]


@pytest.mark.parametrize("content", [b"\xff", b"a: 1\na: 2", b""])
def test_standard_input_may_hold_any_bytes(content: bytes, tmp_path: Path) -> None:
    arguments: list[Any] = ["split", "--params", "-", "--output", str(tmp_path)]
    result = CliRunner().invoke(main, arguments, input=content)
    assert result.exit_code == 1
    assert isinstance(result.exception, SystemExit)
    assert len(result.output.splitlines()) == 1


def test_a_message_is_one_line_without_control_characters(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Names of files are foreign text, and some messages have them raw."""
    line = _configure(monkeypatch, tmp_path, ArtifactError("a\nb\x1b[31m\udcff.png is damaged"))
    assert line == r"Error: a\nb\x1b[31m\udcff.png is damaged"


def test_settings_of_matplotlib_that_are_no_text_are_named(tmp_path: Path) -> None:
    (tmp_path / "matplotlibrc").write_bytes(b"\xff")
    command = [sys.executable, "-m", "latentbench", "report", "--results", str(tmp_path)]
    command += ["--sources", str(tmp_path), "--output", str(tmp_path / "report")]
    ran = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert ran.returncode == 1
    assert "Traceback" not in ran.stderr
    assert "Error: matplotlib" in ran.stderr
