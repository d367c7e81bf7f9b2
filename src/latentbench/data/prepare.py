"""The stage `prepare`: decode images in parallel into uint8 arrays.

Memory use does not grow with the number of images.
"""

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
from latentbench.data.decode import ResizeSpec, resize_to_square
from latentbench.data.prepared import FORMAT
from latentbench.data.sources import SOURCES, RawDataset, Reader, Split
from latentbench.errors import ArtifactError, DataError
from latentbench.rng import numpy_generator

Rows = np.ndarray[Any, np.dtype[np.int64]]

IMAGES_PER_TASK = 64
QUEUED_TASKS = 4  # per worker; few, so that memory use stays constant


def prepare_dataset(
    config: DatasetConfig,
    raw: Path,
    output: Path,
    *,
    record: Path | None = None,
    workers: int | None = None,
) -> None:
    """Decode a dataset into arrays and write dataset.json after all of them.

    The arrays do not depend on the number of workers.

    Args:
        config: The resolved dataset.
        raw: data/raw/DATASET.
        output: data/prepared/DATASET.
        record: The provenance record to write.
        workers: Number of decoding processes; None is one per usable core.

    Raises:
        ArtifactError, DataError, StorageError
    """
    contents = _open_raw(config, raw)
    dataset = config.dataset
    spec = ResizeSpec(dataset.image_size, dataset.channels, dataset.crop, dataset.pad)
    manifest = output / DATASET_MANIFEST
    manifest.unlink(missing_ok=True)  # from here on the folder is incomplete
    splits: dict[str, Split] = {}
    for name in SPLITS:
        splits[name] = getattr(contents, name)
        if len(splits[name].references) == 0:
            raise DataError(
                f"Dataset {config.name!r} has no images for its {name} split; add some or raise "
                "test_fraction."
            )
    references = {name: split.references for name, split in splits.items()}
    job = _DecodeJob(contents.reader, references, spec, skip=contents.skip_undecodable)
    written, skipped = _write_splits(job, splits, output, workers or num_usable_cores())
    for reference in skipped:
        log(f"Skipped, because it cannot be decoded: {reference}")
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
            **written,
            "skipped": skipped,
            "settings": dataset.preparation(),
            "digest": _digest(written),
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


def num_usable_cores() -> int:
    """Return the number of cores that this process may run on."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _open_raw(config: DatasetConfig, raw: Path) -> RawDataset:
    """Return the fetched dataset, with at most `max_train_images` training images."""
    fetched = read_json(raw / SOURCE_MANIFEST)
    dataset = config.dataset
    if fetched.get("source") != dataset.source:
        raise ArtifactError(
            f"{raw} has files of {fetched.get('source')}, but {config.name!r} is {dataset.source}; "
            "fetch it again."
        )
    contents = SOURCES[dataset.source].open(dataset, raw, fetched)
    train = contents.train
    max_images = dataset.max_train_images
    if max_images is not None and max_images < len(train.references):
        order = numpy_generator(dataset.seed, "training share").permutation(len(train.references))
        contents = replace(contents, train=train.subset(np.sort(order[:max_images])))
    return contents


def _write_splits(
    job: _DecodeJob, splits: dict[str, Split], output: Path, num_workers: int
) -> tuple[dict[str, dict[str, Any]], list[str]]:
    """Decode and write both splits; return their manifests and the images that were skipped.

    The tasks of both splits are one stream, so no worker waits between them. A finished split is
    hashed in a thread, while the workers decode the other.
    """
    files = {name: _SplitFiles(output, name, split, job.spec) for name, split in splits.items()}
    with (
        ExitStack() as open_files,
        _WorkerPool(job, num_workers) as pool,
        ThreadPoolExecutor(1) as thread,
    ):
        tasks: list[_Task] = []
        for split_files in files.values():
            tasks += split_files.begin(open_files)
        futures = {}
        finished = pool.run(iter(tasks))
        for task, failed in track(finished, "Preparing", total=len(tasks), unit="tasks"):
            split_files = files[task.split]
            if split_files.finish_task(failed):
                futures[task.split] = thread.submit(split_files.close)
        manifests = {name: futures[name].result() for name in SPLITS}
    skipped: list[str] = []
    for name in SPLITS:
        skipped += [str(splits[name].references[index]) for index in sorted(files[name].failed)]
    return manifests, skipped


def _digest(manifests: dict[str, dict[str, Any]]) -> str:
    """Return the SHA-256 of the SHA-256 of all arrays."""
    digest = hashlib.sha256()
    for manifest in manifests.values():
        for key, value in manifest.items():
            if key.endswith("sha256"):
                digest.update(value.encode())
    return digest.hexdigest()


class _SplitFiles:
    """Writes the arrays of one split."""

    def __init__(self, output: Path, name: str, split: Split, spec: ResizeSpec) -> None:
        self.output = output
        self.name = name
        self.split = split
        self.spec = spec
        self.number = len(split.references)
        self.failed: list[int] = []  # indices of images that could not be decoded
        self._num_unfinished = -(-self.number // IMAGES_PER_TASK)  # tasks
        self._images = ExitStack()
        self._partial = Path()

    def begin(self, open_files: ExitStack) -> list[_Task]:
        """Allocate the image array and return the tasks that fill it.

        If `open_files` is closed before this split is, the array is deleted.
        """
        open_files.push(self._images.__exit__)
        write = atomic_write(self.output / images_name(self.name))
        self._partial = self._images.enter_context(write)
        offset = _allocate(self._partial, self.number, self.spec)
        tasks = []
        for start in range(0, self.number, IMAGES_PER_TASK):
            stop = min(start + IMAGES_PER_TASK, self.number)
            tasks.append(_Task(self.name, start, stop, self._partial, offset))
        return tasks

    def finish_task(self, failed: list[int]) -> bool:
        """Count a finished task and its failed images; return whether it was the last one."""
        self.failed += failed
        self._num_unfinished -= 1
        return self._num_unfinished == 0

    def close(self) -> dict[str, Any]:
        """Finish the image array, write labels and attributes, and return the split's manifest."""
        if len(self.failed) == self.number:
            raise DataError(
                f"No image of the {self.name} split can be decoded; check the dataset's files."
            )
        kept = self.split
        if self.failed:
            rows = np.delete(np.arange(self.number), self.failed)
            _keep_rows(self._partial, rows, self.spec)
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


def _allocate(path: Path, number: int, spec: ResizeSpec) -> int:
    """Create an .npy file with its full size, and return the offset of its first image."""
    shape = (number, spec.image_size, spec.image_size, spec.channels)
    with path.open("wb") as file:
        np.lib.format.write_array_header_1_0(
            file, {"descr": "|u1", "fortran_order": False, "shape": shape}
        )
        offset = file.tell()
        size = offset + int(np.prod(shape))
        if hasattr(os, "posix_fallocate"):  # fails on a full disk, before any decoding
            os.posix_fallocate(file.fileno(), 0, size)
        else:
            file.truncate(size)
    return offset


def _keep_rows(path: Path, rows: Rows, spec: ResizeSpec) -> None:
    """Rewrite the array with these images only, block by block."""
    images = np.load(path, mmap_mode="r", allow_pickle=False)
    shortened = path.with_name(f"{path.name}.closed")
    offset = _allocate(shortened, len(rows), spec)
    with shortened.open("r+b") as file:
        file.seek(offset)
        for block in np.array_split(rows, max(1, len(rows) // 1024)):
            file.write(np.ascontiguousarray(images[block]).tobytes())
    shortened.replace(path)


@dataclass(frozen=True)
class _DecodeJob:
    """What every worker gets when it starts."""

    reader: Reader
    references: dict[str, Sequence[Any]]  # by split
    spec: ResizeSpec
    skip: bool  # images that cannot be decoded, instead of failing


@dataclass(frozen=True)
class _Task:
    """Consecutive images of a split, and the file that they are written to."""

    split: str
    start: int
    stop: int
    path: Path
    offset: int


class _WorkerPool:
    """Decoding processes, with a short queue so that memory use stays constant."""

    def __init__(self, job: _DecodeJob, num_workers: int) -> None:
        self.max_queued = QUEUED_TASKS * num_workers
        # A forked worker needs no imports; fork is safe on Linux only.
        context = multiprocessing.get_context("fork" if sys.platform == "linux" else "spawn")
        self._pool = ProcessPoolExecutor(
            num_workers, mp_context=context, initializer=_start_worker, initargs=(job,)
        )

    def __enter__(self) -> _WorkerPool:
        return self

    def __exit__(self, *_: object) -> None:
        self._pool.shutdown(cancel_futures=True)

    def run(self, tasks: Iterator[_Task]) -> Iterator[tuple[_Task, list[int]]]:
        """Yield each task when it is finished, with the indices of images that failed."""
        queued: dict[Future[list[int]], _Task] = {}
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


_job: _DecodeJob  # of this worker process


def _start_worker(job: _DecodeJob) -> None:
    global _job  # noqa: PLW0603
    _job = job


def _decode(task: _Task) -> list[int]:
    """Decode a task's images into its file, and return the indices of those that failed."""
    spec = _job.spec
    shape = (task.stop - task.start, spec.image_size, spec.image_size, spec.channels)
    block = np.zeros(shape, np.uint8)
    failed = []
    for index in range(task.start, task.stop):
        reference = _job.references[task.split][index]
        try:
            block[index - task.start] = resize_to_square(_job.reader.read(reference), spec)
        except (OSError, SyntaxError, ValueError, EOFError, OverflowError) as error:
            if not _job.skip:
                raise DataError(
                    f"{reference} cannot be decoded ({' '.join(str(error).split())}); "
                    "repair or remove it, or set on_error: skip."
                ) from None
            failed.append(index)
    with convert_disk_errors(task.path), task.path.open("r+b") as file:
        file.seek(task.offset + task.start * block[0].nbytes)
        file.write(block.data)
    return failed
