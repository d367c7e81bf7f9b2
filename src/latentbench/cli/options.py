"""Options that several commands have, and how they are read."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

if TYPE_CHECKING:
    from latentbench.config.params import Params

PATH = click.Path(path_type=Path)
Command = TypeVar("Command", bound=Callable[..., Any])


def path_option(name: str, help_text: str) -> Callable[[Command], Command]:
    """Return a decorator that adds a required option with a path."""
    return click.option(name, type=PATH, required=True, help=help_text)


def folder_option(name: str, default: str, help_text: str) -> Callable[[Command], Command]:
    """Return a decorator that adds an option with a folder, which has a default."""
    return click.option(name, type=PATH, default=Path(default), show_default=True, help=help_text)


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


def read_params_option(path: Path) -> Params:
    """Return the params of a file, or of standard input for `-`."""
    from latentbench.config.load import read_params

    return read_params(path, text=sys.stdin.buffer.read() if str(path) == "-" else None)
