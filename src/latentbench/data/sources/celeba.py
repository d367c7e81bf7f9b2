"""CelebA (Liu et al., 2015): aligned faces with 40 attributes, however the user came by them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from latentbench.artifacts.progress import log
from latentbench.config.datasets import CelebADataset
from latentbench.data.image_archive import ArchiveReader, ImageArchive, open_archive, parts_of
from latentbench.data.sources.attribute_table import Table
from latentbench.data.sources.base import RawDataset, Split, held_out, unlabeled
from latentbench.data.sources.folder import open_fetched
from latentbench.errors import DataError, DownloadError
from latentbench.rng import numpy_generator

PICTURES = "img_align_celeba"
TABLES = ("list_attr_celeba", "list_eval_partition")
TRAIN, TEST = 0, 2  # in the official partition; 1 is for validation and is left out
HELD_OUT_SHARE = 0.1
HELP = (
    "CelebA's host limits downloads by the day; fetch img_align_celeba.zip, list_attr_celeba.txt and "
    "list_eval_partition.txt from its site, or Kaggle's archive, by hand, and give their folder, the zip or the "
    "unpacked folder as `path`"
)


class CelebASource:
    """From `path` or a mirror directory: the official zip with its lists beside it, Kaggle's archive (its lists
    are csv files inside), or either unpacked; else from the official host."""

    def fetch(self, dataset: CelebADataset, folder: Path) -> dict[str, Any]:
        place = dataset.path or (
            dataset.mirror if dataset.mirror and "://" not in dataset.mirror else None
        )
        store = _find_store(Path(place).expanduser()) if place else _download(folder)
        return {"path": str(store.path), "fingerprint": store.fingerprint()}

    def open(self, dataset: CelebADataset, folder: Path, fetched: dict[str, Any]) -> RawDataset:  # noqa: ARG002
        store = open_fetched(fetched)
        pictures = {parts_of(name)[-1]: name for name in _face_names(store)}
        names = sorted(pictures)
        attributes, partition = (_read_table(store, table) for table in TABLES)
        columns = np.zeros((len(names), 0), np.uint8)
        if attributes.rows:
            columns = attributes.columns(names, where=TABLES[0])
        split = Split([pictures[name] for name in names], unlabeled(len(names)), columns)
        if partition.rows:
            parts = np.array([_part(partition, name) for name in names])
        else:
            log(f"There is no {TABLES[1]}: a tenth of the pictures is held out for testing.")
            rng = numpy_generator(dataset.seed, "held out")
            parts = np.where(held_out(split.labels, share=HELD_OUT_SHARE, rng=rng), TEST, TRAIN)
        train, test = (split.subset(np.flatnonzero(parts == part)) for part in (TRAIN, TEST))
        return RawDataset(
            ArchiveReader(store),
            train,
            test,
            attribute_names=attributes.names,
            skip_undecodable=dataset.on_error == "skip",
        )


def _find_store(place: Path) -> ImageArchive:
    """The zip or folder with the faces, at `place` or in it."""
    store = open_archive(place, key="path")
    if not store.is_zip:
        official = sorted(place.rglob(f"{PICTURES}.zip"))
        if official and not _face_names(store):
            store = ImageArchive(official[0])
    if not _face_names(store):
        raise DataError(f"{place} holds no pictures under {PICTURES}/; {HELP}.")
    return store


def _face_names(store: ImageArchive) -> list[str]:
    return [name for name in store.pictures() if PICTURES in parts_of(name)[:-1]]


def _download(folder: Path) -> ImageArchive:
    """From the official host by torchvision's list and gdown, checked."""
    from torchvision.datasets import CelebA
    from torchvision.datasets.utils import download_file_from_google_drive

    wanted = {f"{PICTURES}.zip", *(f"{table}.txt" for table in TABLES)}
    for file_id, md5, name in CelebA.file_list:
        if name not in wanted:
            continue
        try:
            download_file_from_google_drive(file_id, str(folder), name, md5)
        except Exception as error:  # gdown and requests raise what they like
            raise DownloadError(
                f"{name} could not be fetched ({type(error).__name__}); {HELP}."
            ) from error
    return ImageArchive(folder / f"{PICTURES}.zip")


def _read_table(store: ImageArchive, name: str) -> Table:
    """A list as .txt (official) or .csv (Kaggle); empty where absent."""
    return Table.parse(_find_table(store, name) or "", where=f"{name} beside {store.path}")


def _find_table(store: ImageArchive, name: str) -> str | None:
    """In the store itself, or beside it."""
    wanted = (f"{name}.txt", f"{name}.csv")
    inside = [entry for entry in store.names() if parts_of(entry)[-1] in wanted]
    if inside:
        return store.bytes(inside[0]).decode()
    beside = [
        store.path.parent / entry for entry in wanted if (store.path.parent / entry).is_file()
    ]
    return beside[0].read_text(encoding="utf-8") if beside else None


def _part(partition: Table, name: str) -> int:
    """Which part a picture is of, by the official partition."""
    if name not in partition.rows:
        raise DataError(f"{TABLES[1]} says nothing of {name}; fetch both again.")
    return partition.rows[name][0]
