"""Run the command line: `python -m latentbench`."""

from latentbench.cli import run

run()
