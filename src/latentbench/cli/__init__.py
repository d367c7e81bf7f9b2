"""The command line: a subcommand per stage, which reads and writes files, and the user's own."""

from latentbench.cli import commands, stages
from latentbench.cli.group import ensure_utf8_mode, main, run

__all__ = ["commands", "ensure_utf8_mode", "main", "run", "stages"]
