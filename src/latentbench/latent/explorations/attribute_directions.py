"""Latent directions along which an attribute changes: found by a linear probe, then followed.

As in Shen et al. (2020), a direction is judged by a classifier of the decoded images: the attribute
of the direction should change, the other attributes should not.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from threadpoolctl import threadpool_limits
from torch import Tensor

from latentbench.data.image_grid import Images
from latentbench.evaluation.findings import Array, Findings
from latentbench.latent.model_probe import ModelProbe, Rows

# Steps along a direction, in standard deviations of the codes along it.
STEPS = (-3.0, -2.0, -1.0, 0.0, 1.0, 2.0, 3.0)
FINE_STEPS = tuple(np.linspace(-3.0, 3.0, 13).tolist())  # of a slider
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

    def first(self, number: int) -> ProbeData:
        """Return the same with directions that start at the first codes only."""
        return replace(self, starts=self.starts[:number], labels=self.labels[:number])


def explore_directions(probe: ModelProbe) -> Findings:
    """Follow the directions of the attributes that the probes predict best.

    Attributes of samples are those that the classifier predicts (Shen et al., 2020, section 3.1).
    `attribute_directions` are (directions, latent_dim), one standard deviation of the codes long.
    """
    manifest, realism = probe.dataset.manifest, probe.realism
    names = manifest.attribute_names if probe.has_encoder else realism.attribute_names
    if not names:
        return Findings()
    if probe.has_encoder:
        data = data_from_images(
            probe, names, lambda split, rows: probe.dataset.attributes(split)[rows]
        )
    else:
        data = data_from_samples(probe, names, realism.predict_attributes)
    directions = find_directions(probe, data)
    directions.sort(key=lambda direction: direction.base_rate - direction.accuracy)
    directions = directions[:MAX_DIRECTIONS]
    if not directions:
        return Findings()
    images = follow(probe, data, directions, STEPS)
    finely = follow(probe, data.first(NUM_SHOWN), directions, FINE_STEPS)
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
    return Findings(arrays, facts, {"directions": finely})


def data_from_images(
    probe: ModelProbe, names: list[str], attributes_of: Callable[[str, Rows], Array]
) -> ProbeData:
    """Return codes of real images with their attributes, of a split and its rows."""
    rows = probe.shuffled_rows("test", "walks")[: probe.limit(NUM_CLASSIFIED)]
    labels = probe.labels("test", rows)
    starts = probe.encode(probe.images("test", rows), labels)
    encoded = {}
    for split in ("train", "test"):
        chosen = probe.shuffled_rows(split, "attributes")[: probe.limit(MAX_PROBED)]
        codes = probe.encode(probe.images(split, chosen), probe.labels(split, chosen))
        encoded[split] = LabeledCodes(codes.cpu().double().numpy(), attributes_of(split, chosen))
    return ProbeData("test images", names, encoded["train"], encoded["test"], starts, labels)


def data_from_samples(
    probe: ModelProbe, names: list[str], predict: Callable[[Images], Array]
) -> ProbeData:
    """Return random latents with the attributes that are predicted for their images."""
    latents = probe.latents(MAX_PROBED, "probed samples")
    labels = probe.label_set.round_robin(MAX_PROBED).to(probe.device)
    chunks = zip(latents.split(_CHUNK_SIZE), labels.split(_CHUNK_SIZE), strict=True)
    predicted = [predict(probe.decode(*chunk)) for chunk in chunks]
    attributes = np.concatenate(predicted).astype(np.uint8)
    codes = latents.cpu().double().numpy()
    test = LabeledCodes(codes[:_NUM_TEST_SAMPLES], attributes[:_NUM_TEST_SAMPLES])
    train = LabeledCodes(codes[_NUM_TEST_SAMPLES:], attributes[_NUM_TEST_SAMPLES:])
    starts, start_labels = latents[:NUM_CLASSIFIED], labels[:NUM_CLASSIFIED]
    return ProbeData("samples", names, train, test, starts, start_labels)


def find_directions(probe: ModelProbe, data: ProbeData) -> list[Direction]:
    """Return the direction of each attribute that has enough examples."""
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
    return directions


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


def follow(
    probe: ModelProbe, data: ProbeData, directions: list[Direction], amounts_in_std: Sequence[float]
) -> Array:
    """Return uint8 (directions, images, steps, height, width, channel)."""
    codes, labels = data.starts, data.labels
    steps = torch.from_numpy(np.stack([direction.step for direction in directions])).to(codes)
    amounts = torch.tensor(amounts_in_std, device=codes.device)
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
