"""What stands beside the numbers: how they were measured, what real images score, and what makes them less."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from latentbench.artifacts.metrics import LABEL_ACCURACY
from latentbench.evaluation.attribute_accuracy import mean_balanced
from latentbench.evaluation.attribute_conditioning import AttributeRecognizer
from latentbench.evaluation.distances import Distances
from latentbench.evaluation.manifest import ReferenceManifest


def warnings(reference: ReferenceManifest, *, num_samples: int, has_prior: bool) -> list[str]:
    """What makes a distance less than it seems."""
    promised = [
        "samples decode latents of N(0, I), which was not trained: their distance from the real images says how far "
        "codes are from that distribution, not how well images are reconstructed."
    ]
    sizes = {"generated": num_samples, "real": reference.num_images}
    biased = [
        f"{described.metric.upper()} compares covariances of {described.feature_dim:,} features, but of "
        f"only {number:,} {kind} images, so it is biased upwards; compare it at equal numbers only."
        for described in reference.extractors.values()
        for kind, number in sizes.items()
        if number <= described.feature_dim
    ]
    return [*promised * (not has_prior), *biased]


def description(
    reference: ReferenceManifest,
    distances: Mapping[str, Distances],
    attributes: AttributeRecognizer | None,
) -> dict[str, Any]:
    """The protocol of each extractor, what real images of the test split score, and how far apart real ones are."""
    protocols: dict[str, str] = {}
    floor: dict[str, float] = {}
    halves: dict[str, float] = {}
    for name, described in reference.extractors.items():
        own = distances[name]
        protocols[name] = (
            f"{described.protocol}; {described.kernel_metric.upper()} is the mean, and its ± the "
            f"standard deviation, over {own.num_subsets} subsets of "
            f"{own.subset_size:,} images per seed; precision, recall, density and coverage are of "
            f"{own.num_overlapping:,} images on either side, with neighborhoods up to the nearest "
            f"{own.num_neighbors}"
        )
        floor |= {key: value for key, value in described.test_scores.items() if key != "num_images"}
        halves |= described.train_halves
        if described.knows_classes and described.accuracy is not None:
            floor[LABEL_ACCURACY] = described.accuracy
    if attributes is not None:
        floor[LABEL_ACCURACY] = mean_balanced(attributes.known.values())
    num_test_images = next(
        int(described.test_scores["num_images"]) for described in reference.extractors.values()
    )
    return {
        "protocols": protocols,
        "test_scores": floor,
        "num_test_images": num_test_images,
        "train_halves": halves,
    }
