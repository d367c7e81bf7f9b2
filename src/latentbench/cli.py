"""The command line: a subcommand per stage, which reads and writes files."""

from __future__ import annotations

import json
import os
import shlex
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from latentbench.errors import (
    ConfigError,
    LatentbenchError,
    StorageError,
    explain,
    printable,
    reason,
)

if TYPE_CHECKING:
    from latentbench.config.base import Section
    from latentbench.config.experiments import ExperimentConfig
    from latentbench.config.params import Params
    from latentbench.forecast.forecast import Forecast
    from latentbench.runtime.distributed import ProcessGroup


def run() -> None:
    """Run the command line of this process."""
    ensure_utf8_mode()
    main()


def ensure_utf8_mode() -> None:
    """Start this process again in Python's UTF-8 mode if its locale has ASCII only.

    In the locale C, libraries fail on paths that are not ASCII.
    """
    if sys.getfilesystemencoding() == "ascii":
        os.execv(sys.executable, [sys.executable, "-X", "utf8", *sys.orig_argv[1:]])


# What users run themselves, in this order.
FOR_USERS = ("init", "plan", "app", "verify", "schema")


class Stage(click.Command):
    """Reports what the system refuses, with the file and a remedy."""

    def invoke(self, context: click.Context) -> Any:
        """Run the stage."""
        try:
            return super().invoke(context)
        except BrokenPipeError:
            raise  # click ends without a message
        except OSError as error:
            raise StorageError(explain(error, _places(context))) from error
        except ImportError as error:
            raise StorageError(
                f"{context.info_name} cannot load a library ({reason(error)}). Free some memory, "
                "or make the environment again (make setup)."
            ) from error
        except (MemoryError, RuntimeError) as error:
            if not _is_out_of_memory(error):
                raise
            raise StorageError(
                f"There is too little memory for {context.info_name} ({reason(error)}). Reduce the "
                "batch size or the number of images."
            ) from error


class Stages(click.Group):
    """Reports errors as a message instead of a traceback, unless `--debug` is given."""

    command_class = Stage

    def format_commands(
        self,
        ctx: click.Context,  # noqa: ARG002
        formatter: click.HelpFormatter,
    ) -> None:
        """List what users run before the stages, which an engine runs."""
        stages = [name for name in self.commands if name not in FOR_USERS]
        users = [name for name in FOR_USERS if name in self.commands]
        limit = formatter.width - 6 - max(map(len, self.commands))
        for title, names in (("Commands", users), ("Stages, which Snakemake and DVC run", stages)):
            rows = [(name, self.commands[name].get_short_help_str(limit)) for name in names]
            with formatter.section(title):
                formatter.write_dl(rows)

    def invoke(self, context: click.Context) -> Any:
        """Run the subcommand and report its errors."""
        if context.params.get("debug"):
            return super().invoke(context)
        try:
            return super().invoke(context)
        except LatentbenchError as error:
            click.ClickException(printable(str(error))).show()
            raise click.exceptions.Exit(error.exit_code) from error


def _is_out_of_memory(error: Exception) -> bool:
    """Return whether Python, torch on a CPU or torch on a GPU found too little memory."""
    is_of_gpu = type(error).__name__ == "OutOfMemoryError" or "MPS backend out of" in str(error)
    return isinstance(error, MemoryError) or is_of_gpu or "DefaultCPUAllocator" in str(error)


def _places(context: click.Context) -> str:
    """Return where a stage writes, for an error of the system that names no file."""
    written = ("output", "results", "logs", "scratch", "record")
    places = [str(context.params[name]) for name in written if context.params.get(name)]
    # The last has the semaphores of processes.
    places += [os.environ.get("TMPDIR", "/tmp"), "/dev/shm"]
    return f"a file of {context.info_name} in {', '.join(places)}"


PATH = click.Path(path_type=Path)
Command = TypeVar("Command", bound=Callable[..., Any])


def path_option(name: str, help_text: str) -> Callable[[Command], Command]:
    """Return a decorator that adds a required option with a path."""
    return click.option(name, type=PATH, required=True, help=help_text)


config_option = path_option("--config", "The settings that `configure` wrote for this stage.")
data_option = path_option("--data", "data/prepared/DATASET")
reference_option = path_option("--reference", "data/reference/DATASET")
record_option = click.option(
    "--record", type=PATH, help="Provenance record: data/provenance/DATASET/STAGE.json"
)
results_option = path_option("--results", "results/STUDY/EXPERIMENT")


def further_trainings_options(command: Command) -> Command:
    """Add the options of commands that run several trainings of an experiment."""
    for option in (
        path_option("--scratch", "scratch/STUDY/EXPERIMENT"),
        path_option("--logs", "logs/STUDY/EXPERIMENT"),
        results_option,
        reference_option,
        data_option,
        click.option("--experiment", required=True, help="An experiment of the params."),
        path_option("--params", "params.yaml, or - for standard input."),
    ):
        command = option(command)
    return command


@click.group(cls=Stages, context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--debug", is_flag=True, help="Show the traceback of an error.")
@click.version_option(package_name="latentbench")
def main(debug: bool) -> None:
    """Train, evaluate and compare latent-variable image models, one stage at a time."""


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
    parsed = _read_params(params)
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

    parsed = _read_params(params)
    with lock_folder(output, "split"):
        for kind, section in KINDS.items():
            for name in getattr(parsed, section):
                write_yaml(output / kind / f"{name}.yaml", parsed.excerpt(kind, name))


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

    search_experiment(_read_params(params), experiment, Folders(**folders))


@main.command()
@further_trainings_options
def repeat(params: Path, experiment: str, **folders: Path) -> None:
    """Train and evaluate an experiment with its further seeds, as far as not up to date."""
    from latentbench.repeat import Folders, repeat_experiment

    repeat_experiment(_read_params(params), experiment, Folders(**folders))


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

    parsed = _read_params(params)
    with lock_folder(output, "handin"):
        build_submission(parsed, study, Folders(**folders), output)


@main.command()
@click.argument("study")
@click.option(
    "--results",
    type=PATH,
    default=Path("results"),
    show_default=True,
    help="Folder of results/STUDY.",
)
@click.option(
    "--report",
    type=PATH,
    default=Path("report"),
    show_default=True,
    help="Folder of report/STUDY.",
)
@click.option(
    "--data", type=PATH, default=Path("data"), show_default=True, help="Folder of data/prepared."
)
@click.option("--params", type=PATH, help="Also check the settings against this params.yaml.")
def verify(study: str, results: Path, report: Path, data: Path, params: Path | None) -> None:
    """Check a study's files against their provenance records.

    Settings and code that have changed since then are named, too.
    """
    from latentbench.artifacts.verification import StudyFolders, verify_study

    parsed = _read_params(params) if params else None
    result = verify_study(study, StudyFolders(results, report, data), parsed)
    for line in (*result.notes, *result.mismatches):
        click.echo(line)
    result.require_match(study)
    click.echo(
        f"{study}: {result.num_files} files of {result.num_stages} stages match their records."
    )


@main.command()
@click.argument("path", type=PATH)
@click.option("--output", type=PATH, help="The file to write; default: NAME.yaml, in this folder.")
@click.option("--name", help="The study's name; default: that of the folder.")
@click.option("--attributes", type=PATH, help="A table of the images' attributes.")
@click.option(
    "--crop", type=click.IntRange(min=8), help="Side of the central square to keep, in pixels."
)
@click.option(
    "--forecast/--no-forecast",
    "with_forecast",
    default=True,
    show_default=True,
    help="Measure for half a minute how long the study takes on this machine.",
)
def init(
    path: Path,
    output: Path | None,
    name: str | None,
    attributes: Path | None,
    crop: int | None,
    with_forecast: bool,
) -> None:
    """Write a params file for a folder or zip of your own images.

    Some of them are decoded, to choose size and color, and shown in a PNG of the same name.
    """
    from latentbench.artifacts.files import write_text
    from latentbench.config.load import read_params
    from latentbench.folder_study import (
        inspect_folder,
        params_text,
        study_name,
        summary,
        write_preview,
    )
    from latentbench.forecast.formatting import format_duration

    path = path.expanduser().absolute()
    attributes = attributes and attributes.expanduser().absolute()
    name = name or study_name(path)
    output = output or Path(f"{name}.yaml")
    for written in (output, output.with_suffix(".png")):
        if written.exists():
            raise ConfigError(f"{written} exists; choose another name with --output, or remove it.")
    contents = inspect_folder(path, attributes, crop)
    text = params_text(name, path, attributes, contents)
    params = read_params(output, text=text)
    write_text(output, text)
    write_preview(output.with_suffix(".png"), contents)
    for line in summary(name, output, contents):
        click.echo(printable(line))
    times = dict.fromkeys(("full", "small"), "")
    if with_forecast:
        for budget in times:
            seconds = _forecast_seconds(params.model_copy(update={"budget": budget}), name)
            times[budget] = f"  # about {format_duration(seconds)} on this machine"
    command = f"make report PARAMS={shlex.quote(str(output))}"
    if output.stem != name:
        command += f" STUDY={name}"
    click.echo("Run it, the first time with the small budget:")
    click.echo(f"  {command} BUDGET=small{times['small']}")
    click.echo(f"  {command}{times['full']}")


@main.command()
@click.argument("study")
@click.option("--params", type=PATH, default=Path("params.yaml"), show_default=True)
@click.option(
    "--data",
    type=PATH,
    default=Path("data"),
    show_default=True,
    help="Folder of prepared datasets, if there are some.",
)
@click.option(
    "--budget", type=click.Choice(["full", "small"]), help="Replaces the budget of the params."
)
@click.option(
    "--save",
    type=PATH,
    help="Write the seconds of each job to this file and print nothing, after half the "
    "measurement; if the file has them already, after none.",
)
def plan(study: str, params: Path, data: Path, budget: str | None, save: Path | None) -> None:
    """Forecast a study's jobs, time and disk use.

    Every model is measured for some seconds on this machine.
    """
    from latentbench.artifacts.progress import log

    parsed = _read_params(params)
    if budget:
        parsed = parsed.model_copy(update={"budget": budget})
    if save is not None:
        _save_forecast(parsed, study, data, save)
        return
    from latentbench.forecast.forecast import forecast
    from latentbench.forecast.formatting import format_forecast
    from latentbench.forecast.rates import measure_start_seconds

    result = forecast(parsed, study, data, start_seconds=measure_start_seconds(), log=log)
    click.echo(format_forecast(study, result))


def _save_forecast(params: Params, study: str, data: Path, path: Path) -> None:
    """Measure for some seconds and write the forecast, unless the file has it."""
    from latentbench.forecast.saved_forecast import forecast_key, read_forecast, save_forecast

    key = forecast_key(params, study)
    if read_forecast(path, key):
        return
    save_forecast(path, key, _measure(params, study, data, what="this").jobs)


def _measure(params: Params, study: str, data: Path, *, what: str) -> Forecast:
    """Return a quick forecast of a study; `what` names it in a message."""
    from latentbench.artifacts.progress import log

    log(f"Measuring for some seconds how long {what} takes here…")
    from latentbench.forecast.forecast import forecast
    from latentbench.forecast.rates import measure_start_seconds, quick_measurement

    with quick_measurement():
        start_seconds = measure_start_seconds()
        return forecast(params, study, data, start_seconds=start_seconds, log=lambda _: None)


def _forecast_seconds(params: Params, study: str) -> float:
    """Return the wall time of a study on this machine, with as many jobs at once as fit."""
    from latentbench.forecast.schedule import Work, makespan

    jobs = []
    what = f"the {params.budget} budget"
    for job in _measure(params, study, Path("data"), what=what).jobs:
        jobs.append(Work(job.stage, job.subject, job.seconds))
    threads = max(experiment.compute.threads for experiment in params.experiments.values())
    return makespan(jobs, max(1, (os.cpu_count() or 1) // threads))


@main.command()
@click.argument("study")
@click.option(
    "--results", type=PATH, default=Path("results"), show_default=True, help="Folder of studies."
)
@click.option(
    "--data",
    type=PATH,
    default=Path("data/prepared"),
    show_default=True,
    help="Folder of prepared datasets.",
)
@click.option(
    "--host", default="127.0.0.1", show_default=True, help="Who may connect: this machine only."
)
@click.option(
    "--port", type=click.IntRange(1, 65535), help="Default: the first free port from 8090 on."
)
@click.option("--open", "show", is_flag=True, help="Open the page in the browser.")
def app(study: str, results: Path, data: Path, **options: Any) -> None:
    """Explore a study's trained models in the browser: samples, directions, paths, codes."""
    from latentbench.app.server import serve

    serve(results / study, data, **options)


def _run_distributed(config: ExperimentConfig, stage: Callable[[ProcessGroup], None]) -> None:
    """Run a stage in `training.processes` processes, each with this command line."""
    from latentbench.runtime.launch import is_launched, join_process_group, launch

    number = config.training.processes
    if number > 1 and not is_launched():
        launch(sys.argv[1:], num_processes=number, compute=config.compute)
        return
    with join_process_group(number, config.compute) as processes:
        stage(processes)


def _read_params(path: Path) -> Params:
    from latentbench.config.load import read_params

    return read_params(path, text=sys.stdin.buffer.read() if str(path) == "-" else None)
