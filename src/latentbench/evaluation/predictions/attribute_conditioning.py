"""Samples of models conditioned on attributes: does the classifier see the requested attributes?"""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from typing import Any, Self

from latentbench.data.labels import Condition
from latentbench.evaluation.features.classifier import ClassifierExtractor
from latentbench.evaluation.features.extract import FeatureExtractor
from latentbench.evaluation.findings import Findings
from latentbench.evaluation.manifest import ReferenceManifest
from latentbench.evaluation.predictions.attribute_accuracy import AttributeAccuracy
from latentbench.evaluation.samples import SampleSet


class AttributeClassifier:
    """Compares the requested attributes of samples with those that the classifier predicts."""

    def __init__(
        self,
        classifier: ClassifierExtractor,
        test_accuracy: Mapping[str, AttributeAccuracy],
        requested: Sequence[str],
    ) -> None:
        """`test_accuracy` is the classifier's on test images, in the order of its outputs."""
        self.classifier = classifier
        self.test_accuracy = {name: test_accuracy[name] for name in requested}
        self._columns = [list(test_accuracy).index(name) for name in requested]

    @classmethod
    def from_extractors(
        cls,
        extractors: Mapping[str, FeatureExtractor],
        reference: ReferenceManifest,
        condition: Condition,
    ) -> Self | None:
        """Return None without attributes in the condition, or where no extractor predicts them."""
        classifier = extractors.get("classifier")
        if condition is None or isinstance(condition, str):
            return None
        if not isinstance(classifier, ClassifierExtractor):
            return None
        test_accuracy = reference.extractors["classifier"].attribute_accuracy
        if not set(condition) <= set(test_accuracy):
            return None
        return cls(classifier, test_accuracy, condition)

    def evaluate(self, samples: SampleSet) -> list[AttributeAccuracy]:
        """Return the accuracy of each requested attribute, in the order of the condition."""
        features = samples.features[self.classifier.name]
        predicted = self.classifier.predict_attributes(features).cpu()[:, self._columns]
        requested = samples.labels.cpu() > 0
        pairs = zip(predicted.unbind(1), requested.unbind(1), strict=True)
        return [AttributeAccuracy.from_predictions(*pair) for pair in pairs]

    def findings(self, seeds: Sequence[Sequence[AttributeAccuracy]]) -> Findings:
        """Return two rows per attribute: of samples with and without a request for it.

        `label_accuracy` is the share of these samples in which the classifier agrees with the
        request, with its standard deviation over sampling seeds. `real` is the classifier's
        accuracy on test images.
        """
        rows = []
        for place, (name, on_test) in enumerate(self.test_accuracy.items()):
            accuracies = [of_seed[place] for of_seed in seeds]
            for side in ("present", "absent"):
                row = {"name": name, "requested": side == "present"}
                rows.append(row | _over_seeds(accuracies, side) | {"real": getattr(on_test, side)})
        return Findings(facts={"attributes": rows})


def _over_seeds(accuracies: Sequence[AttributeAccuracy], side: str) -> dict[str, Any]:
    rates = [getattr(accuracy, side) for accuracy in accuracies]
    measured = [rate for rate in rates if rate is not None]
    return {
        "label_accuracy": statistics.mean(measured) if measured else None,
        "label_accuracy_std": statistics.stdev(measured) if len(measured) > 1 else None,
    }
