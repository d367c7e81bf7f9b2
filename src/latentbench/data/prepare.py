"""Decodes a dataset's pictures in parallel into uint8 arrays, in memory that does not grow with their number."""

from __future__ import annotations

import hashlib
import itertools
import multiprocessing
import os
import sys
from collections.abc import Iterator, Sequence
from concurrent.futures import (
    FIRST_COMPLETED,
    Future,
    ProcessPoolExecutor,
    ThreadPoolExecutor,
    wait,
)
from concurrent.futures.process import BrokenProcessPool
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from latentbench.artifacts.dependencies import settings_of
from latentbench.artifacts.files import (
    atomic_write,
    convert_disk_errors,
    file_sha256,
    read_json,
    write_array,
    write_json,
)
from latentbench.artifacts.paths import (
    DATASET_MANIFEST,
    SOURCE_MANIFEST,
    SPLITS,
    attributes_name,
    images_name,
    labels_name,
    prepared_files,
)
from latentbench.artifacts.progress import log, track
from latentbench.artifacts.provenance import ResourceUsage, write_record
from latentbench.config.datasets import DatasetConfig
from latentbench.data.decode import ResizeSpec, to_square
from latentbench.data.prepared import FORMAT
from latentbench.data.sources import SOURCES, RawDataset, Reader, Split
from latentbench.errors import ArtifactError, DataError
from latentbench.rng import numpy_generator

Rows = np.ndarray[Any, np.dtype[np.int64]]

PICTURES_PER_TASK = 64
TASKS_AHEAD = 4  # per worker: enough to keep it busy, few enough to keep memory flat


def prepare_dataset(
    config: DatasetConfig,
    raw: Path,
    output: Path,
    *,
    record: Path | None = None,
    workers: int | None = None,
) -> None:
    """Write the arrays of both splits, then dataset.json, which says that they are whole; to `record`, what made them.

    The arrays do not depend on the number of workers. Raises DataError, ArtifactError and StorageError.
    """
    contents = _open(config, raw)
    dataset = config.dataset
    square = ResizeSpec(dataset.image_size, dataset.channels, dataset.crop, dataset.pad)
    manifest = output / DATASET_MANIFEST
    manifest.unlink(missing_ok=True)  # from here on the folder is not whole
    parts = {name: getattr(contents, name) for name in SPLITS}
    for name, split in parts.items():
        if len(split.references) == 0:
            raise DataError(
                f"Dataset {config.name!r} has no pictures for its {name} split; add some or raise test_fraction."
            )
    work = _Work(
        contents.reader,
        {name: split.references for name, split in parts.items()},
        square,
        skip=contents.skip_undecodable,
    )
    files = {name: _SplitFiles(output, name, split, square) for name, split in parts.items()}
    # Both splits are one stream of tasks, so that no worker waits between them; what is left to do for a split
    # that has come to its end is done in a thread, while the workers decode the next.
    with (
        ExitStack() as open_files,
        _Workers(work, workers or usable_cores()) as pool,
        ThreadPoolExecutor(1) as beside,
    ):
        tasks = [task for split in files.values() for task in split.begin(open_files)]
        closing = {}
        for task, lost in track(pool.run(iter(tasks)), "Preparing", total=len(tasks), unit="tasks"):
            split = files[task.split]
            if split.take(lost):
                closing[task.split] = beside.submit(split.close)
        splits = {name: closing[name].result() for name in SPLITS}
    skipped = [
        str(parts[name].references[index]) for name in SPLITS for index in sorted(files[name].lost)
    ]
    for reference in skipped:
        log(f"Left out, cannot be decoded: {reference}")
    digests = "".join(
        value for split in splits.values() for key, value in split.items() if key.endswith("sha256")
    )
    write_json(
        manifest,
        {
            "format": FORMAT,
            "name": config.name,
            "source": dataset.source,
            "image_size": dataset.image_size,
            "channels": dataset.channels,
            "class_names": contents.class_names,
            "attribute_names": contents.attribute_names,
            **splits,
            "skipped": skipped,
            "settings": dataset.preparation(),
            "digest": hashlib.sha256(digests.encode()).hexdigest(),
        },
    )
    if record is not None:
        names = prepared_files(has_attributes=dataset.has_attributes)
        write_record(
            record,
            "prepare",
            settings=settings_of("prepare", config.model_dump(mode="json")),
            inputs=[raw / SOURCE_MANIFEST],
            outputs=[output / name for name in names],
            cost=ResourceUsage.measure(),
        )


def usable_cores() -> int:
    """Cores that this process may run on, where the system tells."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _open(config: DatasetConfig, raw: Path) -> RawDataset:
    fetched = read_json(raw / SOURCE_MANIFEST)
    dataset = config.dataset
    if fetched.get("source") != dataset.source:
        raise ArtifactError(
            f"{raw} holds {fetched.get('source')}, but {config.name!r} is now {dataset.source}; fetch it again."
        )
    contents = SOURCES[dataset.source].open(dataset, raw, fetched)
    train = contents.train
    most = dataset.max_train_images
    if most is not None and most < len(train.references):
        order = numpy_generator(dataset.seed, "training share").permutation(len(train.references))
        contents = replace(contents, train=train.subset(np.sort(order[:most])))
    return contents


class _SplitFiles:
    """The arrays of one split, from the space taken for its images to its part of the manifest."""

    def __init__(self, output: Path, name: str, split: Split, square: ResizeSpec) -> None:
        self.output = output
        self.name = name
        self.split = split
        self.square = square
        self.number = len(split.references)
        self.unfinished = -(-self.number // PICTURES_PER_TASK)
        self.lost: list[int] = []
        self._images = ExitStack()
        self._partial = Path()

    def begin(self, open_files: ExitStack) -> list[_Task]:
        """Take the images' space, given up again by `open_files` unless `close` is reached; the tasks that fill it."""
        open_files.push(self._images.__exit__)
        self._partial = self._images.enter_context(
            atomic_write(self.output / images_name(self.name))
        )
        offset = _allocate(self._partial, self.number, self.square)
        return [
            _Task(
                self.name, start, min(start + PICTURES_PER_TASK, self.number), self._partial, offset
            )
            for start in range(0, self.number, PICTURES_PER_TASK)
        ]

    def take(self, lost: list[int]) -> bool:
        """Note which pictures of a finished task could not be decoded; whether that was the last task."""
        self.lost += lost
        self.unfinished -= 1
        return self.unfinished == 0

    def close(self) -> dict[str, Any]:
        """Put the images in their place and write what goes with them; the split's part of the manifest."""
        if len(self.lost) == self.number:
            raise DataError(
                f"No picture of the {self.name} split can be decoded; check the dataset's files."
            )
        kept = self.split
        if self.lost:
            rows = np.delete(np.arange(self.number), self.lost)
            _close_gaps(self._partial, rows, self.square)
            kept = kept.subset(rows)
        self._images.close()
        write_array(self.output / labels_name(self.name), kept.labels)
        written = {
            "num_images": len(kept.labels),
            "images_sha256": file_sha256(self.output / images_name(self.name)),
            "labels_sha256": file_sha256(self.output / labels_name(self.name)),
        }
        if kept.attributes is not None:
            write_array(self.output / attributes_name(self.name), kept.attributes)
            written["attributes_sha256"] = file_sha256(self.output / attributes_name(self.name))
        return written


def _allocate(path: Path, number: int, square: ResizeSpec) -> int:
    """Make an .npy file of the right shape, its space taken; where its first image begins."""
    shape = (number, square.image_size, square.image_size, square.channels)
    with path.open("wb") as file:
        np.lib.format.write_array_header_1_0(
            file, {"descr": "|u1", "fortran_order": False, "shape": shape}
        )
        begin = file.tell()
        if hasattr(os, "posix_fallocate"):  # a full disk is met here, before an hour of decoding
            os.posix_fallocate(file.fileno(), 0, begin + int(np.prod(shape)))
        else:
            file.truncate(begin + int(np.prod(shape)))
    return begin


def _close_gaps(path: Path, rows: Rows, square: ResizeSpec) -> None:
    """Rewrite the array with these images alone, block by block; the others were never written."""
    images = np.load(path, mmap_mode="r", allow_pickle=False)
    beside = path.with_name(f"{path.name}.closed")
    offset = _allocate(beside, len(rows), square)
    with beside.open("r+b") as file:
        file.seek(offset)
        for block in np.array_split(rows, max(1, len(rows) // 1024)):
            file.write(np.ascontiguousarray(images[block]).tobytes())
    beside.replace(path)


@dataclass(frozen=True)
class _Work:
    """What a worker knows from its start."""

    reader: Reader
    references: dict[str, Sequence[Any]]  # by split
    square: ResizeSpec
    skip: bool


@dataclass(frozen=True)
class _Task:
    """A run of a split's pictures, and where in the file they go."""

    split: str
    start: int
    stop: int
    path: Path
    offset: int


class _Workers:
    """Processes that decode, with so few tasks handed out at a time that memory stays flat."""

    def __init__(self, work: _Work, number: int) -> None:
        self.work = work
        self.tasks_ahead = TASKS_AHEAD * number
        # fork spares each worker the imports; elsewhere than on Linux it is not safe.
        context = multiprocessing.get_context("fork" if sys.platform == "linux" else "spawn")
        self._pool = ProcessPoolExecutor(
            number, mp_context=context, initializer=_begin, initargs=(work,)
        )

    def __enter__(self) -> _Workers:
        return self

    def __exit__(self, *_: object) -> None:
        self._pool.shutdown(cancel_futures=True)

    def run(self, tasks: Iterator[_Task]) -> Iterator[tuple[_Task, list[int]]]:
        """Each task as it comes to its end, and which of its pictures could not be decoded."""
        waiting: dict[Future[list[int]], _Task] = {}
        try:
            while True:
                for task in itertools.islice(tasks, self.tasks_ahead - len(waiting)):
                    waiting[self._pool.submit(_decode, task)] = task
                if not waiting:
                    return
                for future in wait(waiting, return_when=FIRST_COMPLETED).done:
                    yield waiting.pop(future), future.result()
        except BrokenProcessPool:
            raise DataError(
                "A process that decodes pictures was killed, perhaps for memory; run again with fewer --workers."
            ) from None


_work: _Work  # a worker's own, set when it starts


def _begin(work: _Work) -> None:
    global _work  # noqa: PLW0603
    _work = work


def _decode(task: _Task) -> list[int]:
    """Decode a run of pictures and write them to their place; which of them could not be."""
    square = _work.square
    block = np.zeros(
        (task.stop - task.start, square.image_size, square.image_size, square.channels), np.uint8
    )
    lost = []
    for index in range(task.start, task.stop):
        reference = _work.references[task.split][index]
        try:
            block[index - task.start] = to_square(_work.reader.read(reference), square)
        except (OSError, SyntaxError, ValueError, EOFError, OverflowError) as error:
            if not _work.skip:
                raise DataError(
                    f"{reference} cannot be decoded ({' '.join(str(error).split())}); "
                    "repair or remove it, or set on_error: skip."
                ) from None
            lost.append(index)
    with convert_disk_errors(task.path), task.path.open("r+b") as file:
        file.seek(task.offset + task.start * block[0].nbytes)
        file.write(block.data)
    return lost
