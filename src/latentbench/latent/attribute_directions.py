"""Directions along which an attribute changes, found by a linear probe of the codes and walked along.

A walk is measured as Shen et al. (2020) do, by what another network sees in its images: of the attribute that is walked
along, and of the others, which should stay.
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

# Steps of a walk, in standard deviations of the codes along the direction.
STEPS = (-3.0, -2.0, -1.0, 0.0, 1.0, 2.0, 3.0)
NUM_WALKS = 4  # images that a direction is walked from and that are kept
NUM_JUDGED = 100  # those whose attributes are counted
MOST_DIRECTIONS = 6
MOST_PROBED = 5_000  # training images, or samples
_UNSEEN = 1_000  # of these samples, those that the probe is tested on
_PART = 1_000  # samples that are decoded and judged at once
_FEWEST = 10  # images with and without an attribute, for a probe of it to be worth something


@dataclass(frozen=True)
class Direction:
    """`step` (latent_dim,) is one standard deviation along it.

    `accuracy` is the share of test codes that the probe gives their attribute, `base_rate` that of always saying what
    is more frequent.
    """

    attribute: str
    step: Array
    accuracy: float
    base_rate: float


@dataclass(frozen=True)
class ProbedCodes:
    """Codes (number, latent_dim) and attributes (number, attributes) of their images."""

    codes: Array
    attributes: Array

    def of_attribute(self, place: int) -> tuple[Array, Array]:
        return self.codes, self.attributes[:, place]


@dataclass(frozen=True)
class Material:
    """What probes learn from and are tested on, and codes (number, latent_dim) with labels (number, num_labels) that
    walks start from: all of real images, or all of samples."""

    origin: str
    names: list[str]
    train: ProbedCodes
    test: ProbedCodes
    starts: Tensor
    labels: Tensor


def explore_directions(subject: ModelProbe) -> Findings:
    """Walks along the attributes that codes tell most of."""
    material = of_images(subject) if subject.can_encode else of_samples(subject)
    if material is None:
        return Findings()
    found = []
    with threadpool_limits(subject.threads):  # more threads add in another order
        for place, name in enumerate(material.names):
            direction = probe(
                name, material.train.of_attribute(place), material.test.of_attribute(place)
            )
            found += [direction] if direction is not None else []
    found.sort(key=lambda direction: direction.base_rate - direction.accuracy)
    found = found[:MOST_DIRECTIONS]
    if not found:
        return Findings()
    walked = _walks(subject, material, found)
    facts = [
        {
            "attribute": one.attribute,
            "accuracy": one.accuracy,
            "base_rate": one.base_rate,
            **_seen(subject, images),
        }
        for one, images in zip(found, walked, strict=True)
    ]
    about = {
        "directions": facts,
        "direction_steps": list(STEPS),
        "directions_source": material.origin,
    }
    return Findings({"directions": walked[:, :NUM_WALKS]}, about)


def of_images(subject: ModelProbe) -> Material | None:
    """Codes of real images and the attributes that these have; None where the dataset has none."""
    names = subject.dataset.manifest.attribute_names
    if not names:
        return None
    rows = subject.order("test", "walks")[:NUM_JUDGED]
    labels = subject.labels("test", rows)
    starts = subject.encode(subject.images("test", rows), labels)
    train, test = (_probed(subject, split) for split in ("train", "test"))
    return Material("test images", names, train, test, starts, labels)


def of_samples(subject: ModelProbe) -> Material | None:
    """Random latents and what the classifier sees in their images, for models that cannot encode (Shen et al., 2020,
    section 3.1); None where no classifier knows attributes."""
    names = subject.realism.attribute_names
    if not names:
        return None
    latents = subject.noise(MOST_PROBED, "probed samples")
    labels = subject.kinds.round_robin(MOST_PROBED).to(subject.device)
    parts = zip(latents.split(_PART), labels.split(_PART), strict=True)
    seen = [subject.realism.attributes(subject.decode(*part)) for part in parts]
    attributes = np.concatenate(seen).astype(np.uint8)
    codes = latents.double().cpu().numpy()
    train, test = (
        ProbedCodes(codes[part], attributes[part])
        for part in (slice(_UNSEEN, None), slice(_UNSEEN))
    )
    return Material("samples", names, train, test, latents[:NUM_JUDGED], labels[:NUM_JUDGED])


def probe(
    attribute: str, train: tuple[Array, Array], test: tuple[Array, Array]
) -> Direction | None:
    """Logistic regression on standardized codes; each side is codes (number, latent_dim) and 0 or 1 (number,).

    None where hardly any image has the attribute, or lacks it.
    """
    from sklearn.linear_model import LogisticRegression

    codes, there = train
    if min(there.sum(), len(there) - there.sum()) < _FEWEST:
        return None
    mean, scale = codes.mean(axis=0), codes.std(axis=0) + 1e-12
    model = LogisticRegression(max_iter=1_000).fit((codes - mean) / scale, there)
    test_codes, test_there = test
    predicted = model.predict((test_codes - mean) / scale)
    share = float(test_there.mean())
    # The probe's weights of standardized codes, back in the units of each dimension: the gradient in those units
    # would walk farthest along the dimensions that codes hardly use.
    direction = model.coef_[0] * scale
    direction /= np.linalg.norm(direction)
    along = (codes @ direction).std()
    return Direction(
        attribute, direction * along, float((predicted == test_there).mean()), max(share, 1 - share)
    )


def _probed(subject: ModelProbe, split: str) -> ProbedCodes:
    rows = subject.order(split, "attributes")[:MOST_PROBED]
    codes = (
        subject.encode(subject.images(split, rows), subject.labels(split, rows))
        .double()
        .cpu()
        .numpy()
    )
    return ProbedCodes(codes, subject.dataset.attributes(split)[rows])


def _walks(subject: ModelProbe, material: Material, directions: list[Direction]) -> Array:
    """uint8 (directions, images, steps, height, width, channel)."""
    codes, labels = material.starts, material.labels
    steps = torch.from_numpy(np.stack([direction.step for direction in directions])).to(codes)
    amounts = torch.tensor(STEPS, device=codes.device)
    walked = codes[None, :, None] + amounts[:, None] * steps[:, None, None]
    return subject.decode(walked, labels[None, :, None].expand(*walked.shape[:3], -1))


def _seen(subject: ModelProbe, walked: Array) -> dict[str, Any]:
    """By attribute the share of images (images, steps, height, width, channel) in which it is seen at each step;
    nothing where no classifier knows attributes."""
    if not subject.realism.attribute_names:
        return {}
    shares = subject.realism.attributes(walked).mean(axis=0).T.tolist()
    return {
        "num_images": len(walked),
        "predicted": dict(zip(subject.realism.attribute_names, shares, strict=True)),
    }
