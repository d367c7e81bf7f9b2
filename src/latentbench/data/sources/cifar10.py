"""CIFAR-10 (Krizhevsky, 2009) from its binary version.

torchvision has the URL and MD5 of the Python version only, which is pickled.
"""

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
RECORD = 1 + 3 * 32 * 32  # bytes: the label, then the red, green and blue channels
BATCHES = {
    "train": [f"data_batch_{number}.bin" for number in range(1, 6)],
    "test": ["test_batch.bin"],
}


class CIFAR10Source:
    """CIFAR-10 from a mirror or the official host."""

    def fetch(self, dataset: CIFAR10Dataset, folder: Path) -> dict[str, Any]:
        """Download the archive and return its MD5."""
        md5 = download_file(ARCHIVE, folder, mirror=dataset.mirror, verify=dataset.verify)
        return {"files": {ARCHIVE.name: md5}}

    def open(self, dataset: CIFAR10Dataset, folder: Path, fetched: dict[str, Any]) -> RawDataset:
        """Return the official splits."""
        members = _read_members(folder / ARCHIVE.name)
        train = np.concatenate([_read_batch(members, name) for name in BATCHES["train"]])
        test = np.concatenate([_read_batch(members, name) for name in BATCHES["test"]])
        records = np.concatenate([train, test])
        labels = records[:, 0].astype(np.int64)
        images = records[:, 1:].reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1)
        return RawDataset(
            ArrayReader(images),
            Split(range(len(train)), labels[: len(train)]),
            Split(range(len(train), len(records)), labels[len(train) :]),
            members["batches.meta.txt"].decode().split(),
        )


def _read_members(path: Path) -> dict[str, bytes]:
    """Return the content of the archive's files by name, without extracting them to disk."""
    members = {}
    try:
        with tarfile.open(path) as archive:
            for member in archive:
                file = archive.extractfile(member) if member.isfile() else None
                if file is not None:
                    members[Path(member.name).name] = file.read()
    except (tarfile.TarError, EOFError, OSError, zlib.error) as error:
        raise DataError(f"{path} is not a complete archive ({error}); fetch it again.") from None
    return members


def _read_batch(members: dict[str, bytes], name: str) -> np.ndarray[Any, np.dtype[np.uint8]]:
    """Return the records of a batch, uint8 (number, RECORD)."""
    data = members.get(name, b"")
    if not data or len(data) % RECORD:
        raise DataError(f"{ARCHIVE.name} has no complete {name}; fetch it again.")
    return np.frombuffer(data, np.uint8).reshape(-1, RECORD)
