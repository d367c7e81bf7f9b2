"""The reference stage: the feature networks, and the real images' features and statistics."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from latentbench.artifacts.dependencies import settings_of
from latentbench.artifacts.files import atomic_write, file_sha256, read_array, write_array
from latentbench.artifacts.metrics import CLOSER_TO_TRAIN, DISTANCES, feature_column
from latentbench.artifacts.paths import (
    CLASSIFIER,
    DATASET_MANIFEST,
    REFERENCE_MANIFEST,
    REFERENCE_ROWS,
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
from latentbench.evaluation.attribute_accuracy import mean_balanced
from latentbench.evaluation.classifier import ClassifierExtractor
from latentbench.evaluation.distances import Distances
from latentbench.evaluation.feature_stats import Moments, compute_feature_stats
from latentbench.evaluation.features import FeatureExtractor, extract, prepare_measurement
from latentbench.evaluation.inception import InceptionExtractor, locate_inception
from latentbench.evaluation.kid import MOST_REAL_IMAGES
from latentbench.evaluation.knn import Rows
from latentbench.evaluation.manifest import FORMAT, ExtractorManifest, ReferenceManifest
from latentbench.evaluation.memorization import Memorization
from latentbench.evaluation.train_classifier import accuracy, choose_task, train_classifier
from latentbench.rng import numpy_generator

Indices = np.ndarray[Any, np.dtype[np.int64]]


def build_reference(
    config: DatasetConfig, data: Path, output: Path, *, record: Path | None = None
) -> None:
    """Write which images are taken, each extractor's network, features and statistics, and reference.json, the last;
    what made them goes to `record`.

    Raises ArtifactError, DataError, DownloadError, DivergenceError and StorageError.
    """
    device = prepare_measurement(config.dataset.reference.compute)
    dataset = PreparedDataset.open(data)
    _require_two_images(dataset)
    (output / REFERENCE_MANIFEST).unlink(missing_ok=True)
    rows = _choose_rows(config, dataset)
    write_array(output / REFERENCE_ROWS, rows)
    builder = _Builder(config, dataset, output, device, rows)
    extractors: dict[str, ExtractorManifest] = {
        name: builder.build(name) for name in config.dataset.reference.extractors
    }
    ReferenceManifest(
        format=FORMAT,
        dataset=config.name,
        data_digest=dataset.manifest.digest,
        split="train",
        num_images=len(rows),
        extractors=extractors,
    ).write(output)
    if record is not None:
        write_record(
            record,
            "reference",
            settings=settings_of("reference", config.model_dump(mode="json")),
            inputs=[data / DATASET_MANIFEST],
            outputs=[
                output / name for name in reference_files(config.dataset.reference.extractors)
            ],
            cost=ResourceUsage.measure(),
        )


class _Builder:
    """One dataset's images, and where what is measured of them goes."""

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
        extractor, facts = self._classifier() if name == "classifier" else self._inception()
        self._write_features(extractor)
        real = read_array(self.output / features_name(name), mmap=True)
        unseen = self._unseen(extractor)
        memory = Memorization.of_unseen(real, unseen)
        metric, kernel_metric = DISTANCES[name]
        return ExtractorManifest(
            metric=metric,
            kernel_metric=kernel_metric,
            protocol=extractor.protocol,
            feature_dim=extractor.dim,
            test_scores=self._floor(name, unseen)
            | {feature_column(CLOSER_TO_TRAIN, name): memory.nearer(unseen)},
            train_halves=self._halves(name, real),
            median_distance=memory.typical,
            close_distance=memory.close,
            **facts,
        )

    def _classifier(self) -> tuple[FeatureExtractor, dict[str, Any]]:
        """Train the classifier and save it."""
        task = choose_task(self.dataset)
        network = train_classifier(
            self.dataset, task, self.settings, seed=self.seed, device=self.device
        )
        share, by_attribute = accuracy(network, self.dataset, task, device=self.device)
        manifest = self.dataset.manifest
        log(f"{self.name}: the classifier gets {share:.1%} of the test images' {task.name} right.")
        also = ""
        if by_attribute:
            mean = mean_balanced(by_attribute.values())
            log(
                f"{self.name}: the classifier gets {mean:.1%} of its attributes right, with and without counting half."
            )
            also = f" and to see {len(by_attribute)} attributes ({mean:.1%} right, with and without each counting half)"
        protocol = (
            "the last hidden layer of a convolutional network trained on the "
            f"{manifest.train.num_images:,} training images of {self.name} to {task.aim} "
            f"({share:.1%} right on test images){also}, of 8-bit images at "
            f"{manifest.image_size}×{manifest.image_size}, not resized"
        )
        extractor = ClassifierExtractor(network, protocol=protocol, device=self.device)
        extractor.save(self.output / CLASSIFIER)
        sha256 = file_sha256(self.output / CLASSIFIER)
        known = {"task": task.name, "accuracy": share, "attribute_accuracy": by_attribute}
        return extractor, {"sha256": sha256, **known}

    def _inception(self) -> tuple[FeatureExtractor, dict[str, Any]]:
        given, sha256 = self.settings.inception_path, self.settings.inception_sha256
        path = locate_inception(given, sha256=sha256)
        return InceptionExtractor(path, sha256=sha256, device=self.device), {
            "sha256": sha256,
            "path": given,
        }

    def _write_features(self, extractor: FeatureExtractor) -> None:
        """Of the chosen training images, batch by batch into a mapped file."""
        moments = Moments(extractor.dim, device=self.device)
        with atomic_write(self.output / features_name(extractor.name)) as partial:
            shape = (len(self.rows), extractor.dim)
            kept = np.lib.format.open_memmap(partial, mode="w+", dtype=np.float32, shape=shape)

            def take(features: Tensor) -> None:
                kept[moments.count : moments.count + len(features)] = features.cpu().numpy()
                moments.add(features)

            extract(extractor, self.dataset.images("train"), take, rows=self.rows)
            kept.flush()
        statistics = moments.statistics().with_root()
        statistics.save(self.output / statistics_name(extractor.name))

    def _unseen(self, extractor: FeatureExtractor) -> Tensor:
        """Features of the test images, which are kept."""
        images = self.dataset.images("test")
        features = _gathered(lambda take: extract(extractor, images, take))
        write_array(self.output / test_features_name(extractor.name), features.cpu().numpy())
        return features

    def _floor(self, name: str, unseen: Tensor) -> dict[str, int | float]:
        """What real images score that neither the network nor the statistics have seen."""
        distances = Distances.open(
            self.output,
            name,
            Evaluation(num_samples=len(unseen)),
            dim=unseen.shape[1],
            device=self.device,
        )
        metric, kernel_metric = DISTANCES[name]
        return {
            metric: distances.frechet(unseen),
            kernel_metric: distances.kernel_over_subsets(unseen, seed=self.seed).mean().item(),
            **{
                feature_column(quantity, name): value
                for quantity, value in distances.overlap(unseen).items()
            },
            "num_images": len(unseen),
        }

    def _halves(self, name: str, real: Rows) -> dict[str, int | float]:
        """How far apart two random halves of the training images are; nothing where halves have no covariance."""
        order = numpy_generator(self.seed, "halves").permutation(len(real))
        size = len(real) // 2
        if size < 2:
            return {}
        one, other = (
            torch.from_numpy(real[rows]).to(self.device)
            for rows in (order[:size], order[size : 2 * size])
        )
        settings = Evaluation(num_samples=size)
        distances = Distances(compute_feature_stats(one), one[:MOST_REAL_IMAGES], settings)
        metric, kernel_metric = DISTANCES[name]
        return {
            metric: distances.frechet(other),
            kernel_metric: distances.kernel_over_subsets(other, seed=self.seed).mean().item(),
            "num_images": size,
        }


def _gathered(extract_into: Callable[[Callable[[Tensor], None]], None]) -> Tensor:
    batches: list[Tensor] = []
    extract_into(batches.append)
    return torch.cat(batches)


def _choose_rows(config: DatasetConfig, dataset: PreparedDataset) -> Indices:
    """Which training images make the reference, rising."""
    number = dataset.manifest.train.num_images
    order = numpy_generator(config.dataset.seed, "reference images").permutation(number)
    return np.sort(order[: config.dataset.reference.max_images])


def _require_two_images(dataset: PreparedDataset) -> None:
    for split in ("train", "test"):
        number = getattr(dataset.manifest, split).num_images
        if number < 2:
            raise DataError(
                f"{dataset.folder} has {number} {split} images, but a covariance takes two; add pictures "
                "or hold out a larger share."
            )
