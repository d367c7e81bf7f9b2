"""How many pictures a dataset will have, before it is prepared."""

from __future__ import annotations

import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from latentbench.config.datasets import DatasetConfig
from latentbench.data.decode import ResizeSpec, to_square
from latentbench.data.prepared import PreparedDataset
from latentbench.data.sources import SOURCES, RawDataset
from latentbench.errors import ArtifactError

# Images of both splits, and classes, as their authors publish them.
PUBLISHED = {
    "mnist": (60_000, 10_000, 10),
    "fashion_mnist": (60_000, 10_000, 10),
    "emnist/letters": (124_800, 20_800, 26),
    "emnist/balanced": (112_800, 18_800, 47),
    "emnist/digits": (240_000, 40_000, 10),
    "cifar10": (50_000, 10_000, 10),
    "celeba": (162_770, 19_962, 0),
}
# Seconds of one core for a picture that is not here yet: an array of 28×28, a JPEG of 178×218.
NOT_HERE = {"celeba": 2e-3}
NOT_HERE_OTHERWISE = 2e-4
NUM_TRIED = 24


@dataclass(frozen=True)
class Sizes:
    """`per_picture` are seconds of one core; 0 where the dataset is prepared already."""

    num_train: int
    num_test: int
    num_classes: int
    per_picture: float


def sizes_of(config: DatasetConfig, data: Path) -> Sizes:
    """From the prepared dataset where it is there and of these settings, else from its source; official files that are
    not here are as large as published.

    Raises DataError where the user's own pictures cannot be read.
    """
    dataset = config.dataset
    try:
        manifest = PreparedDataset.open(data / "prepared" / config.name).manifest
    except ArtifactError:
        manifest = None
    if manifest is not None and manifest.settings == dataset.preparation():
        return Sizes(
            manifest.train.num_images, manifest.test.num_images, len(manifest.class_names), 0.0
        )
    key = f"emnist/{dataset.split}" if dataset.source == "emnist" else dataset.source
    if key in PUBLISHED:
        num_train, num_test, num_classes = PUBLISHED[key]
        sizes = Sizes(num_train, num_test, num_classes, NOT_HERE.get(key, NOT_HERE_OTHERWISE))
    else:
        sizes = _opened(config)
    most = dataset.max_train_images
    num_train = sizes.num_train if most is None else min(most, sizes.num_train)
    return Sizes(num_train, sizes.num_test, sizes.num_classes, sizes.per_picture)


def _opened(config: DatasetConfig) -> Sizes:
    """Of pictures that are made here or that are the user's own: some are decoded."""
    dataset = config.dataset
    source = SOURCES[dataset.source]
    with tempfile.TemporaryDirectory() as folder:
        contents = source.open(dataset, Path(folder), source.fetch(dataset, Path(folder)))
        square = ResizeSpec(dataset.image_size, dataset.channels, dataset.crop, dataset.pad)
        return Sizes(
            len(contents.train.references),
            len(contents.test.references),
            len(contents.class_names),
            _seconds_per_picture(contents, square),
        )


def _seconds_per_picture(contents: RawDataset, square: ResizeSpec) -> float:
    references = contents.train.references[:NUM_TRIED]
    start = time.perf_counter()
    for reference in references:
        to_square(contents.reader.read(reference), square)
    return (time.perf_counter() - start) / max(1, len(references))
