"""The stages, which Snakemake and DVC run. Each imports what it runs and nothing else."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import click

from latentbench.cli.group import main
from latentbench.cli.options import (
    PATH,
    config_option,
    data_option,
    further_trainings_options,
    path_option,
    read_params_option,
    record_option,
    reference_option,
    results_option,
)
from latentbench.errors import ConfigError, reason

if TYPE_CHECKING:
    from latentbench.config.base import Section
    from latentbench.config.experiments import ExperimentConfig
    from latentbench.runtime.distributed import ProcessGroup


@main.command()
@path_option("--params", "params.yaml, or - for standard input.")
@click.option("--experiment", help="Resolve this experiment.")
@click.option("--dataset", help="Resolve this dataset.")
@click.option("--study", help="Resolve this study.")
@path_option(
    "--output", "The folder of the files: data/config/DATASET or results/STUDY[/EXPERIMENT]"
)
def configure(
    params: Path, experiment: str | None, dataset: str | None, study: str | None, output: Path
) -> None:
    """Resolve an experiment, dataset or study of params.yaml and write a config for each stage.

    An experiment with a search gets the settings that results/STUDY/EXPERIMENT/search selects.
    """
    from latentbench.artifacts.dependencies import config_files
    from latentbench.artifacts.files import write_text
    from latentbench.artifacts.lock import lock_folder
    from latentbench.artifacts.selection import resolve_training

    options = {"experiment": experiment, "dataset": dataset, "study": study}
    given = [(kind, name) for kind, name in options.items() if name is not None]
    if len(given) != 1:
        raise click.UsageError("Give exactly one of --experiment, --dataset and --study.")
    kind, name = given[0]
    parsed = read_params_option(params)
    if kind == "experiment":
        results = output.parents[name.count("/")]
        config: Section = resolve_training(parsed, name, results)
    else:
        config = parsed.dataset(name) if kind == "dataset" else parsed.study(name)
    with lock_folder(output, "configure"):
        for file, text in config_files(config).items():
            path = output / file
            if not path.is_file() or path.read_text(encoding="utf-8") != text:
                write_text(path, text)


@main.command()
@path_option("--config", "A config of a training of an experiment, or - for standard input.")
@path_option("--selected", "results/STUDY/EXPERIMENT/search/selected.json")
@path_option("--output", "The file to write.")
def merge(config: Path, selected: Path, output: Path) -> None:
    """Write a config with the settings of the model that a search selected."""
    from latentbench.artifacts.files import write_text
    from latentbench.artifacts.selection import merge_selection

    is_piped = str(config) == "-"
    text = sys.stdin.read() if is_piped else config.read_text(encoding="utf-8")
    write_text(output, merge_selection(text, selected))


@main.command()
@path_option("--params", "params.yaml, or - for standard input.")
@path_option(
    "--output",
    "The folder to write dataset/NAME.yaml, experiment/NAME.yaml and study/NAME.yaml in.",
)
def split(params: Path, output: Path) -> None:
    """Write a params file per entry of params.yaml, with the other entries that it names."""
    from latentbench.artifacts.files import write_yaml
    from latentbench.artifacts.lock import lock_folder
    from latentbench.config.params import KINDS

    parsed = read_params_option(params)
    with lock_folder(output, "split"):
        for kind, section in KINDS.items():
            for name in getattr(parsed, section):
                write_yaml(output / kind / f"{name}.yaml", parsed.excerpt(kind, name))


@main.command()
@config_option
@path_option("--output", "data/raw/DATASET")
def fetch(config: Path, output: Path) -> None:
    """Download or copy a dataset's raw files, or note where the user's files are."""
    from latentbench.config.datasets import DatasetConfig
    from latentbench.config.load import read_config
    from latentbench.data.fetch import fetch_dataset

    fetch_dataset(read_config(config, DatasetConfig), output)


@main.command()
@config_option
@path_option("--raw", "data/raw/DATASET")
@path_option("--output", "data/prepared/DATASET")
@record_option
@click.option(
    "--workers", type=click.IntRange(min=1), help="Decoding processes; default: one per core."
)
def prepare(
    config: Path, raw: Path, output: Path, record: Path | None, workers: int | None
) -> None:
    """Decode, crop and resize a dataset's images into uint8 arrays."""
    from latentbench.config.datasets import DatasetConfig
    from latentbench.config.load import read_config
    from latentbench.data.preparation.prepare import prepare_dataset

    prepare_dataset(read_config(config, DatasetConfig), raw, output, record=record, workers=workers)


@main.command()
@config_option
@data_option
@path_option("--output", "data/reference/DATASET")
@record_option
def reference(config: Path, data: Path, output: Path, record: Path | None) -> None:
    """Compute features and statistics of real images; train the classifier if it is used."""
    from latentbench.config.datasets import DatasetConfig
    from latentbench.config.load import read_config
    from latentbench.evaluation.reference import build_reference

    build_reference(read_config(config, DatasetConfig), data, output, record=record)


@main.command()
@config_option
@data_option
@results_option
@path_option("--logs", "TensorBoard events: logs/STUDY/EXPERIMENT")
@path_option("--scratch", "Resumable state: scratch/STUDY/EXPERIMENT")
@click.option("--restart", is_flag=True, help="Discard the resumable state and start again.")
def train(
    config: Path, data: Path, results: Path, logs: Path, scratch: Path, restart: bool
) -> None:
    """Train an experiment's model; resume if an earlier run was interrupted."""
    from latentbench.config.experiments import ExperimentConfig
    from latentbench.config.load import read_config
    from latentbench.training.train import Folders, train_experiment

    settings = read_config(config, ExperimentConfig)
    folders = Folders(data=data, results=results, logs=logs, scratch=scratch)

    def stage(processes: ProcessGroup) -> None:
        train_experiment(settings, folders, restart=restart, processes=processes)

    _run_distributed(settings, stage)


@main.command()
@config_option
@data_option
@reference_option
@results_option
@path_option("--scratch", "Cached features: scratch/STUDY/EXPERIMENT")
def evaluate(config: Path, data: Path, reference: Path, results: Path, scratch: Path) -> None:
    """Evaluate every checkpoint of an experiment."""
    from latentbench.config.experiments import ExperimentConfig
    from latentbench.config.load import read_config
    from latentbench.evaluation.evaluate import Folders, evaluate_experiment

    settings = read_config(config, ExperimentConfig)
    folders = Folders(data=data, reference=reference, results=results, scratch=scratch)

    def stage(processes: ProcessGroup) -> None:
        evaluate_experiment(settings, folders, processes=processes)

    _run_distributed(settings, stage)


@main.command()
@config_option
@data_option
@reference_option
@results_option
def explore(config: Path, data: Path, reference: Path, results: Path) -> None:
    """Explore the latent space of an experiment's last checkpoint."""
    from latentbench.config.experiments import ExperimentConfig
    from latentbench.config.load import read_config
    from latentbench.latent.explore import explore_experiment

    explore_experiment(read_config(config, ExperimentConfig), data, reference, results)


@main.command()
@config_option
@data_option
@reference_option
@results_option
@path_option("--scratch", "Cached features: scratch/STUDY/EXPERIMENT")
def select(config: Path, data: Path, reference: Path, results: Path, scratch: Path) -> None:
    """Select the trial of an experiment's search that is closest to the validation images."""
    from latentbench.config.experiments import ExperimentConfig
    from latentbench.config.load import read_config
    from latentbench.evaluation.evaluate import Folders
    from latentbench.evaluation.select import select_trial

    folders = Folders(data=data, reference=reference, results=results, scratch=scratch)
    select_trial(read_config(config, ExperimentConfig), folders)


@main.command()
@further_trainings_options
def search(params: Path, experiment: str, **folders: Path) -> None:
    """Train the trials of an experiment's search and select one, as far as not up to date."""
    from latentbench.repeat import Folders, search_experiment

    search_experiment(read_params_option(params), experiment, Folders(**folders))


@main.command()
@further_trainings_options
def repeat(params: Path, experiment: str, **folders: Path) -> None:
    """Train and evaluate an experiment with its further seeds, as far as not up to date."""
    from latentbench.repeat import Folders, repeat_experiment

    repeat_experiment(read_params_option(params), experiment, Folders(**folders))


@main.command()
@path_option("--results", "results/STUDY")
@path_option("--data", "Folder of the prepared datasets: data/prepared")
@path_option("--sources", "Folder of the notebooks: report")
@path_option("--output", "walkthrough/STUDY")
def walkthrough(results: Path, data: Path, sources: Path, output: Path) -> None:
    """Run a notebook that trains a model of a study in code and compares all of them."""
    from latentbench.artifacts.lock import lock_folder
    from latentbench.walkthrough.build import build_walkthrough

    with lock_folder(output, "walkthrough"):
        build_walkthrough(results, data, sources, output)


@main.command()
@path_option("--results", "results/STUDY")
@click.option(
    "--walkthrough", type=PATH, help="The chapter of this name.  [default: walkthrough/STUDY]"
)
@path_option("--sources", "Folder of the notebooks and templates: report")
@path_option("--output", "report/STUDY")
def report(results: Path, walkthrough: Path | None, sources: Path, output: Path) -> None:
    """Render a study's notebooks, page and PDF from its results."""
    from latentbench.artifacts.lock import lock_folder

    try:
        from latentbench.report.build import build_report
    except UnicodeDecodeError as error:  # importing matplotlib reads a file of the user
        raise ConfigError(
            f"matplotlib cannot read the user's settings ({reason(error)}); correct or delete the "
            "file matplotlibrc, here or in ~/.config/matplotlib."
        ) from error

    with lock_folder(output, "report"):
        build_report(
            results, sources, output, walkthrough=walkthrough or Path("walkthrough", results.name)
        )


@main.command()
@path_option("--params", "params.yaml, or - for standard input.")
@click.option("--study", required=True, help="The study to hand in.")
@path_option("--results", "results/STUDY")
@path_option("--report", "report/STUDY")
@path_option("--walkthrough", "walkthrough/STUDY")
@path_option("--project", "The folder of pyproject.toml, whose source is packed, too.")
@path_option("--output", "handin/STUDY")
def handin(params: Path, study: str, output: Path, **folders: Path) -> None:
    """Pack a study's report, models, params and source into a zip to hand in."""
    from latentbench.artifacts.lock import lock_folder
    from latentbench.report.submission import Folders, build_submission

    parsed = read_params_option(params)
    with lock_folder(output, "handin"):
        build_submission(parsed, study, Folders(**folders), output)


def _run_distributed(config: ExperimentConfig, stage: Callable[[ProcessGroup], None]) -> None:
    """Run a stage in `training.processes` processes, each with this command line."""
    from latentbench.runtime.launch import is_launched, join_process_group, launch

    number = config.training.processes
    if number > 1 and not is_launched():
        launch(sys.argv[1:], num_processes=number, compute=config.compute)
        return
    with join_process_group(number, config.compute) as processes:
        stage(processes)
