"""The further trainings of an experiment, one after another, for an engine without wildcards.

Snakemake has a job for each stage of each training. DVC cannot make stages from a number in
params.yaml, so that all repeats of an experiment are one stage of it.
"""

from __future__ import annotations

import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import FrameType

from latentbench.artifacts import paths
from latentbench.artifacts.dependencies import OF_REPEATS, config_files
from latentbench.artifacts.files import write_text
from latentbench.artifacts.lock import lock_folder
from latentbench.artifacts.progress import log
from latentbench.artifacts.verification import is_up_to_date
from latentbench.config.experiments import training_names
from latentbench.config.params import Params
from latentbench.errors import InterruptedRun, LatentbenchError

RunStage = Callable[[Sequence[str]], None]


@dataclass(frozen=True)
class Folders:
    """The folders of an experiment; those of its repeats lie in the last three."""

    data: Path
    reference: Path
    results: Path
    logs: Path
    scratch: Path


def run_stage(arguments: Sequence[str]) -> None:
    """Run `latentbench ARGUMENTS…` in a process of its own, which gets this one's SIGTERM.

    Raises:
        InterruptedRun: The stage was interrupted.
        LatentbenchError: The stage failed, and has printed why.
    """
    process = subprocess.Popen([sys.executable, "-m", "latentbench", *arguments])

    def pass_on(signal_number: int, _: FrameType | None) -> None:
        process.send_signal(signal_number)

    previous = signal.signal(signal.SIGTERM, pass_on)
    try:
        with process:
            code = process.wait()
    finally:
        signal.signal(signal.SIGTERM, previous)
    if code == 0:
        return
    error = InterruptedRun if code in (InterruptedRun.exit_code, -signal.SIGTERM) else None
    raise (error or LatentbenchError)(
        f"latentbench {arguments[0]} ended with code {code}. Mend what it reports above, and run "
        "again: what is finished is kept."
    )


def repeat_experiment(
    params: Params, experiment: str, folders: Folders, *, run: RunStage = run_stage
) -> None:
    """Train and evaluate an experiment with its further seeds, in `results/repeats`.

    A stage whose record matches its files, settings and code is not run again. Repeats that the
    params no longer have are deleted. Without repeats, the folder is empty.

    Raises:
        ConfigError: There is no such experiment.
        LatentbenchError: A stage failed.
    """
    first = params.experiment(experiment)
    names = [Path(name).name for name in training_names(experiment, first.repeats)[1:]]
    repeats = folders.results / paths.REPEATS
    with lock_folder(repeats, "repeat"):
        repeats.mkdir(parents=True, exist_ok=True)
        for path in sorted(repeats.iterdir()):
            if path.is_dir() and path.name not in names:
                shutil.rmtree(path)
        for name in names:
            _bring_up_to_date(params, f"{experiment}/{paths.REPEATS}/{name}", folders, run)


def _bring_up_to_date(params: Params, training: str, folders: Folders, run: RunStage) -> None:
    """Run the stages of a repeat that have not been run with its settings."""
    place = Path(training).relative_to(Path(training).parts[0])
    results = folders.results / place
    for file, text in config_files(params.experiment(training)).items():
        path = results / file
        if not path.is_file() or path.read_text(encoding="utf-8") != text:
            write_text(path, text)
    given = {
        "data": folders.data,
        "reference": folders.reference,
        "results": results,
        "logs": folders.logs / place,
        "scratch": folders.scratch / place,
    }
    read = {
        "train": ("data", "results", "logs", "scratch"),
        "evaluate": ("data", "reference", "results", "scratch"),
    }
    for stage in OF_REPEATS:
        config = results / paths.stage_config(stage)
        if is_up_to_date(results / paths.record_name(stage), stage, config):
            log(f"{training}: {stage} is up to date.")
            continue
        arguments = [stage, "--config", str(config)]
        for name in read[stage]:
            arguments += [f"--{name}", str(given[name])]
        log(f"{training}: {stage}.")
        run(arguments)
