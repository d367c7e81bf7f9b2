"""How real an image is: its distance to the nearest real one in feature space, and what the classifier sees in it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Self

import numpy as np
import torch
from torch import Tensor

from latentbench.config.experiments import ExperimentConfig
from latentbench.data.image_grid import Images
from latentbench.data.prepared import PreparedDataset
from latentbench.evaluation.classifier import ClassifierExtractor
from latentbench.evaluation.features import BATCH_SIZE, FeatureExtractor
from latentbench.evaluation.findings import Array
from latentbench.evaluation.manifest import ReferenceManifest
from latentbench.evaluation.memorization import Memorization


class Realism:
    """Real training images in feature space."""

    def __init__(
        self,
        extractor: FeatureExtractor,
        memory: Memorization,
        classifier: ClassifierExtractor | None,
        *,
        class_names: list[str],
        attribute_names: list[str],
    ) -> None:
        """`memory` is of the extractor's features; a classifier knows these classes and attributes, or none."""
        self.extractor = extractor
        self.memory = memory
        self.classifier = classifier
        self.class_names = class_names
        self.attribute_names = attribute_names

    @classmethod
    def open(
        cls,
        folder: Path,
        dataset: PreparedDataset,
        config: ExperimentConfig,
        *,
        device: torch.device,
    ) -> Self:
        """Read what the reference stage left.

        Raises ArtifactError where a file is missing or damaged, or of other images than the dataset's.
        """
        reference = ReferenceManifest.read(folder)
        reference.require_match(folder, dataset, config)
        loaded = {
            name: reference.load_extractor(name, folder, device=device)
            for name in reference.extractors
        }
        name = reference.preferred
        memory = Memorization.open(folder, name, reference.extractors[name])
        classifier = loaded.get("classifier")
        if not isinstance(classifier, ClassifierExtractor):
            return cls(loaded[name], memory, None, class_names=[], attribute_names=[])
        described = reference.extractors["classifier"]
        return cls(
            loaded[name],
            memory,
            classifier,
            class_names=dataset.manifest.class_names if described.knows_classes else [],
            attribute_names=list(described.attribute_accuracy),
        )

    def distances(self, images: Images) -> Array:
        """Float32 (...), of images (..., height, width, channel) to the nearest training image, over what the distance
        of a real image that no model saw typically is: the median over test images."""
        features = torch.cat([self.extractor(batch) for batch in _flat(images).split(BATCH_SIZE)])
        # Where most test images are copies of training images, everything else is far.
        typical = max(self.memory.typical, 1e-6)
        relative: Array = (self.memory.nearest(features)[0] / typical).float().cpu().numpy()
        return relative.reshape(images.shape[:-3])

    def probabilities(self, images: Images) -> Array | None:
        """Float32 (..., classes); None where no classifier knows classes."""
        if self.classifier is None or not self.class_names:
            return None
        return _seen_by(self.classifier, images, self.classifier.probabilities)

    def attributes(self, images: Images) -> Array:
        """Bool (..., attributes), which of `attribute_names` are seen; only where a classifier knows some."""
        assert self.classifier is not None
        return _seen_by(self.classifier, images, self.classifier.attributes)

    def recognized(self, images: Images) -> dict[str, float]:
        """By class, the share of the images that are taken for it; nothing where no classifier knows classes."""
        probabilities = self.probabilities(images)
        if probabilities is None:
            return {}
        counts = np.bincount(probabilities.reshape(-1, probabilities.shape[-1]).argmax(axis=1))
        return {
            self.class_names[label]: float(counts[label] / counts.sum())
            for label in np.flatnonzero(counts)
        }


def _flat(images: Images) -> Tensor:
    return torch.from_numpy(images.reshape(-1, *images.shape[-3:]))


def _seen_by(
    classifier: ClassifierExtractor, images: Images, answer: Callable[[Tensor], Tensor]
) -> Array:
    """(..., answers) that a classifier gives by the features of images (..., height, width, channel)."""
    answers: Array = (
        torch.cat([answer(classifier(batch)) for batch in _flat(images).split(BATCH_SIZE)])
        .cpu()
        .numpy()
    )
    return answers.reshape(*images.shape[:-3], -1)
