"""CIFAR-10 (Krizhevsky, 2009) from its binary version, because the Python version is pickled."""

from __future__ import annotations

import tarfile
import zlib
from pathlib import Path
from typing import Any

import numpy as np

from latentbench.config.datasets import CIFAR10Dataset
from latentbench.data.download import OfficialFile, download_file
from latentbench.data.sources.base import ArrayReader, RawDataset, Split
from latentbench.errors import DataError

ARCHIVE = OfficialFile(
    "cifar-10-binary.tar.gz",
    "c32a1d4ab5d03f1284b67883e8d87530",
    ["https://www.cs.toronto.edu/~kriz/cifar-10-binary.tar.gz"],
)
RECORD = 1 + 3 * 32 * 32  # a label, then the red, green and blue planes
BATCHES = {
    "train": [f"data_batch_{number}.bin" for number in range(1, 6)],
    "test": ["test_batch.bin"],
}


class CIFAR10Source:
    def fetch(self, dataset: CIFAR10Dataset, folder: Path) -> dict[str, Any]:
        md5 = download_file(ARCHIVE, folder, mirror=dataset.mirror, verify=dataset.verify)
        return {"files": {ARCHIVE.name: md5}}

    def open(self, dataset: CIFAR10Dataset, folder: Path, fetched: dict[str, Any]) -> RawDataset:  # noqa: ARG002
        members = _read_members(folder / ARCHIVE.name)
        splits: list[Split] = []
        images: list[np.ndarray[Any, np.dtype[np.uint8]]] = []
        for names in BATCHES.values():
            records = np.concatenate([_records(members, name) for name in names])
            start = sum(len(planes) for planes in images)
            splits.append(Split(range(start, start + len(records)), records[:, 0].astype(np.int64)))
            images.append(records[:, 1:].reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1))
        class_names = members["batches.meta.txt"].decode().split()
        train, test = splits
        return RawDataset(ArrayReader(np.concatenate(images)), train, test, class_names)


def _read_members(path: Path) -> dict[str, bytes]:
    """The archive's files by their last name, read in memory: nothing is extracted."""
    try:
        with tarfile.open(path) as archive:
            files = ((member, archive.extractfile(member)) for member in archive if member.isfile())
            return {
                Path(member.name).name: file.read() for member, file in files if file is not None
            }
    except (tarfile.TarError, EOFError, OSError, zlib.error) as error:
        raise DataError(f"{path} is not a whole archive ({error}); fetch it again.") from None


def _records(members: dict[str, bytes], name: str) -> np.ndarray[Any, np.dtype[np.uint8]]:
    data = members.get(name, b"")
    if not data or len(data) % RECORD:
        raise DataError(f"{ARCHIVE.name} has no whole {name}; fetch it again.")
    return np.frombuffer(data, np.uint8).reshape(-1, RECORD)
