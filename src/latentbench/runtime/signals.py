"""Handling of SIGTERM, which schedulers send before a time limit and on preemption."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager


class StopRequest:
    """Whether SIGTERM has arrived."""

    is_set = False


@contextmanager
def stop_on_sigterm() -> Iterator[StopRequest]:
    """Record SIGTERM within the block instead of ending the process.

    Python handles signals in the main thread only; in another thread the signal ends the process.
    """
    request = StopRequest()
    if threading.current_thread() is not threading.main_thread():
        yield request
        return

    def record(*_: object) -> None:
        request.is_set = True

    previous = signal.signal(signal.SIGTERM, record)
    try:
        yield request
    finally:
        signal.signal(signal.SIGTERM, previous)
