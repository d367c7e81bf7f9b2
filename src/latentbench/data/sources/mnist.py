"""MNIST, Fashion-MNIST and EMNIST: pictures and labels in LeCun's idx format."""

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

UINT8 = 0x08  # the only element type that these sets use


def parse_idx(data: bytes, *, name: str) -> np.ndarray[Any, np.dtype[np.uint8]]:
    """An idx file: two zero bytes, the type, the number of dimensions, each as big-endian uint32, the elements.

    Raises DataError where the file is cut off or is something else.
    """
    dimensions = data[3] if len(data) > 3 else 0
    begin = 4 + 4 * dimensions
    if data[:3] != bytes((0, 0, UINT8)) or len(data) < begin:
        raise DataError(f"{name} is not an idx file of bytes; fetch it again.")
    shape = tuple(int(size) for size in np.frombuffer(data, ">u4", dimensions, offset=4))
    if len(data) - begin != math.prod(shape):
        raise DataError(
            f"{name} holds {len(data) - begin} elements instead of {math.prod(shape)}; fetch it again."
        )
    return np.frombuffer(data, np.uint8, offset=begin).reshape(shape)


def _gunzip(data: bytes, *, name: str) -> bytes:
    try:
        return gzip.decompress(data)
    except (OSError, EOFError, zlib.error) as error:
        raise DataError(f"{name} is not a whole gzip file ({error}); fetch it again.") from None


class MNISTSource:
    """LeCun et al. (1998) and Xiao et al. (2017), from the hosts that torchvision knows."""

    def fetch(self, dataset: MNISTDataset, folder: Path) -> dict[str, Any]:
        published = _torchvision_class(dataset.source)
        files = {}
        for name, md5 in published.resources:
            urls = [f"{host}{name}" for host in published.mirrors]
            official = OfficialFile(name, md5, urls)
            files[name] = download_file(
                official, folder, mirror=dataset.mirror, verify=dataset.verify
            )
        return {"files": files, "class_names": _class_names(published.classes)}

    def open(self, dataset: MNISTDataset, folder: Path, fetched: dict[str, Any]) -> RawDataset:  # noqa: ARG002
        def read(name: str) -> np.ndarray[Any, np.dtype[np.uint8]]:
            return parse_idx(
                _gunzip((folder / name).read_bytes(), name=str(folder / name)), name=name
            )

        images = [read(f"{split}-images-idx3-ubyte.gz") for split in ("train", "t10k")]
        labels = [read(f"{split}-labels-idx1-ubyte.gz") for split in ("train", "t10k")]
        return _contents(images, labels, fetched["class_names"])


class EMNISTSource:
    """Cohen et al. (2017): one archive for all splits, its pictures stored with rows and columns exchanged."""

    def fetch(self, dataset: EMNISTDataset, folder: Path) -> dict[str, Any]:
        published = _torchvision_class("emnist")
        official = OfficialFile("gzip.zip", published.md5, [published.url])
        md5 = download_file(official, folder, mirror=dataset.mirror, verify=dataset.verify)
        class_names = published.classes_split_dict[dataset.split]
        return {"files": {"gzip.zip": md5}, "class_names": [n for n in class_names if n != "N/A"]}

    def open(self, dataset: EMNISTDataset, folder: Path, fetched: dict[str, Any]) -> RawDataset:
        store = ImageArchive(folder / "gzip.zip")
        names = {Path(name).name: name for name in store.names()}

        def read(split: str, kind: str) -> np.ndarray[Any, np.dtype[np.uint8]]:
            name = f"emnist-{dataset.split}-{split}-{kind}-ubyte.gz"
            if name not in names:
                raise DataError(f"{store.path} has no {name}; fetch it again.")
            try:
                data = store.bytes(names[name])
            except (zipfile.BadZipFile, zlib.error, io.UnsupportedOperation) as error:
                raise DataError(
                    f"{store.path} is damaged at {name} ({error}); fetch it again."
                ) from None
            return parse_idx(_gunzip(data, name=name), name=name)

        images = [read(split, "images-idx3").swapaxes(1, 2) for split in ("train", "test")]
        labels = [read(split, "labels-idx1") for split in ("train", "test")]
        if dataset.split == "letters":  # counted from 1
            labels = [values - 1 for values in labels]
        return _contents(images, labels, fetched["class_names"])


def _torchvision_class(source: str) -> Any:
    from torchvision import datasets

    return {
        "mnist": datasets.MNIST,
        "fashion_mnist": datasets.FashionMNIST,
        "emnist": datasets.EMNIST,
    }[source]


def _class_names(classes: list[str]) -> list[str]:
    """torchvision writes MNIST's as '0 - zero'."""
    return [name.split(" - ")[0] for name in classes]


def _contents(
    images: list[np.ndarray[Any, np.dtype[np.uint8]]],
    labels: list[np.ndarray[Any, np.dtype[np.uint8]]],
    class_names: list[str],
) -> RawDataset:
    begin = len(images[0])
    splits = [
        Split(range(start, start + len(values)), values.astype(np.int64))
        for start, values in zip((0, begin), labels, strict=True)
    ]
    train, test = splits
    return RawDataset(ArrayReader(np.concatenate(images)), train, test, class_names)
