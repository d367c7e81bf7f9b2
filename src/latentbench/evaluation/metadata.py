"""What metrics.json holds besides the metrics: protocols, scores of real images, and warnings."""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence
from typing import Any

from latentbench.artifacts.metrics import (
    CLOSER_TO_TRAIN,
    CMMD,
    LABEL_ACCURACY,
    NAMES,
    feature_column,
)
from latentbench.artifacts.paths import extractor_of
from latentbench.evaluation.manifest import ReferenceManifest
from latentbench.evaluation.metrics.cmmd import BANDWIDTH, SCALE
from latentbench.evaluation.metrics.distances import Distances
from latentbench.evaluation.predictions.attribute_accuracy import mean_balanced_accuracy
from latentbench.evaluation.predictions.attribute_conditioning import AttributeClassifier


def warnings(reference: ReferenceManifest, *, num_samples: int, is_generative: bool) -> list[str]:
    """Return sentences on what limits the meaning of the distances."""
    sentences = []
    if not is_generative:
        sentences.append(
            "The model was not trained with a prior. Its samples decode latents from N(0, I), so "
            "their distance to the real images measures how far the codes are from N(0, I), not "
            "how good reconstructions are."
        )
    for name in dict.fromkeys(map(extractor_of, reference.extractors)):
        described = reference.extractors[name]
        if not described.has_frechet_distance:
            continue
        dim = described.feature_dim
        for kind, number in (("generated", num_samples), ("real", reference.num_images)):
            if number <= dim:
                sentences.append(
                    f"{NAMES[described.metric]} compares covariances of {dim:,} features estimated "
                    f"from only {number:,} {kind} images, so it is biased upwards. Compare it only "
                    "with values at the same numbers of images."
                )
    return sentences


def protocol_metadata(
    reference: ReferenceManifest, distances: Mapping[str, Distances]
) -> dict[str, Any]:
    """Return protocols, and the distances of two halves of the training images."""
    protocols: dict[str, str] = {}
    train_halves: dict[str, float] = {}
    for extractor in dict.fromkeys(map(extractor_of, reference.extractors)):
        networks = reference.networks_of(extractor)
        described = reference.extractors[extractor]
        protocols[extractor] = _protocol(
            described.protocol, distances[extractor], described.kernel_metric, len(networks)
        )
        halves = [reference.extractors[network].train_halves for network in networks]
        train_halves |= _mean_halves(halves)
    return {"protocols": protocols, "train_halves": train_halves}


def _mean_halves(halves: Sequence[Mapping[str, int | float]]) -> dict[str, float]:
    """Return the mean over networks; standard deviations include the spread over networks."""
    merged = dict(halves[0])
    if len(halves) == 1:
        return merged
    for key in merged:
        if f"{key}_std" in merged:
            means = [found[key] for found in halves]
            within = [found[f"{key}_std"] ** 2 for found in halves]
            spread = statistics.mean(within) + statistics.variance(means)
            merged |= {key: statistics.mean(means), f"{key}_std": math.sqrt(spread)}
    return merged


def reference_scores(
    reference: ReferenceManifest, attributes: AttributeClassifier | None
) -> dict[str, float]:
    """Return what the reference stage measured on all test images, as columns of metrics.csv.

    These are the share that is closer to training images than the median, and the classifier's
    accuracy.
    """
    scores = {}
    for extractor in dict.fromkeys(map(extractor_of, reference.extractors)):
        networks = [reference.extractors[name] for name in reference.networks_of(extractor)]
        shares = [network.closer_to_train for network in networks]
        scores[feature_column(CLOSER_TO_TRAIN, extractor)] = statistics.mean(shares)
        if networks[0].predicts_classes and networks[0].accuracy is not None:
            scores[LABEL_ACCURACY] = networks[0].accuracy
    if attributes is not None:
        scores[LABEL_ACCURACY] = mean_balanced_accuracy(attributes.test_accuracy.values())
    return scores


def _protocol(
    features: str, distances: Distances, kernel_metric: str | None, num_networks: int
) -> str:
    if kernel_metric is None:
        kernel = (
            f"{NAMES[CMMD]} compares each set of samples with {len(distances.real):,} real images "
            f"by a Gaussian kernel of bandwidth {BANDWIDTH:g}, in units of 1 / {SCALE:,}"
        )
    else:
        kernel = (
            f"{NAMES[kernel_metric]} is the mean over {distances.num_subsets} subsets of "
            f"{distances.subset_size:,} images of each set of samples"
        )
    repeats = ""
    if num_networks > 1:
        repeats = (
            f"; numbers are means over {num_networks} such networks, which differ in their seed, "
            "and the ± of a model trained once includes the spread over these"
        )
    return (
        f"{features}{repeats}; {kernel}; precision, recall, density and coverage compare "
        f"{distances.num_compared:,} real with as many generated images, with "
        f"{distances.num_neighbors} nearest neighbors"
    )
