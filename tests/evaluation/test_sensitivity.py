"""Metrics get worse with the digits, over features of a classifier of digits."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image, ImageFilter
from torch import Tensor

from latentbench.config.experiments import Evaluation
from latentbench.data.image_grid import Images
from latentbench.data.prepared import PreparedDataset
from latentbench.evaluation.features.extract import FeatureExtractor
from latentbench.evaluation.manifest import ReferenceManifest
from latentbench.evaluation.metrics.distances import Distances

CPU = torch.device("cpu")
NUMBER = 400


class Digits:
    """Unseen images, and what a reference says of changed ones."""

    def __init__(self, data: Path, reference: Path) -> None:
        dataset = PreparedDataset.open(data)
        self.images: Images = np.array(dataset.images("test")[:NUMBER])
        self.labels = dataset.labels("test")[:NUMBER]
        manifest = ReferenceManifest.read(reference)
        self.extractor: FeatureExtractor = manifest.load_extractor(
            "classifier", reference, device=CPU
        )
        settings = Evaluation(num_samples=NUMBER, kid_subsets=10, kid_subset_size=200)
        self.distances = Distances.load(
            reference, "classifier", settings, dim=self.extractor.dim, device=CPU
        )

    def features(self, images: Images) -> Tensor:
        return self.extractor(torch.from_numpy(images))

    def fd_classifier(self, images: Images) -> float:
        return self.distances.frechet(self.features(images))


@pytest.fixture(scope="module")
def digits(glyphs: tuple[Path, Path]) -> Digits:
    return Digits(*glyphs)


def noisy(digits: Digits, level: float) -> Images:
    """With Gaussian noise of a standard deviation in levels of 255."""
    noise = np.random.default_rng(0).normal(size=digits.images.shape)
    return np.clip(digits.images + level * noise, 0, 255).round().astype(np.uint8)


def blurred(digits: Digits, radius: float) -> Images:
    """By a Gaussian of a standard deviation in pixels."""
    pictures = [Image.fromarray(image[:, :, 0]) for image in digits.images]
    return np.stack([np.asarray(one.filter(ImageFilter.GaussianBlur(radius))) for one in pictures])[
        ..., None
    ]


def mixed(digits: Digits, share: float) -> Images:
    """With a share of the images replaced by ones of a single class."""
    images = digits.images.copy()
    number = round(share * NUMBER)
    images[:number] = np.resize(digits.images[digits.labels == 1], (number, *images.shape[1:]))
    return images


@pytest.mark.parametrize(
    ("change", "amounts"),
    [
        (noisy, [0, 10, 20, 40, 80, 160]),
        (blurred, [0, 0.5, 1, 1.5, 2, 3]),
        (mixed, [0, 0.1, 0.25, 0.5, 0.75, 1]),
    ],
)
def test_distances_grow_with_a_change(
    digits: Digits, change: Callable[[Digits, float], Images], amounts: list[float]
) -> None:
    distances = [digits.fd_classifier(change(digits, amount)) for amount in amounts]
    assert all(less < more for less, more in pairwise(distances)), distances


def test_one_mode_has_no_recall(digits: Digits) -> None:
    everything = digits.distances.precision_recall(digits.features(digits.images))
    mode = np.repeat(digits.images[:1], NUMBER, axis=0)
    mode = np.clip(mode + np.random.default_rng(0).integers(-2, 3, mode.shape), 0, 255).astype(
        np.uint8
    )
    collapsed = digits.distances.precision_recall(digits.features(mode))
    assert everything["recall"] > 0.5
    assert collapsed["recall"] < 0.02
    assert collapsed["coverage"] < 0.05


def test_batches_and_order_change_nothing(digits: Digits) -> None:
    whole = digits.features(digits.images)
    order = np.random.default_rng(0).permutation(NUMBER)
    parts = torch.cat([digits.features(digits.images[rows]) for rows in np.array_split(order, 7)])
    assert digits.distances.frechet(parts) == pytest.approx(
        digits.distances.frechet(whole), rel=1e-5
    )
    assert digits.distances.precision_recall(parts) == pytest.approx(
        digits.distances.precision_recall(whole), abs=2 / NUMBER
    )
