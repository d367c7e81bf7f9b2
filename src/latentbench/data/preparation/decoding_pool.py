"""Decode images in parallel processes, with memory use that does not grow with their number."""

from __future__ import annotations

import itertools
import multiprocessing
import os
import sys
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from latentbench.artifacts.files import convert_disk_errors
from latentbench.data.preparation.decode import FormatFacts
from latentbench.data.preparation.image_decoder import ImageDecoder
from latentbench.data.preparation.resize_spec import ResizeSpec
from latentbench.data.sources import Reader
from latentbench.errors import DataError, ImageError

QUEUED_TASKS = 4  # per worker; few, so that memory use stays constant


@dataclass(frozen=True)
class DecodeJob:
    """What every worker gets when it starts."""

    reader: Reader
    references: dict[str, Sequence[Any]]  # by split
    spec: ResizeSpec
    skip: bool  # images that cannot be decoded, instead of failing


@dataclass(frozen=True)
class DecodeTask:
    """Consecutive images of a split, and the file that they are written to."""

    split: str
    start: int
    stop: int
    path: Path
    offset: int


@dataclass(frozen=True)
class DecodedTask:
    """What came of a task.

    `failed` has what is wrong with each image that was skipped, by index.
    """

    failed: dict[int, str]
    facts: FormatFacts


class DecodingPool:
    """Decoding processes, with a short queue so that memory use stays constant."""

    def __init__(self, job: DecodeJob, num_workers: int) -> None:
        self.max_queued = QUEUED_TASKS * num_workers
        # A forked worker needs no imports; fork is safe on Linux only.
        context = multiprocessing.get_context("fork" if sys.platform == "linux" else "spawn")
        self._pool = ProcessPoolExecutor(
            num_workers, mp_context=context, initializer=_start_worker, initargs=(job,)
        )

    def __enter__(self) -> DecodingPool:
        return self

    def __exit__(self, *_: object) -> None:
        self._pool.shutdown(cancel_futures=True)

    def run(self, tasks: Iterator[DecodeTask]) -> Iterator[tuple[DecodeTask, DecodedTask]]:
        """Yield each task when it is finished, with what came of it."""
        queued: dict[Future[DecodedTask], DecodeTask] = {}
        try:
            while True:
                for task in itertools.islice(tasks, self.max_queued - len(queued)):
                    queued[self._pool.submit(_decode, task)] = task
                if not queued:
                    return
                for future in wait(queued, return_when=FIRST_COMPLETED).done:
                    yield queued.pop(future), future.result()
        except BrokenProcessPool:
            raise DataError(
                "A decoding process was killed, perhaps for lack of memory; run again with fewer "
                "--workers."
            ) from None


_job: DecodeJob  # of this worker process


def _start_worker(job: DecodeJob) -> None:
    global _job  # noqa: PLW0603
    _job = job
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    """Wait for the parent and end this process: a worker whose parent was killed gets no tasks."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


def _decode(task: DecodeTask) -> DecodedTask:
    """Decode a task's images into its file."""
    spec = _job.spec
    decoder = ImageDecoder(_job.reader, spec)
    shape = (task.stop - task.start, spec.image_size, spec.image_size, spec.channels)
    block = np.zeros(shape, np.uint8)
    failed = {}
    for index in range(task.start, task.stop):
        reference = _job.references[task.split][index]
        try:
            block[index - task.start] = decoder.decode(reference)
        except ImageError as error:
            if not _job.skip:
                message = str(error).removesuffix(".")
                raise DataError(f"{message}, or set on_error: skip.") from None
            failed[index] = error.kind
    with convert_disk_errors(task.path), task.path.open("r+b") as file:
        file.seek(task.offset + task.start * block[0].nbytes)
        file.write(block.data)
    return DecodedTask(failed, decoder.facts)


def num_usable_cores() -> int:
    """Return the number of cores that this process may run on."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
