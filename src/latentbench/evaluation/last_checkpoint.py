"""Findings on the last checkpoint: samples' nearest training images, and samples per class."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from latentbench.artifacts.files import read_array
from latentbench.artifacts.paths import REFERENCE_ROWS
from latentbench.data.prepared import PreparedDataset
from latentbench.errors import ArtifactError
from latentbench.evaluation.findings import Findings
from latentbench.evaluation.metrics.distances import read_test_features
from latentbench.evaluation.metrics.memorization import Memorization
from latentbench.evaluation.predictions.attribute_accuracy import AttributeAccuracy
from latentbench.evaluation.predictions.classes import (
    MAX_IMAGES_PER_CLASS,
    ClassPredictions,
    LabelClassifier,
    class_rows,
    first_of_each_class,
)
from latentbench.evaluation.samples import Sampler, SampleSet
from latentbench.inference.model import Model

# Closest samples, and first samples, that are kept with their nearest training images.
NUM_SHOWN = 8
NUM_NEIGHBORS = 3

Images = np.ndarray[Any, np.dtype[np.uint8]]


@dataclass(frozen=True)
class CheckpointSamples:
    """A checkpoint, the first seed's samples, and each seed's predictions, if any."""

    sampler: Sampler
    trained: Model
    epoch: int
    first: SampleSet
    class_predictions: Sequence[ClassPredictions]
    attribute_accuracies: Sequence[Sequence[AttributeAccuracy]]

    def images(self, indices: Tensor) -> Images:
        """Decode samples of the first seed, uint8 (number, height, width, channel)."""
        latents, labels = self.first.latents[indices], self.first.labels[indices]
        batches = self.sampler.decode(self.trained, latents, labels, self.epoch)
        return torch.cat(list(batches)).cpu().numpy()


def memorization_findings(
    checkpoint: CheckpointSamples,
    memorization: Mapping[str, Memorization],
    dataset: PreparedDataset,
    reference: Path,
) -> Findings:
    """Return the closest and the first samples, their nearest images, and the share of copies."""
    name = checkpoint.sampler.reference.preferred_extractor
    measure, features = memorization[name], checkpoint.first.features[name]
    nearest = measure.nearest(features, num_neighbors=NUM_NEIGHBORS)
    distances, indices = (tensor.cpu() for tensor in nearest)
    closest = distances[:, 0].argsort(stable=True)[:NUM_SHOWN]
    shown = torch.cat([closest, torch.arange(len(features))[:NUM_SHOWN]])
    path = reference / REFERENCE_ROWS
    rows = read_array(path, shape=(len(measure.real),), dtype="int64")
    if rows.min() < 0 or rows.max() >= dataset.manifest.train.num_images:
        raise ArtifactError(
            f"{path} lists images {rows.min()} to {rows.max()}, but there are "
            f"{dataset.manifest.train.num_images:,}. Build the reference again."
        )
    return Findings(
        arrays={
            "memorization_samples": checkpoint.images(shown),
            "memorization_nearest": np.array(dataset.images("train")[rows[indices[shown].numpy()]]),
            "memorization_distances": distances[shown].float().numpy(),
        },
        facts={
            "memorization": {
                "extractor": name,
                "num_samples": len(features),
                "num_training": len(measure.real),
                "median_distance": measure.median_distance,
                "copied": measure.copied(distances[:, 0]),
                "warning": measure.warning(distances[:, 0]),
            }
        },
    )


def class_findings(
    checkpoint: CheckpointSamples,
    classifier: LabelClassifier | None,
    dataset: PreparedDataset,
    reference: Path,
) -> Findings:
    """Return images and numbers per class; nothing without a classifier of labels."""
    if classifier is None:
        return Findings()
    manifest = dataset.manifest
    names = manifest.class_names
    seeds = checkpoint.class_predictions
    shown = first_of_each_class(seeds[0].classes, num_classes=len(names))
    counts = np.array([len(indices) for indices in shown])
    shape = (
        len(names), MAX_IMAGES_PER_CLASS,
        manifest.image_size, manifest.image_size, manifest.channels,
    )  # fmt: skip
    images = np.zeros(shape, dtype=np.uint8)
    decoded = np.split(checkpoint.images(torch.cat(shown)), np.cumsum(counts)[:-1])
    for label, of_class in enumerate(decoded):
        images[label, : len(of_class)] = of_class
    extractor = classifier.classifier
    rows = class_rows(
        names,
        seeds,
        features=checkpoint.first.features[extractor.name],
        real_features=read_test_features(
            reference, extractor.name, shape=(manifest.test.num_images, extractor.dim)
        ),
        real_classes=torch.from_numpy(dataset.labels("test")),
    )
    return Findings(
        arrays={"class_samples": images, "class_counts": counts},
        facts={
            "classes_by": "predicted" if seeds[0].requested is None else "requested",
            "classes": rows,
        },
    )
