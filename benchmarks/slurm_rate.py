"""Short jobs on Slurm: Snakemake with profiles/slurm against `sbatch` of the same commands.

Slurm has two nodes on this machine, in a temporary folder, as for `make test-cluster`. The jobs are
trainings whose command is replaced by one that writes the files at once. The time is from the first
submission to the end of the last job. With Snakemake, a job starts Snakemake twice before its
command, and Snakemake's own start and DAG are included.
"""

from __future__ import annotations

import argparse
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from functools import partial
from pathlib import Path

import yaml
from scale import BIN, ROOT, copy_checkout, params
from turns import Turns, take_turns

sys.path.insert(0, str(ROOT))
from tests.cluster import slurm


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--jobs", type=int, default=20)
    parser.add_argument("--group", type=int, default=5, help="stages per job, in the second line")
    parser.add_argument("--turns", type=int, default=1)
    arguments = parser.parse_args()
    if slurm.missing():
        sys.exit(f"{', '.join(slurm.missing())} not found; install Debian's slurm-wlm and munge.")
    with tempfile.TemporaryDirectory() as name:
        workplace = make_workplace(Path(name) / "checkout", arguments.jobs)
        with slurm.running(Path(name) / "slurm") as environment:
            path = os.pathsep.join([str(workplace / "bin"), str(BIN), environment["PATH"]])
            for size in (1, arguments.group):
                show(
                    compare(workplace, environment | {"PATH": path}, arguments, size=size),
                    arguments,
                    size=size,
                )


def show(turns: Turns, arguments: argparse.Namespace, *, size: int) -> None:
    ours, theirs = (60 * arguments.jobs / seconds for seconds in (turns.ours_s, turns.theirs_s))
    print(
        f"slurm     {arguments.jobs} short stages, {size} per Snakemake job, "
        "two nodes of two cores, "
        f"latentbench {ours:.1f} stages/min, sbatch {theirs:.1f} stages/min, "
        f"ratio {statistics.median(turns.ratios):.2f}"
    )


def make_workplace(folder: Path, jobs: int) -> Path:
    copy_checkout(folder)
    (folder / "params.yaml").write_text(yaml.safe_dump(params(jobs)))
    command = folder / "bin" / "latentbench"
    command.parent.mkdir()
    command.write_text(
        f'#!/bin/sh\nexec "{sys.executable}" "{ROOT}/tests/workflow/fake_stages.py" "$@"\n'
    )
    command.chmod(0o755)
    return folder


def call(folder: Path, environment: dict[str, str], *command: str) -> str:
    """Run a command and return its output."""
    done = subprocess.run(
        command, cwd=folder, env=environment, check=False, capture_output=True, text=True
    )
    if done.returncode != 0:
        sys.exit(f"{' '.join(command[:3])} … failed.\n{done.stdout[-2000:]}{done.stderr[-2000:]}")
    return done.stdout


def compare(
    folder: Path, environment: dict[str, str], arguments: argparse.Namespace, *, size: int
) -> Turns:
    called = partial(call, folder, environment)
    experiments = params(arguments.jobs)["experiments"]
    places = {name: f"{experiment['study']}/{name}" for name, experiment in experiments.items()}
    # The inputs of the trainings are made before either side starts.
    configs = [f"results/{place}/config/train.yaml" for place in places.values()]
    called("snakemake", "--quiet", "all", "--", "data/prepared/digits", *configs)

    def delete_checkpoints() -> None:
        for place in places.values():
            shutil.rmtree(folder / "results" / place / "checkpoints", ignore_errors=True)

    def ours() -> None:
        delete_checkpoints()
        trainings = [f"results/{place}/checkpoints" for place in places.values()]
        groups: list[str] = []
        if size > 1:
            groups = ["--groups", "train=small", "--group-components", f"small={size}"]
        called("snakemake", *slurm.PROFILE, *groups, "--", *trainings)

    def theirs() -> None:
        delete_checkpoints()
        for place in places.values():
            command = (
                f"latentbench train --config results/{place}/config/train.yaml "
                f"--data data/prepared/digits --results results/{place} --logs logs/{place} "
                f"--scratch scratch/{place}"
            )
            called(
                "sbatch",
                "--mem=4000",
                "--cpus-per-task=1",
                "--time=1440",
                "--output=/dev/null",
                "--wrap",
                command,
            )
        while called("squeue", "--noheader"):
            time.sleep(0.2)
        for place in places.values():
            assert (folder / "results" / place / "checkpoints").exists()

    return take_turns(ours, theirs, arguments.turns)


if __name__ == "__main__":
    main()
