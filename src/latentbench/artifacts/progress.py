"""Progress on standard error: a bar on a terminal, lines in a log file."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterable, Iterator, Sized
from typing import TypeVar

from latentbench.errors import printable

T = TypeVar("T")

_SECONDS_BETWEEN_LINES = 10.0


def log(line: str) -> None:
    """Write a line to standard error, control characters as escapes.

    Standard output is for results.
    """
    print(printable(line), file=sys.stderr, flush=True)


def track(
    items: Iterable[T], description: str, *, total: int | None = None, unit: str = "it"
) -> Iterator[T]:
    """Iterate over `items` and show the progress."""
    if total is None and isinstance(items, Sized):
        total = len(items)
    if sys.stderr.isatty():
        from tqdm import tqdm

        yield from tqdm(items, desc=description, total=total, unit=unit, leave=False)
        return
    start = last = time.monotonic()
    for count, item in enumerate(items, start=1):
        yield item
        now = time.monotonic()
        if now - last >= _SECONDS_BETWEEN_LINES:
            last = now
            of_total = f" of {total}" if total is not None else ""
            log(f"{description}: {count}{of_total} {unit}, {now - start:.0f} s")
