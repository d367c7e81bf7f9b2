"""Try bad inputs, crashes, kills and odd environments for some minutes, and print the counts.

Property tests run again and again with other seeds. Then every crash point is tried once, every
environment once, and kills fill the rest of the time.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import click

FOLDER = Path(__file__).parent
ROOT = FOLDER.parents[1]
EXAMPLES = 300  # per property test and round, unless the test has a number
STATISTICS = re.compile(r"^(tests/\S+)::|(\d+) passing.*?, (\d+) failing", re.MULTILINE)


@click.command()
@click.option("--minutes", default=20.0)
@click.option("--seed", default=0)
def main(minutes: float, seed: int) -> None:
    """Run every part, print what was tried and wrong, and fail if anything was wrong."""
    start = time.monotonic()
    tried, wrong = Counter[str](), Counter[str]()
    failed = False
    round_number = 0
    while not round_number or time.monotonic() - start < 60 * minutes * 0.4:
        failed |= run_properties(seed + round_number, tried, wrong)
        round_number += 1
    for area in sorted(tried):
        click.echo(f"{area}: {tried[area]:,} tried, {wrong[area]} wrong (from seed {seed})")
    failed |= run_crashes()
    failed |= call("environments.py", "--seed", seed)
    rest = max(minutes - (time.monotonic() - start) / 60, 0)
    failed |= call("kills.py", "--seed", seed, "--minutes", rest)
    raise SystemExit(failed)


def run_properties(seed: int, tried: Counter[str], wrong: Counter[str]) -> bool:
    """Run the property tests with a seed, and count examples by test file."""
    options = [f"--hypothesis-seed={seed}", "--hypothesis-show-statistics"]
    result = pytest("-m", "hypothesis", *options, examples=EXAMPLES)
    area = ""
    for match in STATISTICS.finditer(result.stdout):
        if match[1]:
            area = match[1]
        else:
            tried[area] += int(match[2]) + int(match[3])
            wrong[area] += int(match[3])
    if result.returncode != 0:
        click.echo(result.stdout)
    return result.returncode != 0


def run_crashes() -> bool:
    """Crash every stage before each of its file operations."""
    result = pytest("tests/artifacts/test_crashes.py", "-rA", examples=EXAMPLES)
    click.echo("\n".join(re.findall(r"^.*crash points.*$", result.stdout, re.MULTILINE)))
    if result.returncode != 0:
        click.echo(result.stdout)
    return result.returncode != 0


def pytest(*words: str, examples: int) -> subprocess.CompletedProcess[str]:
    """Run pytest with random examples and all crash points."""
    command = [sys.executable, "-m", "pytest", "-q", *words]
    variables = {"SOAK_EXAMPLES": str(examples), "CRASHES": "all", "OMP_NUM_THREADS": "1"}
    environment = os.environ | variables
    return subprocess.run(
        command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False
    )


def call(script: str, *words: object) -> bool:
    """Run another script of this folder, and return whether it failed."""
    command = [sys.executable, str(FOLDER / script), *map(str, words)]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    return subprocess.run(command, cwd=ROOT, env=environment, check=False).returncode != 0


if __name__ == "__main__":
    main()
