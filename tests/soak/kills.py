"""Kill trainings at random moments, resume them, and compare all results with whole runs.

Each objective trains on a few images and keeps its state after every step, so that a kill can fall
into any file operation. Processes are forked from one that has imported torch.
"""

from __future__ import annotations

import itertools
import os
import random
import shutil
import signal
import tempfile
import time
from collections.abc import Callable
from importlib import import_module
from pathlib import Path

import click
import yaml

from latentbench.artifacts.files import file_sha256
from latentbench.cli import main as latentbench
from latentbench.models.registry import OBJECTIVES
from latentbench.training import loop

COMPARED = ("*.safetensors", "iterations.csv", "*.png", "*.webp")
# The others have a latent of a few dimensions.
SMALLEST: dict[str, dict[str, int]] = {"diffusion": {"sampling_steps": 2}}
PARAMS = {
    "studies": {"soak": {"title": "Soak"}},
    "datasets": {"digits": {"source": "glyphs", "num_train": 40, "num_test": 20}},
    "experiments": {
        name.replace("_", "-"): {
            "study": "soak",
            "dataset": "digits",
            "model": {"name": name, "width": 4} | SMALLEST.get(name, {"latent_dim": 4}),
            "training": {"epochs": 3, "checkpoints": [1, 3], "batch_size": 8, "sample_grid": 2},
            "compute": {"device": "cpu"},
        }
        for name in OBJECTIVES
    },
}


@click.command()
@click.option("--kills", default=1_000, help="How many processes to kill.")
@click.option("--minutes", type=float, default=None, help="Stop after this time.")
@click.option("--seed", default=0)
def main(kills: int, minutes: float | None, seed: int) -> None:
    """Kill trainings of every objective, and print how many were tried and how many were wrong."""
    rng = random.Random(seed)
    deadline = time.monotonic() + 60 * minutes if minutes is not None else float("inf")
    killed, finished, wrong = 0, 0, 0
    with tempfile.TemporaryDirectory() as name:
        bench = Bench(Path(name))
        for experiment in itertools.cycle(bench.seconds):
            if killed >= kills or time.monotonic() > deadline:
                break
            killed += bench.train_with_kills(experiment, rng)
            finished += 1
            differing = bench.differing(experiment)
            if differing:
                wrong += 1
                click.echo(f"{experiment}: {', '.join(differing)} differ")
    click.echo(f"kills: {killed} tried, in {finished} trainings, {wrong} wrong (seed {seed})")
    raise SystemExit(wrong > 0)


class Bench:
    """A prepared dataset, and an uninterrupted training of each experiment with its seconds."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        # Once, for all forked processes.
        for module in ("latentbench.training.train", "sklearn.mixture"):
            import_module(module)
        params = folder / "params.yaml"
        params.write_text(yaml.safe_dump(PARAMS))
        self.run("configure", "--params", params, "--dataset", "digits", "--output", folder / "d")
        self.run("fetch", "--config", folder / "d/fetch.yaml", "--output", folder / "raw")
        self.run(
            *("prepare", "--config", folder / "d/prepare.yaml", "--raw", folder / "raw"),
            *("--output", folder / "data", "--record", folder / "prepare.json"),
        )
        self.seconds = {}
        for name in PARAMS["experiments"]:
            output = folder / "configs" / name
            self.run("configure", "--params", params, "--experiment", name, "--output", output)
            start = time.monotonic()
            self.run(*self.train(name, "whole"))
            self.seconds[name] = time.monotonic() - start

    def train(self, name: str, kind: str) -> list[str | Path]:
        """Return the command that trains an experiment into the folder `kind`."""
        place = self.folder / kind / name
        config = self.folder / "configs" / name / "config/train.yaml"
        return [
            *("train", "--config", config, "--data", self.folder / "data"),
            *("--results", place / "results", "--logs", place / "logs"),
            *("--scratch", place / "scratch"),
        ]

    def train_with_kills(self, name: str, rng: random.Random) -> int:
        """Train from the beginning, with a kill at a random moment of each try but the last."""
        shutil.rmtree(self.folder / "killed" / name, ignore_errors=True)
        killed = 0
        while True:
            process = fork(self.command(*self.train(name, "killed")))
            # Longer and longer tries: on a machine that has become slow, short ones never end.
            time.sleep(rng.uniform(0, self.seconds[name] / 2 * (1 + killed / 20)))
            os.kill(process, signal.SIGKILL)
            status = os.waitstatus_to_exitcode(os.waitpid(process, 0)[1])
            if status == 0:
                return killed
            if status != -signal.SIGKILL:
                raise click.ClickException(f"{name} ended with {status} after {killed} kills.")
            killed += 1

    def differing(self, name: str) -> list[str]:
        """Return the files that differ between the killed and the uninterrupted training."""
        whole, killed = (self.digests(kind, name) for kind in ("whole", "killed"))
        paths = whole.keys() | killed.keys()
        return sorted(path for path in paths if whole.get(path) != killed.get(path))

    def digests(self, kind: str, name: str) -> dict[str, str]:
        """Return the SHA-256 of each compared result by its path."""
        folder = self.folder / kind / name / "results"
        found = itertools.chain.from_iterable(map(folder.rglob, COMPARED))
        return {str(path.relative_to(folder)): file_sha256(path) for path in found}

    def run(self, *words: str | Path) -> None:
        """Run a stage in a process of its own, to its end."""
        status = os.waitstatus_to_exitcode(os.waitpid(fork(self.command(*words)), 0)[1])
        if status != 0:
            raise click.ClickException(f"latentbench {words[0]} ended with {status}.")

    def command(self, *words: str | Path) -> Callable[[], int]:
        """Return a function that runs a stage, with a log, and returns its exit status."""

        def invoke() -> int:
            log = os.open(self.folder / "log", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
            os.dup2(log, 1)
            os.dup2(log, 2)
            # The state is kept after every step.
            loop.SECONDS_BETWEEN_STATES = 0.0
            try:
                latentbench([str(word) for word in words])
            except SystemExit as ended:
                return int(ended.code or 0)
            return 0

        return invoke


def fork(function: Callable[[], int]) -> int:
    """Run a function in a forked process, which exits with its result; return the process ID."""
    process = os.fork()
    if process == 0:
        status = 1
        try:
            status = function()
        finally:
            os._exit(status)
    return process


if __name__ == "__main__":
    main()
