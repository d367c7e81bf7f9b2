"""Short jobs on Slurm: by Snakemake with profiles/slurm, against `sbatch` of the same commands.

Slurm is the one of two nodes that `make test-cluster` sets up in a temporary folder of this machine. The jobs are the
trainings of as many experiments, of which a stand-in writes the files at once: what is timed is from the first
submission to the last job's end. On Snakemake's side a job starts two Snakemakes before its command; its own start and
its DAG count too.
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
from pathlib import Path

import yaml
from scale import BIN, ROOT, copy_checkout, params
from turns import Turns, take_turns

sys.path.insert(0, str(ROOT))
from tests.cluster import slurm


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--jobs", type=int, default=20)
    parser.add_argument("--group", type=int, default=5, help="stages to a job, in the second line")
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
        f"slurm     {arguments.jobs} short stages, {size} to a job of Snakemake's, two nodes of two cores, "
        f"latentbench {ours:.1f} stages/min, sbatch {theirs:.1f} stages/min, "
        f"ratio {statistics.median(turns.ratios):.2f}"
    )


def make_workplace(folder: Path, jobs: int) -> Path:
    copy_checkout(folder)
    (folder / "params.yaml").write_text(yaml.safe_dump(params(jobs)))
    command = folder / "bin" / "latentbench"
    command.parent.mkdir()
    command.write_text(
        f'#!/bin/sh\nexec "{sys.executable}" "{ROOT}/tests/workflow/stand_in.py" "$@"\n'
    )
    command.chmod(0o755)
    return folder


def compare(
    folder: Path, environment: dict[str, str], arguments: argparse.Namespace, *, size: int
) -> Turns:
    def called(*command: str) -> str:
        done = subprocess.run(
            command, cwd=folder, env=environment, check=False, capture_output=True, text=True
        )
        if done.returncode != 0:
            sys.exit(
                f"{' '.join(command[:3])} … failed.\n{done.stdout[-2000:]}{done.stderr[-2000:]}"
            )
        return done.stdout

    experiments = params(arguments.jobs)["experiments"]
    places = {name: f"{experiment['study']}/{name}" for name, experiment in experiments.items()}
    # What trainings read is there before either side begins.
    called(
        "snakemake",
        "--quiet",
        "all",
        "--",
        "prepare@digits",
        *(f"configure_experiment@{name}" for name in places),
    )

    def forget() -> None:
        for place in places.values():
            shutil.rmtree(folder / "results" / place / "checkpoints", ignore_errors=True)

    def ours() -> None:
        forget()
        trainings = [f"train@{name}" for name in places]
        grouped = (
            "--groups",
            *(f"{name}=small" for name in trainings),
            "--group-components",
            f"small={size}",
        )
        called("snakemake", *slurm.PROFILE, *(grouped if size > 1 else ()), "--", *trainings)

    def theirs() -> None:
        forget()
        for place in places.values():
            command = (
                f"latentbench train --config results/{place}/config.yaml --data data/prepared/digits "
                f"--results results/{place} --logs logs/{place} --scratch scratch/{place}"
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
        assert all(
            (folder / "results" / place / "checkpoints").exists() for place in places.values()
        )

    return take_turns(ours, theirs, arguments.turns)


if __name__ == "__main__":
    main()
