"""Helpers of the benchmarks: arguments, threads, and timing both sides in turns."""

from __future__ import annotations

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Turns:
    """Median seconds of both sides, the ratios (theirs to ours), and the last results."""

    ours_s: float
    theirs_s: float
    ratios: list[float]
    ours: Any
    theirs: Any

    def __str__(self) -> str:
        median, low, high = statistics.median(self.ratios), min(self.ratios), max(self.ratios)
        return f"ratio {median:.1f} ({low:.1f} to {high:.1f})"


def read_arguments(about: str | None, *, threads: int) -> argparse.Namespace:
    """Return the arguments of a benchmark on features, and set the number of threads.

    Call it before importing NumPy or PyTorch, which read that number when they are imported.
    """
    parser = argparse.ArgumentParser(description=about)
    parser.add_argument("--dim", type=int, default=2048, help="features: Inception has 2,048")
    parser.add_argument("--samples", type=int, default=5000, help="images on either side")
    parser.add_argument("--turns", type=int, default=3)
    parser.add_argument("--threads", type=int, default=threads)
    arguments = parser.parse_args()
    for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
        os.environ[name] = str(arguments.threads)
    return arguments


def add_turn_arguments(
    parser: argparse.ArgumentParser, sides: Iterable[str], *, turns: int
) -> None:
    """Add the arguments of a benchmark that runs itself in a new process for each turn."""
    parser.add_argument("--turns", type=int, default=turns)
    parser.add_argument("--threads", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--turn-of", choices=[*sides], help=argparse.SUPPRESS)
    parser.add_argument("--root", type=Path, help=argparse.SUPPRESS)


def run_turn(script: str, *words: object, **environment: str) -> dict[str, Any]:
    """Run a script and return the JSON in the last line that it prints."""
    command = [sys.executable, script, *map(str, words)]
    done = subprocess.run(
        command, check=True, stdout=subprocess.PIPE, text=True, env=os.environ | environment
    )
    turn: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return turn


def peak_mb() -> float:
    """Return the peak memory of this process."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def take_turns(ours: Callable[[], Any], theirs: Callable[[], Any], turns: int) -> Turns:
    """Time both functions in turns."""
    our_times, their_times, ratios = [], [], []
    for _ in range(turns):
        our_result, our_seconds = timed(ours)
        their_result, their_seconds = timed(theirs)
        our_times.append(our_seconds)
        their_times.append(their_seconds)
        ratios.append(their_seconds / our_seconds)
    return Turns(
        statistics.median(our_times),
        statistics.median(their_times),
        ratios,
        our_result,
        their_result,
    )


def timed(call: Callable[[], Any]) -> tuple[Any, float]:
    """Return the result of a call and its seconds."""
    start = time.perf_counter()
    result = call()
    return result, time.perf_counter() - start
