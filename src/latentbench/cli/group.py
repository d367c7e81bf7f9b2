"""The command `latentbench`: its help, and how it reports errors."""

from __future__ import annotations

import os
import sys
from typing import Any

import click

from latentbench.errors import LatentbenchError, StorageError, explain, printable, reason

# What users run themselves, in this order.
FOR_USERS = ("init", "plan", "app", "verify", "schema")


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


@click.group(cls=Stages, context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--debug", is_flag=True, help="Show the traceback of an error.")
@click.version_option(package_name="latentbench")
def main(debug: bool) -> None:
    """Train, evaluate, compare and explore latent-variable image models."""
