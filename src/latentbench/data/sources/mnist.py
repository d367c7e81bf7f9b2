"""MNIST, Fashion-MNIST and EMNIST: images and labels in the IDX format.

URLs, checksums and class names are torchvision's. The files are not read by torchvision's datasets,
which unpack them on disk.
"""

from __future__ import annotations

import gzip
import io
import math
import zipfile
import zlib
from pathlib import Path
from typing import Any

import numpy as np

from latentbench.config.datasets import EMNISTDataset, MNISTDataset
from latentbench.data.download import OfficialFile, download_file
from latentbench.data.image_archive import ImageArchive
from latentbench.data.sources.base import ArrayReader, RawDataset, Split
from latentbench.errors import DataError

UINT8 = 0x08  # the only element type of these datasets


def parse_idx(data: bytes, *, name: str) -> np.ndarray[Any, np.dtype[np.uint8]]:
    """Return the array of an IDX file; raise DataError if it is truncated or has another format.

    The format is: two zero bytes, the element type, the number of dimensions, each dimension as
    big-endian uint32, the elements.
    """
    dimensions = data[3] if len(data) > 3 else 0
    offset = 4 + 4 * dimensions
    if data[:3] != bytes((0, 0, UINT8)) or len(data) < offset:
        raise DataError(f"{name} is not an IDX file of bytes; fetch it again.")
    shape = tuple(int(size) for size in np.frombuffer(data, ">u4", dimensions, offset=4))
    num_elements = len(data) - offset
    if num_elements != math.prod(shape):
        raise DataError(
            f"{name} has {num_elements} elements instead of {math.prod(shape)}; fetch it again."
        )
    return np.frombuffer(data, np.uint8, offset=offset).reshape(shape)


def _gunzip(data: bytes, *, name: str) -> bytes:
    try:
        return gzip.decompress(data)
    except (OSError, EOFError, zlib.error) as error:
        raise DataError(f"{name} is not a complete gzip file ({error}); fetch it again.") from None


class MNISTSource:
    """MNIST (LeCun et al., 1998) and Fashion-MNIST (Xiao et al., 2017)."""

    def fetch(self, dataset: MNISTDataset, folder: Path) -> dict[str, Any]:
        """Download the four files; return their MD5 and the class names."""
        published = _torchvision_class(dataset.source)
        files = {}
        for name, md5 in published.resources:
            urls = [f"{host}{name}" for host in published.mirrors]
            official = OfficialFile(name, md5, urls)
            files[name] = download_file(
                official, folder, mirror=dataset.mirror, verify=dataset.verify
            )
        # torchvision's classes of MNIST are "0 - zero", "1 - one", …
        class_names = [name.split(" - ")[0] for name in published.classes]
        return {"files": files, "class_names": class_names}

    def open(self, dataset: MNISTDataset, folder: Path, fetched: dict[str, Any]) -> RawDataset:
        """Return the official splits."""

        def read(name: str) -> np.ndarray[Any, np.dtype[np.uint8]]:
            path = folder / name
            return parse_idx(_gunzip(path.read_bytes(), name=str(path)), name=name)

        images = [read(f"{split}-images-idx3-ubyte.gz") for split in ("train", "t10k")]
        labels = [read(f"{split}-labels-idx1-ubyte.gz") for split in ("train", "t10k")]
        return _raw_dataset(images, labels, fetched["class_names"])


class EMNISTSource:
    """EMNIST (Cohen et al., 2017): one archive, whose images are transposed."""

    def fetch(self, dataset: EMNISTDataset, folder: Path) -> dict[str, Any]:
        """Download the archive; return its MD5 and the class names of the chosen split."""
        published = _torchvision_class("emnist")
        official = OfficialFile("gzip.zip", published.md5, [published.url])
        md5 = download_file(official, folder, mirror=dataset.mirror, verify=dataset.verify)
        class_names = list(published.classes_split_dict[dataset.split])
        if "N/A" in class_names:  # torchvision's class 0 of the letters, which are counted from 1
            class_names.remove("N/A")
        return {"files": {"gzip.zip": md5}, "class_names": class_names}

    def open(self, dataset: EMNISTDataset, folder: Path, fetched: dict[str, Any]) -> RawDataset:
        """Return the training and test images of the chosen split, upright."""
        archive = ImageArchive(folder / "gzip.zip")
        paths = {Path(path).name: path for path in archive.file_names()}

        def read(split: str, kind: str) -> np.ndarray[Any, np.dtype[np.uint8]]:
            name = f"emnist-{dataset.split}-{split}-{kind}-ubyte.gz"
            if name not in paths:
                raise DataError(f"{archive.path} has no {name}; fetch it again.")
            try:
                data = archive.read_bytes(paths[name])
            except (zipfile.BadZipFile, zlib.error, io.UnsupportedOperation) as error:
                raise DataError(
                    f"{archive.path} is damaged at {name} ({error}); fetch it again."
                ) from None
            return parse_idx(_gunzip(data, name=name), name=name)

        images = [read(split, "images-idx3").swapaxes(1, 2) for split in ("train", "test")]
        labels = [read(split, "labels-idx1") for split in ("train", "test")]
        if dataset.split == "letters":  # labels start at 1
            labels = [values - 1 for values in labels]
        return _raw_dataset(images, labels, fetched["class_names"])


def _torchvision_class(source: str) -> Any:
    from torchvision import datasets

    return {
        "mnist": datasets.MNIST,
        "fashion_mnist": datasets.FashionMNIST,
        "emnist": datasets.EMNIST,
    }[source]


def _raw_dataset(
    images: list[np.ndarray[Any, np.dtype[np.uint8]]],
    labels: list[np.ndarray[Any, np.dtype[np.uint8]]],
    class_names: list[str],
) -> RawDataset:
    """Return training and test images as one dataset."""
    train_labels, test_labels = (values.astype(np.int64) for values in labels)
    start = len(images[0])  # of the test images
    return RawDataset(
        ArrayReader(np.concatenate(images)),
        Split(range(len(train_labels)), train_labels),
        Split(range(start, start + len(test_labels)), test_labels),
        class_names,
    )
