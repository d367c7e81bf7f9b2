"""Samples class by class: how many, whether the class asked for is the one that is seen, and how diverse."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

import torch
from torch import Tensor

from latentbench.evaluation.classifier import ClassifierExtractor
from latentbench.evaluation.features import FeatureExtractor
from latentbench.evaluation.manifest import ReferenceManifest
from latentbench.evaluation.samples import SampleSet

NUM_SHOWN = 10


@dataclass(frozen=True)
class ClassPredictions:
    """One seed's samples: the class (number,) that each was asked for, if any was, and the one that is recognized."""

    asked: Tensor | None
    recognized: Tensor

    @property
    def classes(self) -> Tensor:
        return self.recognized if self.asked is None else self.asked

    def accuracy(self, label: int | None = None) -> float | None:
        """The share of samples, of all or of those asked for a class, that are recognized as what was asked for."""
        if self.asked is None:
            return None
        chosen = slice(None) if label is None else self.asked == label
        right = (self.recognized == self.asked)[chosen].double()
        return right.mean().item() if len(right) else None


class ClassRecognizer:
    """A classifier that was trained on the dataset's labels; `asks` says whether samples are asked for by class."""

    def __init__(self, classifier: ClassifierExtractor, *, asks: bool) -> None:
        self.classifier = classifier
        self.asks = asks

    @classmethod
    def among(
        cls, extractors: Mapping[str, FeatureExtractor], reference: ReferenceManifest, *, asks: bool
    ) -> Self | None:
        """None where no extractor knows classes."""
        classifier = extractors.get("classifier")
        if (
            not isinstance(classifier, ClassifierExtractor)
            or not reference.extractors["classifier"].knows_classes
        ):
            return None
        return cls(classifier, asks=asks)

    def recognize(self, images: Tensor) -> Tensor:
        """The class (batch,), on the CPU, that is seen in uint8 images (batch, height, width, channel)."""
        return self.classifier.predict(self.classifier(images)).cpu()

    def sorted(self, drawn: SampleSet) -> ClassPredictions:
        recognized = self.classifier.predict(drawn.features[self.classifier.name]).cpu()
        return ClassPredictions(drawn.labels.argmax(dim=1) if self.asks else None, recognized)


def class_rows(
    names: Sequence[str],
    seeds: Sequence[ClassPredictions],
    *,
    features: Tensor,
    real_features: Tensor,
    real_classes: Tensor,
) -> list[dict[str, Any]]:
    """A row per class.

    The `features` (number, dim) are of the first of the seeds' samples; those of test images stand beside them.
    """
    rows = []
    for label, name in enumerate(names):
        own = seeds[0].classes == label
        accuracies = [value for seed in seeds if (value := seed.accuracy(label)) is not None]
        rows.append(
            {
                "name": name,
                "num_samples": int(own.sum()),
                "label_accuracy": statistics.mean(accuracies) if accuracies else None,
                "label_accuracy_std": statistics.stdev(accuracies) if len(accuracies) > 1 else None,
                "diversity": diversity(features[own.to(features.device)]),
                "real_diversity": diversity(real_features[real_classes == label]),
            }
        )
    return rows


def diversity(features: Tensor) -> float | None:
    """The root mean square distance of two different ones of the features (number, dim); None of less than two.

    The mean over pairs of a squared distance is twice the trace of the unbiased covariance.
    """
    if len(features) < 2:
        return None
    return (2 * features.to(torch.float64).var(dim=0).sum()).sqrt().item()


def first_of_each(classes: Tensor, *, num_classes: int) -> list[Tensor]:
    """By class, the indices of its first samples, at most NUM_SHOWN."""
    return [(classes == label).nonzero().flatten()[:NUM_SHOWN] for label in range(num_classes)]
