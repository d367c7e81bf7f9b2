"""What benchmarks share: arguments, threads, and one side's turn after the other's, here or in a process of its own."""

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
    """Median seconds of both sides, the ratios (theirs over ours) of each turn, and the last results."""

    ours_s: float
    theirs_s: float
    ratios: list[float]
    ours: Any
    theirs: Any

    def __str__(self) -> str:
        return f"ratio {statistics.median(self.ratios):.1f} ({min(self.ratios):.1f} to {max(self.ratios):.1f})"


def read_arguments(about: str | None, *, threads: int) -> argparse.Namespace:
    """Of a benchmark on features; linear algebra is imported after this, because it reads its threads only then."""
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
    """Of a benchmark whose turns are processes of their own: it calls itself with those that are not told of."""
    parser.add_argument("--turns", type=int, default=turns)
    parser.add_argument("--threads", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--turn-of", choices=[*sides], help=argparse.SUPPRESS)
    parser.add_argument("--root", type=Path, help=argparse.SUPPRESS)


def run_turn(script: str, *words: object, **environment: str) -> dict[str, Any]:
    """What the script, called with these words, prints as JSON in its last line."""
    command = [sys.executable, script, *map(str, words)]
    done = subprocess.run(
        command, check=True, stdout=subprocess.PIPE, text=True, env=os.environ | environment
    )
    turn: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return turn


def peak_mb() -> float:
    """Memory that this process had at most."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def take_turns(ours: Callable[[], Any], theirs: Callable[[], Any], turns: int) -> Turns:
    pairs = [(timed(ours), timed(theirs)) for _ in range(turns)]
    our_times, their_times = ([side[1] for side in sides] for sides in zip(*pairs, strict=True))
    ratios = [theirs_s / ours_s for ours_s, theirs_s in zip(our_times, their_times, strict=True)]
    (our_result, _), (their_result, _) = pairs[-1]
    return Turns(
        statistics.median(our_times),
        statistics.median(their_times),
        ratios,
        our_result,
        their_result,
    )


def timed(call: Callable[[], Any]) -> tuple[Any, float]:
    start = time.perf_counter()
    result = call()
    return result, time.perf_counter() - start
