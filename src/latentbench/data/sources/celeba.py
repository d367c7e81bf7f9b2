"""CelebA (Liu et al., 2015): aligned faces with 40 attributes, from any of its common archives."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from latentbench.artifacts.progress import log
from latentbench.config.datasets import CelebADataset
from latentbench.data.image_archive import ArchiveReader, ImageArchive, open_archive, path_parts
from latentbench.data.sources.attribute_table import AttributeTable
from latentbench.data.sources.base import RawDataset, Split, choose_test_images, missing_labels
from latentbench.data.sources.folder import open_fetched
from latentbench.errors import DataError, DownloadError
from latentbench.rng import numpy_generator

IMAGES = "img_align_celeba"
ATTRIBUTES = "list_attr_celeba"
PARTITION = "list_eval_partition"
TRAIN, TEST = 0, 2  # in the official partition; 1, for validation, is not used
TEST_FRACTION = 0.1
HELP = (
    "CelebA's host limits downloads per day. Download img_align_celeba.zip, list_attr_celeba.txt "
    "and list_eval_partition.txt from its site, or Kaggle's archive, by hand, and set `path` to "
    "their folder, the zip or the unpacked folder"
)


class CelebASource:
    """CelebA from `path`, a mirror directory or the official host.

    A path may be the official zip, with its lists in the same folder; Kaggle's archive, which has
    the lists as CSV files; or either of them unpacked.
    """

    def fetch(self, dataset: CelebADataset, folder: Path) -> dict[str, Any]:
        """Return path and fingerprint of the archive; download it if none is given."""
        path = dataset.path
        if not path and dataset.mirror and "://" not in dataset.mirror:
            path = dataset.mirror
        archive = _find_archive(Path(path).expanduser()) if path else _download(folder)
        return {"path": str(archive.path), "fingerprint": archive.fingerprint()}

    def open(self, dataset: CelebADataset, folder: Path, fetched: dict[str, Any]) -> RawDataset:
        """Return the official splits, or a random split if the partition is missing."""
        archive = open_fetched(fetched)
        paths = {path_parts(path)[-1]: path for path in _face_paths(archive)}
        names = sorted(paths)
        table = _read_table(archive, ATTRIBUTES)
        attributes = np.zeros((len(names), 0), np.uint8)
        if table.rows:
            attributes = table.attributes(names, where=ATTRIBUTES)
        references = [paths[name] for name in names]
        split = Split(references, missing_labels(len(names)), attributes)
        parts = _parts(archive, names, dataset.seed)
        return RawDataset(
            ArchiveReader(archive),
            split.subset(np.flatnonzero(parts == TRAIN)),
            split.subset(np.flatnonzero(parts == TEST)),
            attribute_names=table.names,
            skip_undecodable=dataset.on_error == "skip",
        )


def _find_archive(path: Path) -> ImageArchive:
    """Return the zip or folder with the faces, at `path` or below it."""
    archive = open_archive(path, key="path")
    if not archive.is_zip and not _face_paths(archive):
        zips = sorted(path.rglob(f"{IMAGES}.zip"))
        if zips:
            archive = ImageArchive(zips[0])
    if not _face_paths(archive):
        raise DataError(f"{path} has no images in a folder {IMAGES}. {HELP}.")
    return archive


def _face_paths(archive: ImageArchive) -> list[str]:
    return [path for path in archive.image_names() if IMAGES in path_parts(path)[:-1]]


def _download(folder: Path) -> ImageArchive:
    """Download the archive and its lists with gdown, and check them by torchvision's MD5."""
    from torchvision.datasets import CelebA
    from torchvision.datasets.utils import download_file_from_google_drive

    needed = (f"{IMAGES}.zip", f"{ATTRIBUTES}.txt", f"{PARTITION}.txt")
    for file_id, md5, name in CelebA.file_list:
        if name not in needed:
            continue
        try:
            download_file_from_google_drive(file_id, str(folder), name, md5)
        except Exception as error:  # gdown and requests raise many kinds
            raise DownloadError(
                f"{name} could not be downloaded ({type(error).__name__}). {HELP}."
            ) from error
    return ImageArchive(folder / f"{IMAGES}.zip")


def _parts(archive: ImageArchive, names: list[str], seed: int) -> np.ndarray[Any, Any]:
    """Return the number of each image's part, from the official partition or at random."""
    partition = _read_table(archive, PARTITION)
    if not partition.rows:
        log(f"There is no {PARTITION}: a tenth of the images is held out for testing.")
        rng = numpy_generator(seed, "held out")
        is_test = choose_test_images(missing_labels(len(names)), fraction=TEST_FRACTION, rng=rng)
        return np.where(is_test, TEST, TRAIN)
    for name in names:
        if name not in partition.rows:
            raise DataError(f"{PARTITION} has no row for {name}; download both again.")
    return np.array([partition.rows[name][0] for name in names])


def _read_table(archive: ImageArchive, name: str) -> AttributeTable:
    """Return a list, as .txt (official) or .csv (Kaggle); an empty table if it is missing."""
    text = _find_text(archive, name) or ""
    return AttributeTable.parse(text, where=f"{name} of {archive.path}")


def _find_text(archive: ImageArchive, name: str) -> str | None:
    """Return the content of a list, in the archive or in its folder."""
    file_names = (f"{name}.txt", f"{name}.csv")
    for path in archive.file_names():
        if path_parts(path)[-1] in file_names:
            return archive.read_bytes(path).decode()
    for file_name in file_names:
        file = archive.path.parent / file_name
        if file.is_file():
            return file.read_text(encoding="utf-8")
    return None
