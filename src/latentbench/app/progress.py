"""The progress of inversions that run in a thread and can be cancelled."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from threading import Event


class Cancelled(Exception):
    """The user cancelled, or started something else."""


class Inversions:
    """Counts the steps of several inversions, which all run in one thread.

    Another thread reads `fraction` and `current`, and may call `cancel`.
    """

    def __init__(self, total: int) -> None:
        self.total = total
        self.done = 0
        self.current = ""
        self._cancelled = Event()

    @property
    def fraction(self) -> float:
        """The share of all steps that are done, in [0, 1]."""
        return min(1.0, self.done / max(1, self.total))

    def require_not_cancelled(self) -> None:
        """Raise Cancelled after `cancel`."""
        if self.is_cancelled:
            raise Cancelled

    def cancel(self) -> None:
        """Stop before the next step; what comes before the first one is not interrupted."""
        self._cancelled.set()

    @property
    def is_cancelled(self) -> bool:
        """Whether `cancel` was called."""
        return self._cancelled.is_set()

    def track(self, steps: Iterable[int]) -> Iterator[int]:
        """Yield steps and count them; raise Cancelled after `cancel`."""
        for step in steps:
            self.require_not_cancelled()
            yield step
            self.done += 1
