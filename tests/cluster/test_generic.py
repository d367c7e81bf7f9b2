"""The workflow with commands to submit, query and cancel jobs: those of profiles/generic."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from pathlib import Path

import pytest

from tests.cluster.test_slurm import ROOT, TINY, checkpoints, clone, finished, snakemake

pytestmark = pytest.mark.cluster


def test_every_stage_is_a_job_and_leaves_the_same_bits(tmp_path: Path) -> None:
    here, there = clone(tmp_path / "here"), clone(tmp_path / "there")
    files = ("--configfile", str(TINY))
    finished(snakemake(here, dict(os.environ), *files, "--", "tiny"))
    finished(
        snakemake(there, dict(os.environ), "--profile", "profiles/generic", *files, "--", "tiny")
    )
    assert len(checkpoints(here)) >= 6
    assert checkpoints(there) == checkpoints(here)
    results = [path.read_text().strip() for path in there.glob("logs/generic/*/result")]
    assert set(results) == {"success"}
    assert len(results) >= 10


def test_a_job_that_is_cancelled_ends_with_all_that_it_started(tmp_path: Path) -> None:
    scripts = ROOT / "profiles" / "generic"
    script = tmp_path / "job.sh"
    script.write_text("#!/bin/sh\nsleep 600 & echo $! > child\nwait\n")

    def call(name: str, argument: str) -> str:
        command = ["sh", str(scripts / f"{name}.sh"), argument]
        return subprocess.run(
            command, cwd=tmp_path, capture_output=True, text=True, check=True
        ).stdout.strip()

    job = call("submit", str(script))
    while not (tmp_path / "child").exists():
        time.sleep(0.05)
    child = int((tmp_path / "child").read_text())
    assert call("status", job) == "running"
    call("cancel", job)
    while call("status", job) == "running":
        time.sleep(0.05)
    assert call("status", job) == "failed"
    with pytest.raises(ProcessLookupError):
        os.kill(child, signal.SIGCONT)
