"""The stage `prepare`: decode a dataset's images into uint8 arrays."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import replace
from functools import reduce
from pathlib import Path
from typing import Any

import numpy as np

from latentbench.artifacts.dependencies import settings_of
from latentbench.artifacts.files import (
    damaged,
    read_manifest,
    require_format,
    write_manifest,
    write_together,
)
from latentbench.artifacts.lock import lock_folder
from latentbench.artifacts.paths import (
    DATASET_MANIFEST,
    SOURCE_FORMAT,
    SOURCE_MANIFEST,
    prepared_files,
)
from latentbench.artifacts.progress import log, track
from latentbench.artifacts.provenance import ResourceUsage, write_record
from latentbench.config.datasets import DatasetConfig
from latentbench.data.image_archive import decode_name
from latentbench.data.preparation.decode import FormatFacts
from latentbench.data.preparation.decoding_pool import (
    DecodeJob,
    DecodeTask,
    DecodingPool,
    num_usable_cores,
)
from latentbench.data.preparation.resize_spec import ResizeSpec
from latentbench.data.preparation.split_files import SplitFiles
from latentbench.data.preparation.summary import PreparedContents, summarize
from latentbench.data.prepared import FORMAT, dataset_digest
from latentbench.data.sources import SOURCES, RawDataset
from latentbench.data.sources.base import choose_held_out
from latentbench.data.sources.checks import check_dataset
from latentbench.errors import ArtifactError, DataError
from latentbench.rng import numpy_generator


def prepare_dataset(
    config: DatasetConfig,
    raw: Path,
    output: Path,
    *,
    record: Path | None = None,
    workers: int | None = None,
) -> None:
    """Decode a dataset into arrays and write dataset.json after all of them.

    The arrays do not depend on the number of workers. If something fails, an earlier dataset stays.

    Args:
        config: The resolved dataset.
        raw: data/raw/DATASET.
        output: data/prepared/DATASET.
        record: The provenance record to write.
        workers: Number of decoding processes; None is one per usable core.

    Raises:
        ArtifactError, DataError, StorageError
    """
    with lock_folder(output, "prepare"):
        contents = open_raw(config, raw)
        with write_together(output, last=DATASET_MANIFEST) as staged:
            _write_dataset(config, contents, staged, workers or num_usable_cores())
        if record is not None:
            names = prepared_files(
                has_attributes=config.dataset.has_attributes,
                has_validation=config.dataset.has_validation,
            )
            write_record(
                record,
                "prepare",
                settings=settings_of("prepare", config.model_dump(mode="json")),
                inputs=[raw / SOURCE_MANIFEST],
                outputs=[output / name for name in names],
                cost=ResourceUsage.measure(),
            )


def _write_dataset(
    config: DatasetConfig, contents: RawDataset, output: Path, num_workers: int
) -> None:
    """Write the arrays of all splits and dataset.json."""
    manifests, written = _write_splits(config, contents, output, num_workers)
    dataset = config.dataset
    manifest = {
        "format": FORMAT,
        "name": config.name,
        "source": dataset.source,
        "image_size": dataset.image_size,
        "channels": dataset.channels,
        "class_names": contents.class_names,
        "attribute_names": contents.attribute_names,
        **manifests,
        "skipped": list(written.skipped),
        "settings": dataset.preparation(),
        "digest": dataset_digest(manifests),
    }
    write_manifest(output / DATASET_MANIFEST, manifest)
    for line in summarize(config.name, contents, written):
        log(line)


def open_raw(config: DatasetConfig, raw: Path) -> RawDataset:
    """Return the fetched dataset, checked, with its validation split.

    Training and validation images together are at most `max_train_images`.
    """
    fetched = read_manifest(raw / SOURCE_MANIFEST)
    require_format(raw / SOURCE_MANIFEST, fetched, SOURCE_FORMAT)
    dataset = config.dataset
    if fetched.get("source") != dataset.source:
        raise ArtifactError(
            f"{raw} has files of {fetched.get('source')}, but {config.name!r} is {dataset.source}; "
            "fetch it again."
        )
    source = SOURCES[dataset.source]
    for entry, kind in source.entries.items():
        if not isinstance(fetched.get(entry), kind):
            raise damaged(raw / SOURCE_MANIFEST, f"no entry {entry}")
    contents = source.open(dataset, raw, fetched)
    check_dataset(contents, where=fetched.get("path", raw))
    train = contents.train
    max_images = dataset.max_train_images
    if max_images is not None and max_images < len(train.references):
        order = numpy_generator(dataset.seed, "training share").permutation(len(train.references))
        contents = replace(contents, train=train.subset(np.sort(order[:max_images])))
    if dataset.has_validation:
        return _hold_out_validation(config, contents)
    return contents


def _hold_out_validation(config: DatasetConfig, contents: RawDataset) -> RawDataset:
    """Return the dataset with some training images as its validation split."""
    train, fraction = contents.train, config.dataset.validation_fraction
    rng = numpy_generator(config.dataset.seed, "validation images")
    is_held_out = choose_held_out(train.labels, fraction=fraction, rng=rng)
    if is_held_out.sum() < 2:
        raise DataError(
            f"{config.name} has {len(train.references)} training images, of which "
            f"validation_fraction: {fraction:g} holds out {is_held_out.sum()}, but a search needs "
            "two validation images. Raise the fraction or add images."
        )
    return replace(
        contents,
        train=train.subset(np.flatnonzero(~is_held_out)),
        validation=train.subset(np.flatnonzero(is_held_out)),
    )


def _write_splits(
    config: DatasetConfig, contents: RawDataset, output: Path, num_workers: int
) -> tuple[dict[str, dict[str, Any]], PreparedContents]:
    """Decode and write all splits; return their manifests, and what they contain.

    The tasks of all splits are one stream, so no worker waits between them. A finished split is
    hashed in a thread, while the workers decode the next.
    """
    dataset = config.dataset
    spec = ResizeSpec(dataset.image_size, dataset.channels, dataset.crop, dataset.pad)
    splits = contents.splits()
    references = {name: split.references for name, split in splits.items()}
    job = DecodeJob(contents.reader, references, spec, skip=contents.skip_undecodable)
    files = {name: SplitFiles(output, name, split, spec) for name, split in splits.items()}
    with (
        ExitStack() as open_files,
        DecodingPool(job, num_workers) as pool,
        ThreadPoolExecutor(1) as thread,
    ):
        tasks: list[DecodeTask] = []
        for split_files in files.values():
            tasks += split_files.begin(open_files)
        futures = {}
        finished = pool.run(iter(tasks))
        for task, decoded in track(finished, "Preparing", total=len(tasks), unit="tasks"):
            split_files = files[task.split]
            if split_files.finish_task(decoded):
                futures[task.split] = thread.submit(split_files.close)
        manifests = {name: futures[name].result() for name in splits}
    skipped: dict[str, str] = {}
    for name in splits:
        for index, kind in sorted(files[name].failed.items()):
            skipped[decode_name(str(splits[name].references[index]))] = kind
    labels = {name: files[name].split.labels for name in splits}
    facts = reduce(FormatFacts.merge, (each.facts for each in files.values()))
    return manifests, PreparedContents(labels, skipped, facts)
