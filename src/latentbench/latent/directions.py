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

from latentbench.evaluation.findings import Array, Findings
from latentbench.latent.subject import Subject

# Steps of a walk, in standard deviations of the codes along the direction.
STEPS = (-3.0, -2.0, -1.0, 0.0, 1.0, 2.0, 3.0)
NUM_WALKS = 4  # images that a direction is walked from and that are kept
NUM_JUDGED = 100  # those whose attributes are counted
MOST_DIRECTIONS = 6
MOST_PROBED = 5_000  # training images
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
class Probed:
    """Codes (number, latent_dim) and attributes (number, attributes) of a split's images."""

    codes: Array
    attributes: Array


def explore_directions(subject: Subject) -> Findings:
    """Walks from test images along the attributes that codes tell most of; for models that encode."""
    names = subject.dataset.manifest.attribute_names
    if not (names and subject.can_encode):
        return Findings()
    train, test = (_probed(subject, split) for split in ("train", "test"))
    found = []
    with threadpool_limits(subject.threads):  # more threads add in another order
        for place, name in enumerate(names):
            direction = probe(name, (train.codes, train.attributes[:, place]), (test.codes, test.attributes[:, place]))
            found += [direction] if direction is not None else []
    found.sort(key=lambda direction: direction.base_rate - direction.accuracy)
    found = found[:MOST_DIRECTIONS]
    if not found:
        return Findings()
    walked = _walks(subject, found)
    facts = [
        {"attribute": one.attribute, "accuracy": one.accuracy, "base_rate": one.base_rate, **_seen(subject, images)}
        for one, images in zip(found, walked, strict=True)
    ]
    return Findings({"directions": walked[:, :NUM_WALKS]}, {"directions": facts, "direction_steps": list(STEPS)})


def probe(attribute: str, train: tuple[Array, Array], test: tuple[Array, Array]) -> Direction | None:
    """Logistic regression on standardised codes; each side is codes (number, latent_dim) and 0 or 1 (number,).

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
    # The probe's weights of standardised codes, back in the units of each dimension: the gradient in those units
    # would walk farthest along the dimensions that codes hardly use.
    direction = model.coef_[0] * scale
    direction /= np.linalg.norm(direction)
    along = (codes @ direction).std()
    return Direction(attribute, direction * along, float((predicted == test_there).mean()), max(share, 1 - share))


def _probed(subject: Subject, split: str) -> Probed:
    rows = subject.order(split, "attributes")[:MOST_PROBED]
    codes = subject.encode(subject.images(split, rows), subject.labels(split, rows)).double().cpu().numpy()
    return Probed(codes, subject.dataset.attributes(split)[rows])


def _walks(subject: Subject, directions: list[Direction]) -> Array:
    """uint8 (directions, images, steps, height, width, channel)."""
    rows = subject.order("test", "walks")[:NUM_JUDGED]
    labels = subject.labels("test", rows)
    codes = subject.encode(subject.images("test", rows), labels)
    steps = torch.from_numpy(np.stack([direction.step for direction in directions])).to(codes)
    amounts = torch.tensor(STEPS, device=codes.device)
    walked = codes[None, :, None] + amounts[:, None] * steps[:, None, None]
    return subject.decode(walked, labels[None, :, None].expand(*walked.shape[:3], -1))


def _seen(subject: Subject, walked: Array) -> dict[str, Any]:
    """By attribute the share of images (images, steps, height, width, channel) in which it is seen at each step;
    nothing where no classifier knows attributes."""
    seen = subject.realism.attributes(walked)
    if seen is None:
        return {}
    shares = seen.mean(axis=0).T.tolist()
    return {"num_images": len(walked), "seen": dict(zip(subject.realism.attribute_names, shares, strict=True))}
