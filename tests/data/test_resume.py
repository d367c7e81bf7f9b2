"""Preparing that is killed leaves nothing that is taken for done."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

from latentbench.artifacts.files import read_json, write_yaml
from latentbench.config.load import parse_params
from latentbench.data.prepared import PreparedDataset


def _prepare(config: Path, raw: Path, output: Path) -> subprocess.Popen[bytes]:
    words = ["prepare", "--config", config, "--raw", raw, "--output", output, "--workers", "2"]
    command = [sys.executable, "-m", "latentbench", *map(str, words)]
    # A session of its own, so that a kill reaches the workers too, as it does when a job is ended.
    return subprocess.Popen(command, stderr=subprocess.DEVNULL, start_new_session=True)


def test_prepare_killed_anywhere_ends_with_the_same_bits(tmp_path: Path) -> None:
    raw = {
        "studies": {},
        "datasets": {"digits": {"source": "glyphs", "num_train": 1500, "num_test": 300}},
        "experiments": {},
    }
    config = tmp_path / "digits.yaml"
    write_yaml(
        config, parse_params(raw, where="params.yaml").dataset("digits").model_dump(mode="json")
    )
    fetch = ["fetch", "--config", str(config), "--output", str(tmp_path / "raw")]
    subprocess.run([sys.executable, "-m", "latentbench", *fetch], check=True)
    assert _prepare(config, tmp_path / "raw", tmp_path / "whole").wait() == 0

    moments = random.Random(0)
    output = tmp_path / "prepared"
    for _ in range(4):
        process = _prepare(config, tmp_path / "raw", output)
        time.sleep(moments.uniform(0.2, 1.6))
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        if (output / "dataset.json").exists():
            assert PreparedDataset.open(output).manifest.train.num_images == 1500
    assert _prepare(config, tmp_path / "raw", output).wait() == 0
    assert read_json(output / "dataset.json") == read_json(tmp_path / "whole" / "dataset.json")
    assert {path.name for path in output.iterdir()} == {
        path.name for path in (tmp_path / "whole").iterdir()
    }
