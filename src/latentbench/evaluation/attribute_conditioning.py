"""Samples asked for by attributes: whether these are seen in them, and only these."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from typing import Self

from latentbench.data.labels import Condition
from latentbench.evaluation.attribute_accuracy import AttributeAccuracy
from latentbench.evaluation.classifier import ClassifierExtractor
from latentbench.evaluation.features import FeatureExtractor
from latentbench.evaluation.findings import Findings
from latentbench.evaluation.manifest import ReferenceManifest
from latentbench.evaluation.samples import SampleSet


class AttributeRecognizer:
    """A classifier that was trained on the dataset's attributes, `known` as well on test images, of which some are
    asked for."""

    def __init__(
        self,
        classifier: ClassifierExtractor,
        known: Mapping[str, AttributeAccuracy],
        asked: Sequence[str],
    ) -> None:
        self.classifier = classifier
        self.known = {name: known[name] for name in asked}
        self._places = [list(known).index(name) for name in asked]

    @classmethod
    def among(
        cls,
        extractors: Mapping[str, FeatureExtractor],
        reference: ReferenceManifest,
        condition: Condition,
    ) -> Self | None:
        """None where samples are not asked for by attributes, or no extractor knows them."""
        classifier = extractors.get("classifier")
        if (
            condition is None
            or isinstance(condition, str)
            or not isinstance(classifier, ClassifierExtractor)
        ):
            return None
        known = reference.extractors["classifier"].attribute_accuracy
        return cls(classifier, known, condition) if set(condition) <= set(known) else None

    def recognize(self, drawn: SampleSet) -> list[AttributeAccuracy]:
        """By attribute that is asked for, in the order of the condition."""
        seen = self.classifier.attributes(drawn.features[self.classifier.name]).cpu()[
            :, self._places
        ]
        there = drawn.labels.cpu() > 0
        return [
            AttributeAccuracy.of(*columns)
            for columns in zip(seen.unbind(1), there.unbind(1), strict=True)
        ]

    def findings(self, seeds: Sequence[Sequence[AttributeAccuracy]]) -> Findings:
        """Two rows per attribute: of samples that were to have it, and of those that were not, the share that does as
        was asked, with its spread over sampling seeds and the share of test images that the classifier is right on."""
        rows = [
            {"name": name, "requested": side == "present"}
            | _over_seeds(found, side)
            | {"real": getattr(known, side)}
            for (name, known), found in zip(
                self.known.items(), zip(*seeds, strict=True), strict=True
            )
            for side in ("present", "absent")
        ]
        return Findings(facts={"attributes": rows})


def _over_seeds(found: Sequence[AttributeAccuracy], side: str) -> dict[str, float | None]:
    shares = [share for each in found if (share := getattr(each, side)) is not None]
    return {
        "label_accuracy": statistics.mean(shares) if shares else None,
        "label_accuracy_std": statistics.stdev(shares) if len(shares) > 1 else None,
    }
