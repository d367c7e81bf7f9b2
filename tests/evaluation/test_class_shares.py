"""The distance of class frequencies alone: none if they agree, all if nothing else differs."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import Tensor

from latentbench.evaluation.features.feature_stats import compute_feature_stats
from latentbench.evaluation.metrics.class_shares import ClassShares
from latentbench.evaluation.metrics.frechet import frechet_distance

COUNTS = (200, 300, 500)
DIM = 6


class Classifier:
    """Reads the class from the first feature."""

    def predict_classes(self, features: Tensor) -> Tensor:
        return (features[:, 0] / 10).round().long()


def real_images() -> tuple[Tensor, Tensor]:
    """Features of three classes with means and covariances of their own, and their classes."""
    generator = torch.Generator().manual_seed(0)
    classes = torch.arange(len(COUNTS)).repeat_interleave(torch.tensor(COUNTS))
    means = 3 * torch.randn(len(COUNTS), DIM, generator=generator)
    noise = torch.randn(len(classes), DIM, generator=generator)
    features = means[classes] + noise * (1 + classes[:, None])
    features[:, 0] = 10 * classes + noise[:, 0].clamp(-4, 4)
    return features, classes


def class_shares() -> ClassShares:
    features, _ = real_images()
    return ClassShares(compute_feature_stats(features), features.numpy(), Classifier())


def test_the_frequencies_of_real_images_have_no_distance() -> None:
    features, _ = real_images()
    shares = class_shares()
    assert shares.distance(features) == pytest.approx(0, abs=1e-6)
    # A tenth of the images, in another order.
    assert shares.distance(features.flip(0)[::10]) == pytest.approx(0, abs=1e-6)


def test_it_is_the_whole_distance_where_nothing_else_differs() -> None:
    features, _ = real_images()
    # The first class three times: samples of perfect quality, with other frequencies.
    samples = torch.cat([features, *[features[: COUNTS[0]]] * 2])
    whole = frechet_distance(compute_feature_stats(features), compute_feature_stats(samples))
    assert whole > 1
    # Unbiased covariances of 1,000 and of 1,400 images differ by less than a thousandth.
    assert class_shares().distance(samples) == pytest.approx(whole, rel=2e-3)


def test_moments_are_those_of_weighted_images() -> None:
    features, classes = real_images()
    shares = {0: 0.7, 1: 0.1, 2: 0.2}
    weights = np.array([shares[label] / COUNTS[label] for label in classes.tolist()])
    found = class_shares().reweighted(shares)
    images = features.double().numpy()
    np.testing.assert_allclose(found.mean, weights @ images, rtol=1e-9)
    expected = np.cov(images, rowvar=False, aweights=weights, ddof=0) * 1000 / 999
    np.testing.assert_allclose(found.covariance, expected, rtol=1e-9)


def test_classes_without_real_images_are_left_out() -> None:
    features, _ = real_images()
    unknown = torch.full((50, DIM), 90.0)
    shares = class_shares()
    assert shares.distance(torch.cat([features, unknown])) == shares.distance(features)
    assert math.isnan(shares.distance(unknown))
