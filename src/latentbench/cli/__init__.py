"""The command line: a subcommand per stage, which reads and writes files, and the user's own."""

from latentbench.cli import commands, stages
from latentbench.cli.group import main, run

__all__ = ["commands", "main", "run", "stages"]
