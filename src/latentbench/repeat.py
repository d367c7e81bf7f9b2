"""The further trainings of an experiment, one after another, for an engine without wildcards.

Snakemake has a job for each stage of each training. DVC cannot make stages from a number in
params.yaml, so that all repeats of an experiment are one stage of it, as are all trials of its
search.
"""

from __future__ import annotations

import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import FrameType

from latentbench.artifacts import paths
from latentbench.artifacts.dependencies import config_files, select_config, stages_of
from latentbench.artifacts.files import write_text
from latentbench.artifacts.lock import lock_folder
from latentbench.artifacts.progress import log
from latentbench.artifacts.selection import resolve_training
from latentbench.artifacts.verification import is_up_to_date
from latentbench.config.experiments import ExperimentConfig, training_names
from latentbench.config.params import Params
from latentbench.errors import InterruptedRun, LatentbenchError

RunStage = Callable[[Sequence[str]], None]


@dataclass(frozen=True)
class Folders:
    """The folders of an experiment; those of its further trainings lie in the last three."""

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
    names = training_names(experiment, params.experiment(experiment).repeats)[1:]
    study = folders.results.parent
    numbers = [Path(name).name for name in names]
    with _prepared(folders.results / paths.REPEATS, "repeat", keep=numbers):
        for name in names:
            _bring_up_to_date(resolve_training(params, name, study), folders, run)


def search_experiment(
    params: Params, experiment: str, folders: Folders, *, run: RunStage = run_stage
) -> None:
    """Train the trials of an experiment's search and select one, in `results/search`.

    What is up to date and what is stale is handled as by `repeat_experiment`. Without a search, the
    folder is empty.

    Raises:
        ConfigError: There is no such experiment.
        LatentbenchError: A stage failed.
    """
    config = params.experiment(experiment)
    trials = config.trials()
    keep = [Path(trial.name).name for trial in trials]
    if trials:
        files = (paths.SELECT_CONFIG, paths.SELECTED, paths.SELECT_RECORD)
        keep += [Path(file).parts[1] for file in files]
    with _prepared(folders.results / paths.SEARCH, "search", keep=keep):
        for trial in trials:
            _bring_up_to_date(trial, folders, run)
        if not trials:
            return
        settings = folders.results / paths.SELECT_CONFIG
        _write_if_changed(settings, select_config(config))
        if is_up_to_date(folders.results / paths.SELECT_RECORD, "select", settings):
            log(f"{experiment}: select is up to date.")
            return
        log(f"{experiment}: select.")
        run(["select", "--config", str(settings), *_options(folders, Path(), "select")])


@contextmanager
def _prepared(folder: Path, stage: str, *, keep: Sequence[str]) -> Iterator[None]:
    """Lock a folder of trainings, and delete what is not to keep from it."""
    with lock_folder(folder, stage):
        folder.mkdir(parents=True, exist_ok=True)
        for path in sorted(folder.iterdir()):
            if path.name.startswith(".") or path.name in keep:
                continue
            if path.is_dir():
                shutil.rmtree(path)
            else:
                path.unlink()
        yield


def _bring_up_to_date(config: ExperimentConfig, folders: Folders, run: RunStage) -> None:
    """Run the stages of a training that have not been run with its settings."""
    place = Path(config.name).relative_to(Path(config.name).parts[0])
    results = folders.results / place
    stages = stages_of(config)
    for file, text in config_files(config).items():
        if not config.is_trial or file != paths.CONFIG:
            _write_if_changed(results / file, text)
    for stage in stages:
        settings = results / paths.stage_config(stage)
        if is_up_to_date(results / paths.record_name(stage), stage, settings):
            log(f"{config.name}: {stage} is up to date.")
            continue
        log(f"{config.name}: {stage}.")
        run([stage, "--config", str(settings), *_options(folders, place, stage)])


def _write_if_changed(path: Path, text: str) -> None:
    if not path.is_file() or path.read_text(encoding="utf-8") != text:
        write_text(path, text)


def _options(folders: Folders, place: Path, stage: str) -> list[str]:
    """Return the options of a stage with the folders that it reads and writes."""
    given = {
        "data": folders.data,
        "reference": folders.reference,
        "results": folders.results / place,
        "logs": folders.logs / place,
        "scratch": folders.scratch / place,
    }
    read = {
        "train": ("data", "results", "logs", "scratch"),
        "evaluate": ("data", "reference", "results", "scratch"),
        "select": ("data", "reference", "results", "scratch"),
    }
    options = []
    for name in read[stage]:
        options += [f"--{name}", str(given[name])]
    return options
