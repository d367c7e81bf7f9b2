"""CIFAR-10 (Krizhevsky, 2009) from its binary version.

torchvision has the URL and MD5 of the Python version only, which is pickled.
"""

from __future__ import annotations

import tarfile
from pathlib import Path, PurePosixPath
from typing import Any, ClassVar

import numpy as np

from latentbench.config.datasets import CIFAR10Dataset
from latentbench.data.download import OfficialFile, download_file
from latentbench.data.raw_files import (
    REMEDY,
    check_compression,
    convert_damage,
    decode_text,
)
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
CLASS_NAMES = "batches.meta.txt"
MEMBERS = {*BATCHES["train"], *BATCHES["test"], CLASS_NAMES}


class CIFAR10Source:
    """CIFAR-10 from a mirror or the official host."""

    entries: ClassVar[dict[str, type]] = {}

    def fetch(self, dataset: CIFAR10Dataset, folder: Path) -> dict[str, Any]:
        """Download the archive and return its MD5."""
        md5 = download_file(ARCHIVE, folder, mirror=dataset.mirror, verify=dataset.verify)
        return {"files": {ARCHIVE.name: md5}}

    def open(self, dataset: CIFAR10Dataset, folder: Path, fetched: dict[str, Any]) -> RawDataset:
        """Return the official splits."""
        path = folder / ARCHIVE.name
        members = _read_members(path)
        train = np.concatenate([_read_batch(members, name, path) for name in BATCHES["train"]])
        test = np.concatenate([_read_batch(members, name, path) for name in BATCHES["test"]])
        records = np.concatenate([train, test])
        labels = records[:, 0].astype(np.int64)
        images = records[:, 1:].reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1)
        return RawDataset(
            ArrayReader(images),
            Split(range(len(train)), labels[: len(train)]),
            Split(range(len(train), len(records)), labels[len(train) :]),
            _class_names(members, path),
        )


def _read_members(path: Path) -> dict[str, bytes]:
    """Return the content of the dataset's files by name, without extracting them to disk."""
    members: dict[str, bytes] = {}
    with convert_damage(path):
        if not tarfile.is_tarfile(path):
            raise tarfile.ReadError("not a tar archive")
    with convert_damage(path), tarfile.open(path) as archive:
        for member in archive:
            if member.size < 0:  # tarfile would read the members before it again, without end
                raise tarfile.ReadError("negative size")
            name = PurePosixPath(member.name).name
            file = archive.extractfile(member) if name in MEMBERS and member.isfile() else None
            if file is None or member.issparse():
                continue
            if name in members:
                raise DataError(f"{path} has two files {name}; {REMEDY}.")
            check_compression(member.size, path.stat().st_size, where=f"{path}, {name}")
            members[name] = file.read()
    return members


def _read_batch(
    members: dict[str, bytes], name: str, path: Path
) -> np.ndarray[Any, np.dtype[np.uint8]]:
    """Return the records of a batch, uint8 (number, RECORD)."""
    data = members.get(name, b"")
    if not data or len(data) % RECORD:
        raise DataError(f"{path} has no complete {name}; {REMEDY}.")
    return np.frombuffer(data, np.uint8).reshape(-1, RECORD)


def _class_names(members: dict[str, bytes], path: Path) -> list[str]:
    """Return the names of the classes, which are the lines of a file."""
    text = decode_text(members.get(CLASS_NAMES, b""), where=f"{path}, {CLASS_NAMES}")
    lines = [line.strip() for line in text.splitlines()]
    names = [line for line in lines if line]
    if not names:
        raise DataError(f"{path} has no {CLASS_NAMES} with the names of its classes; {REMEDY}.")
    return names
