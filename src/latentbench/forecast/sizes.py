"""Sizes of a dataset before it is prepared."""

from __future__ import annotations

import tempfile
import time
from dataclasses import dataclass, replace
from pathlib import Path

from latentbench.config.datasets import AnyDataset, DatasetConfig
from latentbench.data.preparation.image_decoder import ImageDecoder
from latentbench.data.preparation.resize_spec import ResizeSpec
from latentbench.data.prepared import PreparedDataset
from latentbench.data.sources import SOURCES, RawDataset
from latentbench.errors import ArtifactError, ImageError

# Training images, test images and classes, as published.
PUBLISHED = {
    "mnist": (60_000, 10_000, 10),
    "fashion_mnist": (60_000, 10_000, 10),
    "emnist/letters": (124_800, 20_800, 26),
    "emnist/balanced": (112_800, 18_800, 47),
    "emnist/digits": (240_000, 40_000, 10),
    "cifar10": (50_000, 10_000, 10),
    "celeba": (162_770, 19_962, 0),
}
# Decoding seconds per image of a published dataset, on one core.
JPEG_SECONDS = 2e-3  # CelebA: a JPEG of 178×218 pixels
ARRAY_SECONDS = 2e-4  # the others: an array of 28×28 or 32×32 pixels
NUM_DECODED = 24  # images whose decoding is timed


@dataclass(frozen=True)
class DatasetSizes:
    """Number of images and classes; seconds to decode an image on one core, 0 if prepared."""

    num_train: int
    num_test: int
    num_classes: int
    decode_seconds: float
    num_validation: int = 0


def dataset_sizes(config: DatasetConfig, data: Path) -> DatasetSizes:
    """Return the sizes of a dataset: from its prepared files, or as published, or by opening it.

    Prepared files count only if they have the same settings.
    Raises DataError if the user's images cannot be read.
    """
    dataset = config.dataset
    try:
        manifest = PreparedDataset.open(data / "prepared" / config.name).manifest
    except ArtifactError:
        manifest = None
    if manifest is not None and manifest.settings == dataset.preparation():
        return DatasetSizes(
            manifest.train.num_images,
            manifest.test.num_images,
            len(manifest.class_names),
            0.0,
            0 if manifest.validation is None else manifest.validation.num_images,
        )
    key = f"emnist/{dataset.split}" if dataset.source == "emnist" else dataset.source
    if key in PUBLISHED:
        sizes = DatasetSizes(*PUBLISHED[key], JPEG_SECONDS if key == "celeba" else ARRAY_SECONDS)
    else:
        sizes = _open_sizes(dataset)
    num_train = sizes.num_train
    if dataset.max_train_images is not None:
        num_train = min(dataset.max_train_images, num_train)
    num_validation = round(dataset.validation_fraction * num_train)
    return replace(sizes, num_train=num_train - num_validation, num_validation=num_validation)


def _open_sizes(dataset: AnyDataset) -> DatasetSizes:
    """Return the sizes of glyphs or of the user's images; some are decoded."""
    source = SOURCES[dataset.source]
    with tempfile.TemporaryDirectory() as folder:
        contents = source.open(dataset, Path(folder), source.fetch(dataset, Path(folder)))
        spec = ResizeSpec(dataset.image_size, dataset.channels, dataset.crop, dataset.pad)
        return DatasetSizes(
            len(contents.train.references),
            len(contents.test.references),
            len(contents.class_names),
            _time_decoding(contents, spec),
        )


def _time_decoding(contents: RawDataset, spec: ResizeSpec) -> float:
    """Return the seconds to decode and resize an image."""
    references = contents.train.references[:NUM_DECODED]
    decoder = ImageDecoder(contents.reader, spec)
    start = time.perf_counter()
    for reference in references:
        try:
            decoder.decode(reference)
        except ImageError:
            if not contents.skip_undecodable:
                raise
    return (time.perf_counter() - start) / max(1, len(references))
