"""The workflow on a real Slurm of two nodes leaves the bits of a run without it."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from latentbench.artifacts.files import file_sha256
from tests.cluster import slurm

pytestmark = pytest.mark.cluster

ROOT = Path(__file__).parents[2]
BIN = Path(sys.executable).parent
TINY = ROOT / "tests" / "params" / "tiny.yaml"
# Longer than the minute that Slurm limits a job to at least.
LONG = {"epochs": 350, "checkpoints": [1, 350], "log_every": 20}


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    if slurm.missing():
        pytest.fail(
            f"{', '.join(slurm.missing())} not found; install Debian's slurm-wlm and munge."
        )
    with slurm.running(tmp_path_factory.mktemp("slurm")) as environment:
        yield environment | {"PATH": os.pathsep.join([str(BIN), environment["PATH"]])}


def clone(folder: Path) -> Path:
    subprocess.run(["git", "clone", "--quiet", ROOT, folder], check=True)
    return folder


def snakemake(
    folder: Path, environment: dict[str, str], *arguments: str, program: Path = BIN / "snakemake"
) -> subprocess.Popen[str]:
    command = [str(program), *arguments]
    return subprocess.Popen(
        command,
        cwd=folder,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def finished(process: subprocess.Popen[str]) -> str:
    said, _ = process.communicate(timeout=1_500)
    assert process.returncode == 0, said
    return said


def checkpoints(folder: Path) -> dict[str, str]:
    return {
        str(path.relative_to(folder)): file_sha256(path)
        for path in sorted(folder.glob("results/**/*.safetensors"))
    }


def _jobs(environment: dict[str, str]) -> list[dict[str, str]]:
    """What Slurm knows of its jobs, ended ones included."""
    output = subprocess.run(
        ["scontrol", "show", "job", "--detail", "--oneliner"],
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    )
    return [
        dict(re.findall(r"(\w+)=(\S+)", line))
        for line in output.stdout.splitlines()
        if line.startswith("JobId")
    ]


def test_the_demo_has_the_bits_of_a_local_run(cluster: dict[str, str], tmp_path: Path) -> None:
    here, there = clone(tmp_path / "here"), clone(tmp_path / "there")
    small = ("--config", "budget=small")
    finished(snakemake(here, cluster, *small, "--", "demo"))
    finished(
        snakemake(
            there,
            cluster,
            *slurm.PROFILE,
            *small,
            "--set-resources",
            "train:gpu=1",
            "--",
            "demo",
        )
    )
    assert len(checkpoints(here)) == 12
    assert checkpoints(there) == checkpoints(here)

    jobs = _jobs(cluster)
    assert {job["NodeList"] for job in jobs} == set(slurm.NODES)
    assert {job["JobState"] for job in jobs} == {"COMPLETED"}
    # Every stage of a dataset, experiment or study is a job, except for those that run here.
    stages = ("train", "evaluate", "explore")
    assert len(jobs) == len(("prepare", "reference", *stages * 3, "walkthrough", "report"))
    trainings = _jobs_of("train", jobs)
    assert len({job["ArrayJobId"] for job in trainings}) == 1
    assert sorted(job["ArrayTaskId"] for job in trainings) == ["1", "2", "3"]
    given = slurm.gpus_given(cluster)
    for job in trainings:
        assert (job["TresPerJob"], job["NodeList"]) == ("gres:gpu:1", "one")
        assert given[job["JobId"]] == "0"
    for job in _jobs_of("evaluate", jobs):
        assert "ArrayJobId" not in job
        assert given[job["JobId"]] == "none"


def _jobs_of(rule: str, jobs: list[dict[str, str]]) -> list[dict[str, str]]:
    return [job for job in jobs if job["Comment"].startswith(f"rule_{rule}_wildcards_")]


def test_interrupted_jobs_go_on_to_the_same_bits(cluster: dict[str, str], tmp_path: Path) -> None:
    here, there = clone(tmp_path / "here"), clone(tmp_path / "there")
    params = yaml.safe_load(TINY.read_text())
    params["defaults"]["training"] |= LONG
    params["experiments"] = {name: params["experiments"][name] for name in ("vae", "dcgan")}
    # A training that waits for trials would start after the other one's limit.
    del params["experiments"]["dcgan"]["search"]
    for folder in (here, there):
        (folder / "params.yaml").write_text(yaml.safe_dump(params))
    targets = [f"results/tiny/{name}/history.csv" for name in params["experiments"]]
    finished(snakemake(here, cluster, "--", *targets))

    before = {job["JobId"] for job in _jobs(cluster)}
    limit = ("--set-resources", "train:runtime=1")
    process = snakemake(there, cluster, *slurm.PROFILE, *limit, "--", *targets)
    states = [there / f"scratch/tiny/{name}/state.safetensors" for name in params["experiments"]]
    while process.poll() is None and not all(state.exists() for state in states):
        time.sleep(0.5)
    first, _ = [job for job in _jobs_of("train", _jobs(cluster)) if job["JobId"] not in before]
    subprocess.run(
        ["scancel", f"{first['ArrayJobId']}_{first['ArrayTaskId']}"], env=cluster, check=True
    )
    finished(process)

    assert checkpoints(there) == checkpoints(here)
    new = [job for job in _jobs_of("train", _jobs(cluster)) if job["JobId"] not in before]
    ends = [job["JobState"] for job in new]
    assert ends.count("CANCELLED") == 1
    assert "TIMEOUT" in ends
    assert ends.count("COMPLETED") == len(params["experiments"])
    # The last try began where the one before it ended, not anew.
    for name in params["experiments"]:
        assert (there / f"logs/tiny/{name}/train.log").read_text().startswith("Resuming after step")
