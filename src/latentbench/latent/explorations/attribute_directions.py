"""Latent directions along which an attribute changes: found by a linear probe, then followed.

As in Shen et al. (2020), a direction is judged by a classifier of the decoded images: the attribute
of the direction should change, the other attributes should not.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from threadpoolctl import threadpool_limits
from torch import Tensor

from latentbench.evaluation.findings import Array, Findings
from latentbench.latent.model_probe import ModelProbe

# Steps along a direction, in standard deviations of the codes along it.
STEPS = (-3.0, -2.0, -1.0, 0.0, 1.0, 2.0, 3.0)
NUM_SHOWN = 4  # images per direction that are kept
NUM_CLASSIFIED = 100  # images per direction whose attributes are predicted
MAX_DIRECTIONS = 6
MAX_PROBED = 5_000  # training images or samples
_NUM_TEST_SAMPLES = 1_000  # of these samples, those that the probe is tested on
_CHUNK_SIZE = 1_000  # samples that are decoded and classified at once
_MIN_EXAMPLES = 10  # images with the attribute, and without it, that a probe needs


@dataclass(frozen=True)
class Direction:
    """The direction of an attribute; `step` (latent_dim,) is one standard deviation along it.

    `accuracy` is the probe's share of correct predictions on test codes, `base_rate` that of always
    predicting the more frequent value.
    """

    attribute: str
    step: Array
    accuracy: float
    base_rate: float


@dataclass(frozen=True)
class LabeledCodes:
    """Codes (number, latent_dim) and the attributes (number, attributes) of their images."""

    codes: Array
    attributes: Array


@dataclass(frozen=True)
class ProbeData:
    """Codes to train and test probes on, and codes with labels from which directions start.

    `starts` is (number, latent_dim), `labels` (number, num_labels). `source` names what the codes
    are of.
    """

    source: str
    names: list[str]
    train: LabeledCodes
    test: LabeledCodes
    starts: Tensor
    labels: Tensor


def explore_directions(probe: ModelProbe) -> Findings:
    """Follow the directions of the attributes that the probes predict best.

    `attribute_directions` are (directions, latent_dim), one standard deviation of the codes long.
    """
    data = data_from_images(probe) if probe.has_encoder else data_from_samples(probe)
    if data is None:
        return Findings()
    directions = []
    with threadpool_limits(probe.threads):  # the number of threads changes the order of sums
        for place, name in enumerate(data.names):
            direction = fit_direction(
                name,
                (data.train.codes, data.train.attributes[:, place]),
                (data.test.codes, data.test.attributes[:, place]),
            )
            if direction is not None:
                directions.append(direction)
    directions.sort(key=lambda direction: direction.base_rate - direction.accuracy)
    directions = directions[:MAX_DIRECTIONS]
    if not directions:
        return Findings()
    images = _follow(probe, data, directions)
    rows = []
    for direction, along in zip(directions, images, strict=True):
        row = {
            "attribute": direction.attribute,
            "accuracy": direction.accuracy,
            "base_rate": direction.base_rate,
        }
        rows.append(row | _predicted_attributes(probe, along))
    facts = {
        "directions": rows,
        "direction_steps": list(STEPS),
        "directions_source": data.source,
    }
    steps = np.stack([direction.step for direction in directions]).astype(np.float32)
    arrays = {"directions": images[:, :NUM_SHOWN], "attribute_directions": steps}
    return Findings(arrays, facts)


def data_from_images(probe: ModelProbe) -> ProbeData | None:
    """Return codes of real images with their attributes; None for datasets without attributes."""
    names = probe.dataset.manifest.attribute_names
    if not names:
        return None
    rows = probe.shuffled_rows("test", "walks")[:NUM_CLASSIFIED]
    labels = probe.labels("test", rows)
    starts = probe.encode(probe.images("test", rows), labels)
    train, test = _encode(probe, "train"), _encode(probe, "test")
    return ProbeData("test images", names, train, test, starts, labels)


def data_from_samples(probe: ModelProbe) -> ProbeData | None:
    """Return random latents with the attributes that the classifier predicts for their images.

    For models without an encoder (Shen et al., 2020, section 3.1); None without a classifier of
    attributes.
    """
    names = probe.realism.attribute_names
    if not names:
        return None
    latents = probe.latents(MAX_PROBED, "probed samples")
    labels = probe.label_set.round_robin(MAX_PROBED).to(probe.device)
    chunks = zip(latents.split(_CHUNK_SIZE), labels.split(_CHUNK_SIZE), strict=True)
    predicted = [probe.realism.predict_attributes(probe.decode(*chunk)) for chunk in chunks]
    attributes = np.concatenate(predicted).astype(np.uint8)
    codes = latents.double().cpu().numpy()
    test = LabeledCodes(codes[:_NUM_TEST_SAMPLES], attributes[:_NUM_TEST_SAMPLES])
    train = LabeledCodes(codes[_NUM_TEST_SAMPLES:], attributes[_NUM_TEST_SAMPLES:])
    starts, start_labels = latents[:NUM_CLASSIFIED], labels[:NUM_CLASSIFIED]
    return ProbeData("samples", names, train, test, starts, start_labels)


def fit_direction(
    attribute: str, train: tuple[Array, Array], test: tuple[Array, Array]
) -> Direction | None:
    """Fit a logistic regression on standardized codes.

    `train` and `test` are codes (number, latent_dim) and 0 or 1 (number,). Returns None where fewer
    than ten images have the attribute, or fewer than ten lack it.
    """
    from sklearn.linear_model import LogisticRegression

    codes, has_attribute = train
    if min(has_attribute.sum(), len(has_attribute) - has_attribute.sum()) < _MIN_EXAMPLES:
        return None
    mean, scale = codes.mean(axis=0), codes.std(axis=0) + 1e-12
    model = LogisticRegression(max_iter=1_000).fit((codes - mean) / scale, has_attribute)
    test_codes, test_has_attribute = test
    predicted = model.predict((test_codes - mean) / scale)
    share = float(test_has_attribute.mean())
    # The weights belong to standardized codes: multiplied by the scale they are a direction of the
    # codes. The gradient with respect to the codes, divided by it, would go farthest along the
    # dimensions that codes use least.
    direction = model.coef_[0] * scale
    direction /= np.linalg.norm(direction)
    return Direction(
        attribute,
        step=direction * (codes @ direction).std(),
        accuracy=float((predicted == test_has_attribute).mean()),
        base_rate=max(share, 1 - share),
    )


def _encode(probe: ModelProbe, split: str) -> LabeledCodes:
    rows = probe.shuffled_rows(split, "attributes")[:MAX_PROBED]
    codes = probe.encode(probe.images(split, rows), probe.labels(split, rows))
    attributes = probe.dataset.attributes(split)[rows]
    return LabeledCodes(codes.double().cpu().numpy(), attributes)


def _follow(probe: ModelProbe, data: ProbeData, directions: list[Direction]) -> Array:
    """Return uint8 (directions, images, steps, height, width, channel)."""
    codes, labels = data.starts, data.labels
    steps = torch.from_numpy(np.stack([direction.step for direction in directions])).to(codes)
    amounts = torch.tensor(STEPS, device=codes.device)
    along = codes[None, :, None] + amounts[:, None] * steps[:, None, None]
    return probe.decode(along, labels[None, :, None].expand(*along.shape[:3], -1))


def _predicted_attributes(probe: ModelProbe, images: Array) -> dict[str, Any]:
    """Return, by attribute, its share of the images (images, steps, ...) at each step.

    Empty without a classifier of attributes.
    """
    names = probe.realism.attribute_names
    if not names:
        return {}
    shares = probe.realism.predict_attributes(images).mean(axis=0).T.tolist()
    return {"num_images": len(images), "predicted": dict(zip(names, shares, strict=True))}
