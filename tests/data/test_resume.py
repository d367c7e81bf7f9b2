"""A killed run of prepare leaves no incomplete dataset."""

from __future__ import annotations

import itertools
import json
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from latentbench.artifacts.files import read_json, write_yaml
from latentbench.cli import main
from latentbench.config.load import parse_params
from latentbench.data.preparation.split_files import SplitFiles
from latentbench.errors import DataError

# Prepares a dataset, then again and again over what is there: killed, with its workers, right
# before it opens, renames or removes the first of the output's files, then the second, until it
# comes to its end. Prints how each try ended, and whether its manifest was there.
KILLED = """
import itertools
import json
import os
import signal
import sys
from pathlib import Path

import latentbench.data.preparation.prepare  # once, before the forks
from latentbench.cli import main


def run_until(left, output, arguments):
    os.setsid()
    own = os.getpid()

    def strike(event, details):
        nonlocal left
        if event not in ("open", "os.rename", "os.remove") or os.getpid() != own:
            return
        if str(details[0]).startswith(output):
            left -= 1
            if left == 0:
                os.killpg(own, signal.SIGKILL)

    sys.addaudithook(strike)
    main(arguments)


output, *arguments = sys.argv[1:]
tries = []
for left in itertools.count():
    child = os.fork()
    if child == 0:
        run_until(left, output, arguments)
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    tries.append((code, Path(output, "dataset.json").exists()))
    if left > 0 and code != -signal.SIGKILL:
        break
print(json.dumps(tries))
"""


def test_prepare_killed_anywhere_ends_with_the_same_bits(tmp_path: Path) -> None:
    raw = {
        "studies": {},
        "datasets": {"digits": {"source": "glyphs", "num_train": 150, "num_test": 70}},
        "experiments": {},
    }
    config = tmp_path / "digits.yaml"
    write_yaml(
        config, parse_params(raw, where="params.yaml").dataset("digits").model_dump(mode="json")
    )
    places = {name: tmp_path / name for name in ("raw", "whole", "prepared")}
    words = [str(word) for word in ("fetch", "--config", config, "--output", places["raw"])]
    assert CliRunner().invoke(main, words).exit_code == 0

    def arguments(output: Path) -> list[str]:
        words = ("prepare", "--config", config, "--raw", places["raw"], "--output", output)
        return [*map(str, words), "--workers", "2"]

    assert CliRunner().invoke(main, arguments(places["whole"])).exit_code == 0
    output = places["prepared"]
    command = [sys.executable, "-c", KILLED, str(output), *arguments(output)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    codes, complete = zip(*json.loads(done.stdout.splitlines()[-1]), strict=True)
    assert codes == (0, *[-signal.SIGKILL] * (len(codes) - 2), 0)
    # It goes away when all files are there, and comes back last.
    assert [key for key, _ in itertools.groupby(complete)] == [True, False, True]
    assert complete.index(False) > 10
    assert read_json(output / "dataset.json") == read_json(places["whole"] / "dataset.json")
    assert {path.name for path in output.iterdir()} == {
        path.name for path in places["whole"].iterdir()
    }


def test_a_failed_run_keeps_the_earlier_dataset(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It fails after the arrays of one split are written."""
    raw = {
        "studies": {},
        "datasets": {"digits": {"source": "glyphs", "num_train": 10, "num_test": 10}},
        "experiments": {},
    }
    config, output = tmp_path / "digits.yaml", tmp_path / "prepared"
    dataset = parse_params(raw, where="params.yaml").dataset("digits")
    write_yaml(config, dataset.model_dump(mode="json"))
    words = ["--config", str(config), "--output"]
    assert CliRunner().invoke(main, ["fetch", *words, str(tmp_path / "raw")]).exit_code == 0
    prepare = ["prepare", *words, str(output), "--raw", str(tmp_path / "raw"), "--workers", "1"]
    assert CliRunner().invoke(main, prepare).exit_code == 0
    before = {path.name: path.read_bytes() for path in output.iterdir()}

    close = SplitFiles.close

    def fail_on_test(self: SplitFiles) -> Any:
        if self.name == "test":
            raise DataError(self.name)
        return close(self)

    monkeypatch.setattr(SplitFiles, "close", fail_on_test)
    assert CliRunner().invoke(main, prepare).exit_code == 1
    assert {path.name: path.read_bytes() for path in output.iterdir()} == before
