"""Realism of images: distance to the nearest training image, and predicted labels."""

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
from latentbench.evaluation.features.classifier import ClassifierExtractor
from latentbench.evaluation.features.extract import BATCH_SIZE, FeatureExtractor
from latentbench.evaluation.findings import Array
from latentbench.evaluation.manifest import ReferenceManifest
from latentbench.evaluation.metrics.memorization import Memorization


class Realism:
    """Compares images with training images in feature space."""

    def __init__(
        self,
        extractor: FeatureExtractor,
        memorization: Memorization,
        classifier: ClassifierExtractor | None,
        *,
        class_names: list[str],
        attribute_names: list[str],
    ) -> None:
        """Keep networks that belong together.

        `memorization` is of the extractor's features. The names are those that the classifier was
        trained on, empty without a classifier.
        """
        self.extractor = extractor
        self.memorization = memorization
        self.classifier = classifier
        self.class_names = class_names
        self.attribute_names = attribute_names

    @classmethod
    def load(
        cls,
        folder: Path,
        dataset: PreparedDataset,
        config: ExperimentConfig,
        *,
        device: torch.device,
    ) -> Self:
        """Read what the reference stage wrote.

        Raises:
            ArtifactError: A file is missing or damaged, or was made from another dataset.
        """
        reference = ReferenceManifest.read(folder)
        reference.require_match(folder, dataset, config)
        name = reference.preferred_extractor
        extractor = reference.load_extractor(name, folder, device=device)
        memorization = Memorization.load(folder, name, reference)
        manifest = reference.extractors.get("classifier")
        if manifest is None:
            return cls(extractor, memorization, None, class_names=[], attribute_names=[])
        classifier = extractor
        if name != "classifier":
            classifier = reference.load_extractor("classifier", folder, device=device)
        assert isinstance(classifier, ClassifierExtractor)
        return cls(
            extractor,
            memorization,
            classifier,
            class_names=dataset.manifest.class_names if manifest.predicts_classes else [],
            attribute_names=list(manifest.attribute_accuracy),
        )

    def distances(self, images: Images) -> Array:
        """Return float32 (...), the distances of images to their nearest training images.

        `images` are (..., height, width, channel). The unit is the median distance of test images.
        """
        features = torch.cat([self.extractor(batch) for batch in _batches(images)])
        # The median is 0 where most test images are copies of training images.
        unit = max(self.memorization.median_distance, 1e-6)
        relative: Array = (self.memorization.nearest(features)[0] / unit).float().cpu().numpy()
        return relative.reshape(images.shape[:-3])

    def class_probabilities(self, images: Images) -> Array | None:
        """Return float32 (..., classes), or None without a classifier of classes."""
        if self.classifier is None or not self.class_names:
            return None
        return _predict(self.classifier, images, self.classifier.class_probabilities)

    def predict_attributes(self, images: Images) -> Array:
        """Return bool (..., attributes), in the order of `attribute_names`."""
        assert self.classifier is not None
        return _predict(self.classifier, images, self.classifier.predict_attributes)

    def predicted_classes(self, images: Images) -> dict[str, float]:
        """Return each predicted class's share of the images; empty without a classifier."""
        probabilities = self.class_probabilities(images)
        if probabilities is None:
            return {}
        predicted = probabilities.reshape(-1, probabilities.shape[-1]).argmax(axis=1)
        labels, counts = np.unique(predicted, return_counts=True)
        shares = counts / counts.sum()
        return {self.class_names[label]: float(shares[i]) for i, label in enumerate(labels)}


def _batches(images: Images) -> tuple[Tensor, ...]:
    batches: tuple[Tensor, ...] = torch.from_numpy(images.reshape(-1, *images.shape[-3:])).split(
        BATCH_SIZE
    )
    return batches


def _predict(
    classifier: ClassifierExtractor, images: Images, head: Callable[[Tensor], Tensor]
) -> Array:
    """Return (..., outputs) of images (..., height, width, channel)."""
    outputs = torch.cat([head(classifier(batch)) for batch in _batches(images)]).cpu().numpy()
    return outputs.reshape(*images.shape[:-3], -1)
