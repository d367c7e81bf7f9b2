"""What users run themselves: `init`, `plan`, `app`, `verify` and `schema`."""

from __future__ import annotations

import json
import os
import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from latentbench.cli.group import main
from latentbench.cli.options import PATH, folder_option, read_params_option
from latentbench.errors import ConfigError, printable

if TYPE_CHECKING:
    from latentbench.config.params import Params
    from latentbench.forecast.forecast import Forecast


@main.command()
def schema() -> None:
    """Print the JSON schema of params.yaml."""
    from latentbench.config.params import Params

    dialect = {"$schema": "https://json-schema.org/draft/2020-12/schema"}
    click.echo(json.dumps(dialect | Params.model_json_schema(), indent=2, ensure_ascii=False))


@main.command()
@click.argument("study")
@folder_option("--results", "results", "Folder of results/STUDY.")
@folder_option("--report", "report", "Folder of report/STUDY.")
@folder_option("--data", "data", "Folder of data/prepared.")
@click.option("--params", type=PATH, help="Also check the settings against this params.yaml.")
def verify(study: str, results: Path, report: Path, data: Path, params: Path | None) -> None:
    """Check a study's files against their provenance records.

    Settings and code that have changed since then are named, too.
    """
    from latentbench.artifacts.verification import StudyFolders, verify_study

    parsed = read_params_option(params) if params else None
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
@folder_option("--data", "data", "Folder of prepared datasets, if there are some.")
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

    parsed = read_params_option(params)
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
@folder_option("--results", "results", "Folder of studies.")
@folder_option("--data", "data/prepared", "Folder of prepared datasets.")
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
