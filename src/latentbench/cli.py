"""The command line: one subcommand per stage, from files to files. Each imports only what it runs."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from latentbench.errors import LatentbenchError

if TYPE_CHECKING:
    from latentbench.config.experiments import ExperimentConfig
    from latentbench.config.params import Params
    from latentbench.runtime.distributed import ProcessGroup


class Stages(click.Group):
    """Reports the project's own errors in one sentence; `--debug` keeps the traceback."""

    def invoke(self, context: click.Context) -> Any:
        from latentbench.artifacts.files import convert_disk_errors

        if context.params.get("debug"):
            return super().invoke(context)
        try:
            with convert_disk_errors(Path.cwd()):
                return super().invoke(context)
        except LatentbenchError as error:
            click.ClickException(str(error)).show()
            raise click.exceptions.Exit(error.exit_code) from error
        except OSError as error:
            raise click.ClickException(
                f"{error.filename or 'The system'}: {error.strerror or error}."
            ) from error


PATH = click.Path(path_type=Path)
Command = TypeVar("Command", bound=Callable[..., Any])


def path_option(name: str, help_text: str) -> Callable[[Command], Command]:
    return click.option(name, type=PATH, required=True, help=help_text)


config_option = path_option("--config", "The resolved config.yaml that `configure` wrote.")
data_option = path_option("--data", "data/prepared/DATASET")
reference_option = path_option("--reference", "data/reference/DATASET")
record_option = click.option(
    "--record", type=PATH, help="Where to say what made it: data/provenance/DATASET/STAGE.json"
)
results_option = path_option("--results", "results/STUDY/EXPERIMENT")


@click.group(cls=Stages, context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--debug", is_flag=True, help="Show the traceback of an error.")
@click.version_option(package_name="latentbench")
def main(debug: bool) -> None:
    """Train, measure and compare latent-variable image models, one stage at a time."""


@main.command()
@path_option("--params", "params.yaml, or - to read it from standard input.")
@click.option("--experiment", help="Resolve this experiment.")
@click.option("--dataset", help="Resolve this dataset.")
@click.option("--study", help="Resolve this study.")
@path_option("--output", "The resolved YAML file to write.")
def configure(
    params: Path, experiment: str | None, dataset: str | None, study: str | None, output: Path
) -> None:
    """Resolve one experiment, dataset or study of params.yaml into a file of its own."""
    from latentbench.artifacts.files import write_yaml

    asked = {"experiment": experiment, "dataset": dataset, "study": study}
    named = {kind: name for kind, name in asked.items() if name is not None}
    if len(named) != 1:
        raise click.UsageError("Give exactly one of --experiment, --dataset and --study.")
    [(kind, name)] = named.items()
    resolved = getattr(_params(params), kind)(name)
    write_yaml(output, resolved.model_dump(mode="json"))


@main.command()
@path_option("--params", "params.yaml, or - to read it from standard input.")
@path_option(
    "--output",
    "The folder to write dataset/NAME.yaml, experiment/NAME.yaml and study/NAME.yaml in.",
)
def split(params: Path, output: Path) -> None:
    """Cut params.yaml into a params file for each entry, with what that is resolved with."""
    from latentbench.artifacts.files import write_yaml
    from latentbench.config.params import KINDS

    whole = _params(params)
    for kind, section in KINDS.items():
        for name in getattr(whole, section):
            write_yaml(output / kind / f"{name}.yaml", whole.excerpt(kind, name))


@main.command()
def schema() -> None:
    """Print the JSON schema of params.yaml."""
    from latentbench.config.params import Params

    dialect = {"$schema": "https://json-schema.org/draft/2020-12/schema"}
    click.echo(json.dumps(dialect | Params.model_json_schema(), indent=2, ensure_ascii=False))


@main.command()
@config_option
@path_option("--output", "data/raw/DATASET")
def fetch(config: Path, output: Path) -> None:
    """Bring a dataset's raw files here: from a mirror, the official hosts or the user's own files."""
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
    "--workers", type=click.IntRange(min=1), help="Processes that decode; default: one per core."
)
def prepare(
    config: Path, raw: Path, output: Path, record: Path | None, workers: int | None
) -> None:
    """Decode, crop and resize a dataset's pictures into uint8 arrays."""
    from latentbench.config.datasets import DatasetConfig
    from latentbench.config.load import read_config
    from latentbench.data.prepare import prepare_dataset

    prepare_dataset(read_config(config, DatasetConfig), raw, output, record=record, workers=workers)


@main.command()
@config_option
@data_option
@path_option("--output", "data/reference/DATASET")
@record_option
def reference(config: Path, data: Path, output: Path, record: Path | None) -> None:
    """Train the feature network where one is wanted, and keep the real images' features and statistics."""
    from latentbench.config.datasets import DatasetConfig
    from latentbench.config.load import read_config
    from latentbench.evaluation.reference import build_reference

    build_reference(read_config(config, DatasetConfig), data, output, record=record)


@main.command()
@config_option
@data_option
@results_option
@path_option("--logs", "Where TensorBoard events go: logs/STUDY/EXPERIMENT")
@path_option("--scratch", "Where resumable state is kept: scratch/STUDY/EXPERIMENT")
@click.option("--restart", is_flag=True, help="Discard the resumable state and begin again.")
def train(
    config: Path, data: Path, results: Path, logs: Path, scratch: Path, restart: bool
) -> None:
    """Train an experiment, from where it was interrupted if it was."""
    from latentbench.config.experiments import ExperimentConfig
    from latentbench.config.load import read_config
    from latentbench.training.train import Folders, train_experiment

    settings = read_config(config, ExperimentConfig)
    folders = Folders(data=data, results=results, logs=logs, scratch=scratch)
    _in_processes(
        settings,
        lambda processes: train_experiment(settings, folders, restart=restart, processes=processes),
    )


@main.command()
@config_option
@data_option
@reference_option
@results_option
@path_option("--scratch", "Where features are kept for the next run: scratch/STUDY/EXPERIMENT")
def evaluate(config: Path, data: Path, reference: Path, results: Path, scratch: Path) -> None:
    """Measure every checkpoint of an experiment."""
    from latentbench.config.experiments import ExperimentConfig
    from latentbench.config.load import read_config
    from latentbench.evaluation.evaluate import Folders, evaluate_experiment

    settings = read_config(config, ExperimentConfig)
    folders = Folders(data=data, reference=reference, results=results, scratch=scratch)
    _in_processes(
        settings, lambda processes: evaluate_experiment(settings, folders, processes=processes)
    )


@main.command()
@config_option
@data_option
@reference_option
@results_option
def explore(config: Path, data: Path, reference: Path, results: Path) -> None:
    """Look into the latent space of an experiment's last checkpoint."""
    from latentbench.config.experiments import ExperimentConfig
    from latentbench.config.load import read_config
    from latentbench.latent.explore import explore_experiment

    explore_experiment(read_config(config, ExperimentConfig), data, reference, results)


@main.command()
@path_option("--results", "results/STUDY")
@path_option("--sources", "The notebooks and what they are made into documents with: report")
@path_option("--output", "report/STUDY")
def report(results: Path, sources: Path, output: Path) -> None:
    """Render a study's notebooks, page and PDF from its result files."""
    from latentbench.report.build import build_report

    build_report(results, sources, output)


@main.command()
@path_option("--params", "params.yaml, or - to read it from standard input.")
@click.option("--study", required=True, help="The study to hand in.")
@path_option("--results", "results/STUDY")
@path_option("--report", "report/STUDY")
@path_option("--lock", "The lock file of the environment: requirements/main.lock")
@path_option("--output", "handin/STUDY")
def handin(params: Path, study: str, results: Path, report: Path, lock: Path, output: Path) -> None:
    """Pack a study's report, models and params into one zip."""
    from latentbench.report.submission import build_submission

    build_submission(
        _params(params), study, results=results, report=report, lock=lock, output=output
    )


@main.command()
@click.argument("study")
@click.option(
    "--results",
    type=PATH,
    default=Path("results"),
    show_default=True,
    help="Where results/STUDY lies.",
)
@click.option(
    "--report",
    type=PATH,
    default=Path("report"),
    show_default=True,
    help="Where report/STUDY lies.",
)
@click.option(
    "--data", type=PATH, default=Path("data"), show_default=True, help="Where data/prepared lies."
)
@click.option("--params", type=PATH, help="Also hold the settings against this params.yaml.")
def verify(study: str, results: Path, report: Path, data: Path, params: Path | None) -> None:
    """Check a study's results against what was recorded when they were made, and name what does not match."""
    from latentbench.artifacts.verification import StudyFolders, verify_study

    found = verify_study(
        study, StudyFolders(results, report, data), _params(params) if params else None
    )
    for line in (*found.notes, *found.mismatches):
        click.echo(line)
    found.require_match(study)
    click.echo(
        f"{study}: {found.num_files} files of {found.num_stages} stages are as they were made."
    )


@main.command()
@click.argument("study")
@click.option("--params", type=PATH, default=Path("params.yaml"), show_default=True)
@click.option(
    "--data",
    type=PATH,
    default=Path("data"),
    show_default=True,
    help="Where prepared datasets may lie.",
)
@click.option(
    "--budget", type=click.Choice(["full", "small"]), help="Instead of that of the params."
)
def plan(study: str, params: Path, data: Path, budget: str | None) -> None:
    """Forecast a study before it runs: jobs, time and disk, from rates that are measured here for some seconds."""
    from latentbench.artifacts.progress import log
    from latentbench.forecast.forecast import forecast
    from latentbench.forecast.formatting import lines
    from latentbench.forecast.rates import seconds_to_start

    asked = _params(params)
    asked = asked.model_copy(update={"budget": budget}) if budget else asked
    start = seconds_to_start()
    for line in lines(study, forecast(asked, study, data, seconds_to_start=start, tell=log)):
        click.echo(line)


def _in_processes(config: ExperimentConfig, stage: Callable[[ProcessGroup], None]) -> None:
    """Run a stage in as many processes as the experiment asks for: this command line once in each."""
    from latentbench.runtime.launch import is_launched, join_process_group, launch

    number = config.training.processes
    if number > 1 and not is_launched():
        launch(sys.argv[1:], num_processes=number, compute=config.compute)
        return
    with join_process_group(number, config.compute) as processes:
        stage(processes)


def _params(path: Path) -> Params:
    from latentbench.config.load import read_params

    return read_params(path, text=sys.stdin.read() if str(path) == "-" else None)
