"""Samples per class: number, agreement with the requested class, and diversity."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

import torch
from torch import Tensor

from latentbench.evaluation.features.classifier import ClassifierExtractor
from latentbench.evaluation.features.extract import FeatureExtractor
from latentbench.evaluation.manifest import ReferenceManifest
from latentbench.evaluation.samples import SampleSet

MAX_IMAGES_PER_CLASS = 10


@dataclass(frozen=True)
class ClassPredictions:
    """The requested and the predicted class (number,) of one seed's samples.

    `requested` is None for models that are not conditioned on the class.
    """

    requested: Tensor | None
    predicted: Tensor

    @property
    def classes(self) -> Tensor:
        """The requested classes, or the predicted ones where none were requested."""
        return self.predicted if self.requested is None else self.requested

    def accuracy(self, label: int | None = None) -> float | None:
        """Return the share of samples whose predicted class is the requested one.

        `label` restricts it to one requested class. None where no class, or not this one, was
        requested.
        """
        if self.requested is None:
            return None
        correct = self.predicted == self.requested
        if label is not None:
            correct = correct[self.requested == label]
        return correct.double().mean().item() if len(correct) else None


class LabelClassifier:
    """A classifier that was trained on the dataset's labels."""

    def __init__(self, classifier: ClassifierExtractor, *, conditional: bool) -> None:
        """`conditional`: the model is conditioned on the class."""
        self.classifier = classifier
        self.conditional = conditional

    @classmethod
    def from_extractors(
        cls,
        extractors: Mapping[str, FeatureExtractor],
        reference: ReferenceManifest,
        *,
        conditional: bool,
    ) -> Self | None:
        """Return None where no extractor was trained on labels."""
        classifier = extractors.get("classifier")
        if not isinstance(classifier, ClassifierExtractor):
            return None
        if not reference.extractors["classifier"].predicts_classes:
            return None
        return cls(classifier, conditional=conditional)

    def predict(self, images: Tensor) -> Tensor:
        """Return the class (batch,), on the CPU, of uint8 images (batch, height, width, ...)."""
        return self.classifier.predict_classes(self.classifier(images)).cpu()

    def predict_samples(self, samples: SampleSet) -> ClassPredictions:
        """Predict the classes of samples from the features that were computed already."""
        features = samples.features[self.classifier.name]
        predicted = self.classifier.predict_classes(features).cpu()
        requested = samples.labels.argmax(dim=1) if self.conditional else None
        return ClassPredictions(requested, predicted)


def class_rows(
    names: Sequence[str],
    seeds: Sequence[ClassPredictions],
    *,
    features: Tensor,
    real_features: Tensor,
    real_classes: Tensor,
) -> list[dict[str, Any]]:
    """Return a row per class.

    `features` (number, dim) are those of the first seed's samples; `real_features` those of the
    test images.
    """
    rows = []
    for label, name in enumerate(names):
        in_class = seeds[0].classes == label
        accuracies = [value for seed in seeds if (value := seed.accuracy(label)) is not None]
        rows.append(
            {
                "name": name,
                "num_samples": int(in_class.sum()),
                "label_accuracy": statistics.mean(accuracies) if accuracies else None,
                "label_accuracy_std": statistics.stdev(accuracies) if len(accuracies) > 1 else None,
                "diversity": diversity(features[in_class.to(features.device)]),
                "real_diversity": diversity(real_features[real_classes == label]),
            }
        )
    return rows


def diversity(features: Tensor) -> float | None:
    """Return the root mean square distance over pairs of features (number, dim), or None.

    The mean squared distance over pairs is twice the trace of the unbiased covariance. One feature
    has none.
    """
    if len(features) < 2:
        return None
    return (2 * features.to(torch.float64).var(dim=0).sum()).sqrt().item()


def first_of_each_class(classes: Tensor, *, num_classes: int) -> list[Tensor]:
    """Return, per class, the indices of its first samples, at most MAX_IMAGES_PER_CLASS."""
    return [
        (classes == label).nonzero().flatten()[:MAX_IMAGES_PER_CLASS]
        for label in range(num_classes)
    ]
