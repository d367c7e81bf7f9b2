"""A closer look at the last checkpoint: its samples beside training images, and class by class."""

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
from latentbench.evaluation.attribute_accuracy import AttributeAccuracy
from latentbench.evaluation.checkpoints import TrainedModel
from latentbench.evaluation.classes import (
    NUM_SHOWN,
    ClassPredictions,
    ClassRecognizer,
    class_rows,
    first_of_each,
)
from latentbench.evaluation.distances import read_test_features
from latentbench.evaluation.findings import Findings
from latentbench.evaluation.memorization import Memorization
from latentbench.evaluation.samples import Samples, SampleSet

NUM_REMEMBERED = 8  # samples that are shown beside training images, of the nearest and of the first
NUM_NEAREST = 3

Images = np.ndarray[Any, np.dtype[np.uint8]]


@dataclass(frozen=True)
class CheckpointSamples:
    """A checkpoint, its samples of the first seed, and by seed which classes and asked attributes are recognized,
    where any are."""

    samples: Samples
    trained: TrainedModel
    epoch: int
    first: SampleSet
    seeds: Sequence[ClassPredictions]
    recognitions: Sequence[Sequence[AttributeAccuracy]]

    def images(self, indices: Tensor) -> Images:
        """uint8 (number, height, width, channel), decoded once more: only features are kept of all samples."""
        latents, labels = self.first.latents[indices], self.first.labels[indices]
        return (
            torch.cat(list(self.samples.images(self.trained, latents, labels, self.epoch)))
            .cpu()
            .numpy()
        )


def beside_training_images(
    sampled: CheckpointSamples,
    memories: Mapping[str, Memorization],
    dataset: PreparedDataset,
    reference: Path,
) -> Findings:
    """The samples nearest to a training image, and the first ones, with their nearest training images."""
    name = sampled.samples.reference.preferred
    memory, features = memories[name], sampled.first.features[name]
    distances, indices = (found.cpu() for found in memory.nearest(features, number=NUM_NEAREST))
    shown = torch.cat(
        [
            distances[:, 0].argsort(stable=True)[:NUM_REMEMBERED],
            torch.arange(len(features))[:NUM_REMEMBERED],
        ]
    )
    rows = read_array(reference / REFERENCE_ROWS)
    if len(rows) != len(memory.real):
        raise ArtifactError(
            f"{reference / REFERENCE_ROWS} names {len(rows):,} images, but the {name} features are of "
            f"{len(memory.real):,}; build the reference again."
        )
    return Findings(
        arrays={
            "memorization_samples": sampled.images(shown),
            "memorization_nearest": np.array(dataset.images("train")[rows[indices[shown].numpy()]]),
            "memorization_distances": distances[shown].float().numpy(),
        },
        facts={
            "memorization": {
                "extractor": name,
                "num_samples": len(features),
                "num_training": len(memory.real),
                "median_distance": memory.typical,
                "copied": memory.copied(distances[:, 0]),
                "warning": memory.verdict(distances[:, 0]),
            }
        },
    )


def class_by_class(
    sampled: CheckpointSamples,
    recognizer: ClassRecognizer | None,
    dataset: PreparedDataset,
    reference: Path,
) -> Findings:
    """Nothing where no classifier knows the dataset's classes."""
    if recognizer is None:
        return Findings()
    names = dataset.manifest.class_names
    chosen = first_of_each(sampled.seeds[0].classes, num_classes=len(names))
    manifest = dataset.manifest
    shape = (len(names), NUM_SHOWN, manifest.image_size, manifest.image_size, manifest.channels)
    pictures = np.zeros(shape, dtype=np.uint8)
    decoded = sampled.images(torch.cat(chosen))
    counts = np.array([len(own) for own in chosen])
    for label, own in enumerate(np.split(decoded, np.cumsum(counts)[:-1])):
        pictures[label, : len(own)] = own
    classifier = recognizer.classifier
    rows = class_rows(
        names,
        sampled.seeds,
        features=sampled.first.features[classifier.name],
        real_features=read_test_features(
            reference, classifier.name, shape=(manifest.test.num_images, classifier.dim)
        ),
        real_classes=torch.from_numpy(dataset.labels("test")),
    )
    return Findings(
        arrays={"class_samples": pictures, "class_counts": counts},
        facts={
            "classes_by": "predicted" if sampled.seeds[0].asked is None else "requested",
            "classes": rows,
        },
    )
