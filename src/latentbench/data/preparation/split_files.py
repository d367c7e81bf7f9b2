"""Write the arrays of a split while its images are decoded."""

from __future__ import annotations

import os
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np

from latentbench.artifacts.files import atomic_write, file_sha256, write_array
from latentbench.artifacts.paths import attributes_name, images_name, labels_name
from latentbench.data.preparation.decode import FormatFacts
from latentbench.data.preparation.decoding_pool import DecodedTask, DecodeTask
from latentbench.data.preparation.resize_spec import ResizeSpec
from latentbench.data.sources import Split
from latentbench.errors import DataError

Rows = np.ndarray[Any, np.dtype[np.int64]]

IMAGES_PER_TASK = 64


class SplitFiles:
    """Writes the arrays of one split."""

    def __init__(self, output: Path, name: str, split: Split, spec: ResizeSpec) -> None:
        self.output = output
        self.name = name
        self.split = split
        self.spec = spec
        self.number = len(split.references)
        self.failed: dict[int, str] = {}  # what is wrong with images that were skipped, by index
        self.facts = FormatFacts()
        self._num_unfinished = -(-self.number // IMAGES_PER_TASK)  # tasks
        self._images = ExitStack()
        self._partial = Path()

    def begin(self, open_files: ExitStack) -> list[DecodeTask]:
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
            tasks.append(DecodeTask(self.name, start, stop, self._partial, offset))
        return tasks

    def finish_task(self, decoded: DecodedTask) -> bool:
        """Count a finished task and its failed images; return whether it was the last one."""
        self.failed |= decoded.failed
        self.facts = self.facts.merge(decoded.facts)
        self._num_unfinished -= 1
        return self._num_unfinished == 0

    def close(self) -> dict[str, Any]:
        """Finish the image array, write labels and attributes, and return the split's manifest."""
        if len(self.failed) == self.number:
            kinds = ", ".join(sorted(set(self.failed.values())))
            raise DataError(
                f"No image of the {self.name} split can be decoded ({kinds}); check the dataset's "
                "files."
            )
        if self.failed:
            rows = np.delete(np.arange(self.number), sorted(self.failed))
            _keep_rows(self._partial, rows, self.spec)
            self.split = self.split.subset(rows)
        kept = self.split
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
