"""The reference stage: the feature networks, and the real images' features and statistics."""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from latentbench.artifacts.dependencies import settings_of
from latentbench.artifacts.files import (
    atomic_write,
    file_sha256,
    read_array,
    write_array,
    write_together,
)
from latentbench.artifacts.lock import lock_folder
from latentbench.artifacts.metrics import DISTANCES, mean_and_std
from latentbench.artifacts.paths import (
    DATASET_MANIFEST,
    REFERENCE_MANIFEST,
    REFERENCE_ROWS,
    classifier_name,
    extractor_of,
    features_name,
    reference_files,
    statistics_name,
    test_features_name,
)
from latentbench.artifacts.progress import log
from latentbench.artifacts.provenance import ResourceUsage, write_record
from latentbench.config.datasets import DatasetConfig
from latentbench.config.experiments import Evaluation
from latentbench.data.prepared import PreparedDataset
from latentbench.errors import DataError
from latentbench.evaluation.features.classifier import ClassifierExtractor
from latentbench.evaluation.features.extract import (
    FeatureExtractor,
    extract_features,
    prepare_measurement,
)
from latentbench.evaluation.features.feature_stats import Moments, compute_feature_stats
from latentbench.evaluation.features.pretrained import load_pretrained
from latentbench.evaluation.features.train_classifier import (
    choose_task,
    measure_accuracy,
    train_classifier,
)
from latentbench.evaluation.manifest import FORMAT, ExtractorManifest, ReferenceManifest
from latentbench.evaluation.metrics.distances import Distances, max_real_images
from latentbench.evaluation.metrics.knn import Rows
from latentbench.evaluation.metrics.memorization import Memorization
from latentbench.evaluation.predictions.attribute_accuracy import mean_balanced_accuracy
from latentbench.rng import derive_seed, numpy_generator
from latentbench.runtime.device import float64_device

Indices = np.ndarray[Any, np.dtype[np.int64]]

# Random splits of the training images into halves. For Inception's 2,048 features of 50,000 images
# each takes 26 s on one core, all together a thirtieth of the time of the features.
NUM_SPLITS = 20


def build_reference(
    config: DatasetConfig, data: Path, output: Path, *, record: Path | None = None
) -> None:
    """Write the chosen rows, each extractor's network, features and statistics, and reference.json.

    reference.json is written last, but for the provenance `record`. If something fails, an earlier
    reference stays.

    Raises:
        LatentbenchError: ArtifactError, DataError, DownloadError, DivergenceError or StorageError.
    """
    device = prepare_measurement(config.dataset.reference.compute)
    dataset = PreparedDataset.open(data)
    _require_two_images(dataset)
    with lock_folder(output, "reference"):
        with write_together(output, last=REFERENCE_MANIFEST) as staged:
            _write_reference(config, dataset, staged, device)
        if record is not None:
            names = reference_files(config.dataset.reference.networks)
            write_record(
                record,
                "reference",
                settings=settings_of("reference", config.model_dump(mode="json")),
                inputs=[data / DATASET_MANIFEST],
                outputs=[output / name for name in names],
                cost=ResourceUsage.measure(),
            )


def _write_reference(
    config: DatasetConfig, dataset: PreparedDataset, output: Path, device: torch.device
) -> None:
    """Write all files of the reference, reference.json last."""
    rows = _choose_rows(config, dataset)
    write_array(output / REFERENCE_ROWS, rows)
    builder = _Builder(config, dataset, output, device, rows)
    extractors: dict[str, ExtractorManifest] = {}
    for name in config.dataset.reference.networks:
        extractors[name] = builder.build(name)
    ReferenceManifest(
        format=FORMAT,
        dataset=config.name,
        data_digest=dataset.manifest.digest,
        split="train",
        num_images=len(rows),
        extractors=extractors,
        files={
            name: file_sha256(output / name)
            for name in reference_files(config.dataset.reference.networks)
            if name != REFERENCE_MANIFEST
        },
    ).write(output)


class _Builder:
    """Builds the reference of one dataset, extractor by extractor."""

    def __init__(
        self,
        config: DatasetConfig,
        dataset: PreparedDataset,
        output: Path,
        device: torch.device,
        rows: Indices,
    ) -> None:
        self.settings = config.dataset.reference
        self.seed = config.dataset.seed
        self.name = config.name
        self.dataset = dataset
        self.output = output
        self.device = device
        self.rows = rows

    def build(self, name: str) -> ExtractorManifest:
        """Write a feature network's files and return its entry in reference.json."""
        kind = extractor_of(name)
        extractor, facts = (
            self._classifier(name) if kind == "classifier" else self._pretrained(name)
        )
        self._write_train_features(extractor)
        train = read_array(self.output / features_name(name), mmap=True)
        test = self._write_test_features(extractor)
        memorization, closer_to_train = Memorization.from_test_features(train, test)
        metric, *kernel_metrics = DISTANCES[kind]
        return ExtractorManifest(
            metric=metric,
            kernel_metric=kernel_metrics[0] if kernel_metrics else None,
            protocol=extractor.protocol,
            feature_dim=extractor.dim,
            train_halves=self._train_halves(kind, train),
            median_distance=memorization.median_distance,
            close_distance=memorization.close_distance,
            closer_to_train=closer_to_train,
            **facts,
        )

    def _classifier(self, name: str) -> tuple[FeatureExtractor, dict[str, Any]]:
        """Train a classifier and save it; a repeat has a seed of its own."""
        task = choose_task(self.dataset)
        seed = self.seed if name == "classifier" else derive_seed(self.seed, name)
        network = train_classifier(self.dataset, task, self.settings, seed=seed, device=self.device)
        share, by_attribute = measure_accuracy(network, self.dataset, task, device=self.device)
        log(f"{self.name}: {name} predicts {share:.1%} of the test images' {task.name}.")
        aim = f"{task.aim} ({share:.1%} correct on test images)"
        if by_attribute:
            mean = mean_balanced_accuracy(by_attribute.values())
            log(f"{self.name}: {name}'s balanced accuracy on attributes is {mean:.1%}.")
            aim += f" and {len(by_attribute)} attributes (balanced accuracy {mean:.1%})"
        manifest = self.dataset.manifest
        protocol = (
            "features of the last hidden layer of a convolutional network that was trained on the "
            f"{manifest.train.num_images:,} training images of {self.name} to {aim}; 8-bit images "
            f"at {manifest.image_size}×{manifest.image_size}, not resized"
        )
        extractor = ClassifierExtractor(network, protocol=protocol, device=self.device, name=name)
        path = self.output / classifier_name(name)
        extractor.save(path)
        sha256 = file_sha256(path)
        facts = {"task": task.name, "accuracy": share, "attribute_accuracy": by_attribute}
        return extractor, {"sha256": sha256} | facts

    def _pretrained(self, name: str) -> tuple[FeatureExtractor, dict[str, Any]]:
        path = getattr(self.settings, f"{name}_path")
        sha256 = getattr(self.settings, f"{name}_sha256")
        extractor = load_pretrained(name, path, sha256=sha256, device=self.device)
        return extractor, {"sha256": sha256, "path": path}

    def _write_train_features(self, extractor: FeatureExtractor) -> None:
        """Write features batch by batch into a memory-mapped file, and their statistics."""
        moments = Moments(extractor.dim, device=float64_device(self.device))
        images = self.dataset.images("train")
        with atomic_write(self.output / features_name(extractor.name)) as partial:
            shape = (len(self.rows), extractor.dim)
            mapped = np.lib.format.open_memmap(partial, mode="w+", dtype=np.float32, shape=shape)
            for features in extract_features(extractor, images, rows=self.rows):
                mapped[moments.count : moments.count + len(features)] = features.cpu().numpy()
                moments.update(features)
            mapped.flush()
        statistics = moments.compute().with_root()
        statistics.save(self.output / statistics_name(extractor.name))

    def _write_test_features(self, extractor: FeatureExtractor) -> Tensor:
        features = torch.cat(list(extract_features(extractor, self.dataset.images("test"))))
        write_array(self.output / test_features_name(extractor.name), features.cpu().numpy())
        return features

    def _train_halves(self, name: str, real: Rows) -> dict[str, int | float]:
        """Return the distances between two random halves of the training images.

        They have the columns of metrics.csv: means and standard deviations over NUM_SPLITS splits.
        Empty where a half is too small to have a covariance.
        """
        size = len(real) // 2
        if size < 2:
            return {}
        # One subset of all images is the kernel distance without the noise of smaller subsets.
        settings = Evaluation(num_samples=size, kid_subsets=1, kid_subset_size=size)
        values: dict[str, list[float]] = defaultdict(list)
        for split in range(NUM_SPLITS):
            order = numpy_generator(self.seed, "halves", split).permutation(len(real))
            first, second = (
                torch.from_numpy(real[rows]).to(float64_device(self.device))
                for rows in (order[:size], order[size : 2 * size])
            )
            statistics = compute_feature_stats(first)
            distances = Distances(name, statistics, first[: max_real_images(name)], settings)
            for metric, value in distances.measure(second, seed=self.seed, step=split).items():
                values[metric].append(value)
        halves: dict[str, int | float] = {"num_images": size, "num_splits": NUM_SPLITS}
        for metric, found in values.items():
            columns = mean_and_std(metric, found)
            halves |= {key: value for key, value in columns.items() if value is not None}
        return halves


def _choose_rows(config: DatasetConfig, dataset: PreparedDataset) -> Indices:
    """Return the ascending rows of the training images that make the reference."""
    number = dataset.manifest.train.num_images
    order = numpy_generator(config.dataset.seed, "reference images").permutation(number)
    return np.sort(order[: config.dataset.reference.max_images])


def _require_two_images(dataset: PreparedDataset) -> None:
    for split in ("train", "test"):
        number = getattr(dataset.manifest, split).num_images
        if number < 2:
            raise DataError(
                f"{dataset.folder} has {number} {split} images, but a covariance needs two. Add "
                "images or raise test_fraction."
            )
