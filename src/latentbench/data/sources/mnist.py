"""MNIST, Fashion-MNIST and EMNIST: images and labels in the IDX format.

URLs, checksums and class names are torchvision's. The files are not read by torchvision's datasets,
which unpack them on disk.
"""

from __future__ import annotations

import gzip
import io
import math
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from latentbench.config.datasets import EMNISTDataset, MNISTDataset
from latentbench.data.download import OfficialFile, download_file
from latentbench.data.image_archive import ImageArchive, path_parts
from latentbench.data.raw_files import REMEDY, check_compression, convert_damage
from latentbench.data.sources.base import ArrayReader, RawDataset, Split
from latentbench.errors import DataError

UINT8 = 0x08  # the only element type of these datasets
CHUNK_BYTES = 1 << 20
# Images are (number, height, width), and may have a dimension for color.
_DIMENSIONS = {"images-idx3": (3, 4), "labels-idx1": (1,)}

Array = np.ndarray[Any, np.dtype[np.uint8]]


def read_idx(data: bytes, *, where: object, dimensions: tuple[int, ...]) -> Array:
    """Return the array of a gzipped IDX file.

    The format is: two zero bytes, the element type, the number of dimensions, each dimension as
    big-endian uint32, the elements. No more than the announced elements are unpacked.

    Args:
        data: The content of the file.
        where: Its path, for messages.
        dimensions: The numbers of dimensions that it may have.

    Raises:
        DataError: The file is damaged, no IDX file, or has another number of dimensions.
    """
    with convert_damage(where), gzip.GzipFile(fileobj=io.BytesIO(data)) as file:
        magic = file.read(4)
        if len(magic) != 4 or magic[:3] != bytes((0, 0, UINT8)):
            raise DataError(f"{where} is not an IDX file of bytes; {REMEDY}.")
        if magic[3] not in dimensions:
            allowed = " or ".join(map(str, dimensions))
            raise DataError(f"{where} has {magic[3]} dimensions instead of {allowed}; {REMEDY}.")
        sizes = file.read(4 * magic[3])
        if len(sizes) != 4 * magic[3]:
            raise DataError(f"{where} ends within its header; {REMEDY}.")
        shape = tuple(np.frombuffer(sizes, ">u4").tolist())
        number = math.prod(shape)
        check_compression(number, len(data), where=where)
        elements = bytearray()
        while len(elements) <= number and (chunk := file.read(CHUNK_BYTES)):
            elements += chunk
    if len(elements) != number:
        found = "more" if len(elements) > number else len(elements)
        raise DataError(f"{where} has {found} elements instead of {number}; {REMEDY}.")
    return np.frombuffer(elements, np.uint8).reshape(shape)


class MNISTSource:
    """MNIST (LeCun et al., 1998) and Fashion-MNIST (Xiao et al., 2017)."""

    entries: ClassVar[dict[str, type]] = {"class_names": list}

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

        def read(split: str, kind: str) -> Array:
            path = folder / f"{split}-{kind}-ubyte.gz"
            with convert_damage(path):
                data = path.read_bytes()
            return read_idx(data, where=path, dimensions=_DIMENSIONS[kind])

        images = [read(split, "images-idx3") for split in ("train", "t10k")]
        labels = [read(split, "labels-idx1") for split in ("train", "t10k")]
        return _raw_dataset(images, labels, fetched["class_names"], where=folder)


class EMNISTSource:
    """EMNIST (Cohen et al., 2017): one archive, whose images are transposed."""

    entries: ClassVar[dict[str, type]] = {"class_names": list}

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
        paths = archive.file_names()

        def read(split: str, kind: str) -> Array:
            name = f"emnist-{dataset.split}-{split}-{kind}-ubyte.gz"
            found = [path for path in paths if path_parts(path)[-1] == name]
            if len(found) != 1:
                raise DataError(
                    f"{archive.path} has {len(found)} files {name} instead of one; {REMEDY}."
                )
            data = archive.read_bytes(found[0])
            return read_idx(data, where=archive.locate(found[0]), dimensions=_DIMENSIONS[kind])

        images = [read(split, "images-idx3") for split in ("train", "test")]
        labels = [read(split, "labels-idx1") for split in ("train", "test")]
        class_names = fetched["class_names"]
        notes = []
        if dataset.split == "letters":
            first = _first_label(labels, len(class_names), where=archive.path)
            labels = [values - first for values in labels]
            notes.append(f"The label of the first letter is {first}.")
        images = [values.swapaxes(1, 2) for values in images]
        contents = _raw_dataset(images, labels, class_names, where=archive.path)
        return replace(contents, notes=notes)


def _torchvision_class(source: str) -> Any:
    from torchvision import datasets

    return {
        "mnist": datasets.MNIST,
        "fashion_mnist": datasets.FashionMNIST,
        "emnist": datasets.EMNIST,
    }[source]


def _first_label(labels: list[Array], num_classes: int, *, where: Path) -> int:
    """Return the label of the first letter: 1 in EMNIST, 0 if the labels are all from 0 to 25.

    Raises DataError for other labels with a 0.
    """
    found = set(np.concatenate(labels).tolist())
    if found == set(range(num_classes)):
        return 0
    if 0 in found:
        raise DataError(
            f"{where} has the label 0, but EMNIST's letters have the labels 1 to {num_classes}; "
            "correct the labels."
        )
    return 1


def _raw_dataset(
    images: list[Array], labels: list[Array], class_names: list[str], *, where: Path
) -> RawDataset:
    """Return training and test images as one dataset."""
    train_shape, test_shape = (values.shape[1:] for values in images)
    if train_shape != test_shape:
        raise DataError(
            f"{where} has training images of shape {train_shape} and test images of shape "
            f"{test_shape}; use files that belong together."
        )
    if 0 in train_shape or train_shape[2:] not in ((), (3,)):
        raise DataError(
            f"{where} has images of shape {train_shape}; they need a height, a width, and 3 "
            "channels if they have color."
        )
    train_labels, test_labels = (values.astype(np.int64) for values in labels)
    start, stop = len(images[0]), len(images[0]) + len(images[1])  # of the test images
    return RawDataset(
        ArrayReader(np.concatenate(images)),
        Split(range(start), train_labels),
        Split(range(start, stop), test_labels),
        class_names,
    )
