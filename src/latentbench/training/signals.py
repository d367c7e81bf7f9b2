"""SIGTERM, as schedulers send it before a time limit or on preemption: finish the step, keep the state."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager


class StopRequest:
    """Whether the process was asked to end."""

    asked = False


@contextmanager
def stop_on_sigterm() -> Iterator[StopRequest]:
    """Within, SIGTERM is only noted. Threads other than the main one cannot listen, and end as the system ends them."""
    interruption = StopRequest()
    if threading.current_thread() is not threading.main_thread():
        yield interruption
        return

    def note(*_: object) -> None:
        interruption.asked = True

    before = signal.signal(signal.SIGTERM, note)
    try:
        yield interruption
    finally:
        signal.signal(signal.SIGTERM, before)
