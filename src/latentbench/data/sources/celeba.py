"""CelebA (Liu et al., 2015): aligned faces with 40 attributes, from any of its common archives."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from latentbench.config.datasets import CelebADataset
from latentbench.data.image_archive import (
    ArchiveReader,
    ImageArchive,
    expand_user,
    open_archive,
    path_parts,
)
from latentbench.data.raw_files import decode_text
from latentbench.data.sources.attribute_table import AttributeTable, fingerprint, read_table
from latentbench.data.sources.base import RawDataset, Split, choose_held_out, missing_labels
from latentbench.data.sources.folder import open_fetched
from latentbench.errors import DataError, DownloadError, quote
from latentbench.rng import numpy_generator

IMAGES = "img_align_celeba"
FOLDERS = (IMAGES, f"{IMAGES}_png")  # the first that exists is used
ATTRIBUTES = "list_attr_celeba"
PARTITION = "list_eval_partition"
LISTS = (ATTRIBUTES, PARTITION)
LIST_FOLDERS = ("", "Anno", "Eval")  # "" is Kaggle's place, the others those of CelebA's site
TRAIN, VALIDATION, TEST = 0, 1, 2  # in the official partition; validation images are not used
TEST_FRACTION = 0.1
HELP = (
    "CelebA's host limits downloads per day. Download img_align_celeba.zip, list_attr_celeba.txt "
    "and list_eval_partition.txt from its site, or Kaggle's archive, by hand, and set `path` to "
    "their folder, the zip or the folder of the images"
)

Parts = np.ndarray[Any, np.dtype[np.int64]]  # TRAIN, VALIDATION or TEST of each image


class CelebASource:
    """CelebA from `path`, a mirror directory or the official host.

    A path may be the official zip, Kaggle's archive, the folder of the images, or a folder with any
    of these. The lists are inside, in the folders around it, or in `Anno` and `Eval` of these.
    """

    entries: ClassVar[dict[str, type]] = {"path": str, "fingerprint": str, "lists": dict}

    def fetch(self, dataset: CelebADataset, folder: Path) -> dict[str, Any]:
        """Return paths and fingerprints of archive and lists; download them if none are given."""
        key, path = "path", dataset.path
        if not path and dataset.mirror and "://" not in dataset.mirror:
            key, path = "mirror", dataset.mirror
        if path:
            root = expand_user(path, key=key)
            archive = _find_archive(root, key=key)
        else:
            archive = _download(folder)
            root = archive.path
        lists = {name: _find_list(name, archive, root) for name in LISTS}
        return {
            "path": str(archive.path),
            "fingerprint": archive.fingerprint(),
            "lists": {name: fingerprint(file) for name, file in lists.items() if file},
        }

    def open(self, dataset: CelebADataset, folder: Path, fetched: dict[str, Any]) -> RawDataset:
        """Return the official splits, or a random split if the partition is missing."""
        archive = open_fetched(fetched)
        paths = _paths_by_name(archive)
        names = sorted(paths)
        notes = []
        num_outside = len(archive.image_names()) - len(names)
        if num_outside:
            notes.append(f"{num_outside:,} left out: images outside of the folder of the faces.")
        attribute_names: list[str] = []
        attributes = np.zeros((len(names), 0), np.uint8)
        found = _read_list(ATTRIBUTES, archive, fetched)
        if found is None:
            notes.append(f"There is no {ATTRIBUTES}, so the images have no attributes.")
        else:
            where, table = found
            notes.append(f"Attributes are from {where}.")
            attribute_names = table.names
            attributes = table.attributes(_row_names(names, table), where=where)
        references = [paths[name] for name in names]
        split = Split(references, missing_labels(len(names)), attributes)
        found = _read_list(PARTITION, archive, fetched)
        if found is None:
            notes.append(f"There is no {PARTITION}, so a tenth of the images is for testing.")
            parts = _random_parts(len(names), dataset.seed)
        else:
            where, table = found
            parts = _official_parts(names, table, where=where)
            num_unused = int((parts == VALIDATION).sum())
            notes += [
                f"Splits are from {where}.",
                f"{num_unused:,} left out: images of the validation part.",
            ]
        return RawDataset(
            ArchiveReader(archive),
            split.subset(np.flatnonzero(parts == TRAIN)),
            split.subset(np.flatnonzero(parts == TEST)),
            attribute_names=attribute_names,
            skip_undecodable=dataset.on_error == "skip",
            notes=notes,
        )


def _find_archive(root: Path, *, key: str) -> ImageArchive:
    """Return the zip or folder with the faces, at the path or below it."""
    archive = open_archive(root, key=key)
    if not archive.is_zip and not _face_paths(archive):
        zips = sorted(root.rglob(f"{IMAGES}.zip"))
        if len(zips) > 1:
            raise DataError(f"{root} has {zips[0]} and {zips[1]}; set `path` to one of them.")
        if zips:
            archive = ImageArchive(zips[0])
    if not _face_paths(archive):
        raise DataError(f"{root} has no images in a folder {IMAGES}. {HELP}.")
    return archive


def _face_paths(archive: ImageArchive) -> list[str]:
    """Return the images in the folder of the faces, which may be the archive itself."""
    paths = archive.image_names()
    path = archive.path.absolute()
    for folder in FOLDERS:
        inside = [name for name in paths if folder in path_parts(name)[:-1]]
        if inside:
            return inside
        if folder == (path.stem if archive.is_zip else path.name):
            return paths
    return []


def _paths_by_name(archive: ImageArchive) -> dict[str, str]:
    """Return the path of each image by its name, which the lists have."""
    paths: dict[str, str] = {}
    for path in _face_paths(archive):
        name = path_parts(path)[-1]
        if name in paths:
            raise DataError(
                f"{archive.path} has the image {quote(name)} as {quote(paths[name])} and as "
                f"{quote(path)}; remove one."
            )
        paths[name] = path
    return paths


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


def _random_parts(number: int, seed: int) -> Parts:
    """Return the part of each image, with a tenth of them for testing."""
    rng = numpy_generator(seed, "held out")
    is_test = choose_held_out(missing_labels(number), fraction=TEST_FRACTION, rng=rng)
    return np.where(is_test, TEST, TRAIN)


def _official_parts(names: list[str], table: AttributeTable, *, where: str) -> Parts:
    """Return the part of each image; raise DataError if its row is missing or invalid."""
    parts = []
    for row in _row_names(names, table):
        if row not in table.rows:
            raise DataError(f"{where} has no row for {quote(row)}; download both again.")
        values = table.rows[row]
        if len(values) != 1 or values[0] not in (TRAIN, VALIDATION, TEST):
            raise DataError(
                f"{where} has {quote(values)} for {quote(row)} instead of 0, 1 or 2; correct it."
            )
        parts.append(values[0])
    return np.array(parts)


def _row_names(names: list[str], table: AttributeTable) -> list[str]:
    """Return the name of each image in a list, where those of PNG files end with .jpg, too."""
    rows = []
    for name in names:
        official = f"{name.rpartition('.')[0]}.jpg"
        rows.append(official if name not in table.rows and official in table.rows else name)
    return rows


def _find_list(name: str, archive: ImageArchive, root: Path) -> Path | None:
    """Return a list that is outside of the archive: the nearest; None if there is none."""
    if _find_member(name, archive) is not None:
        return None
    for files in _candidates(name, archive, root):
        found = [path for path in files if path.is_file()]
        if len({fingerprint(path)["sha256"] for path in found}) > 1:
            raise DataError(f"{found[0]} and {found[1]} differ; remove one.")
        if found:
            return found[0]
    return None


def _candidates(name: str, archive: ImageArchive, root: Path) -> Iterator[list[Path]]:
    """Yield the files that may be the list, the nearest first."""
    file_names = (f"{name}.txt", f"{name}.csv")
    if root != archive.path:
        for file_name in file_names:
            yield sorted(root.rglob(file_name))
    for folder in archive.path.absolute().parents[:2]:
        for file_name in file_names:
            yield [folder / place / file_name for place in LIST_FOLDERS]


def _find_member(name: str, archive: ImageArchive) -> str | None:
    """Return the path of a list in the archive, as .txt (official) or .csv (Kaggle)."""
    file_names = (f"{name}.txt", f"{name}.csv")
    for path in archive.file_names():
        if path_parts(path)[-1] in file_names:
            return path
    return None


def _read_list(
    name: str, archive: ImageArchive, fetched: dict[str, Any]
) -> tuple[str, AttributeTable] | None:
    """Return a list and its path; None if it is missing."""
    member = _find_member(name, archive)
    if member is not None:
        where = archive.locate(member)
        text = decode_text(archive.read_bytes(member), where=where)
        table = AttributeTable.parse(text, where=where)
    elif name in fetched["lists"]:
        where = fetched["lists"][name]["path"]
        table = read_table(fetched["lists"][name])
    else:
        return None
    return where, table
