"""Errors of known images, and structural similarity against its formula."""

from __future__ import annotations

import math

import numpy as np
import pytest

from latentbench.evaluation.metrics.image_quality import (
    mean_squared_errors,
    peak_signal_to_noise,
    structural_similarities,
)
from latentbench.rng import numpy_generator


def test_errors_of_a_known_difference() -> None:
    originals = np.full((2, 4, 4, 1), 100, np.uint8)
    difference = np.array([0, 51], np.uint8).reshape(2, 1, 1, 1)
    errors = mean_squared_errors(originals, originals + difference)
    assert errors == pytest.approx([0, 0.2**2])
    assert peak_signal_to_noise(errors) == pytest.approx([20 * math.log10(510), 20 * math.log10(5)])


def test_structural_similarity_of_one_window() -> None:
    """An image of 11×11 pixels has one window: the formula with weighted moments."""
    x, y = numpy_generator(0, "images").integers(0, 256, (2, 11, 11)).astype(float)
    offsets = np.arange(-5, 6)
    window = np.exp(-0.5 * (offsets[:, None] ** 2 + offsets**2) / 1.5**2)
    window /= window.sum()
    mean_x, mean_y = (window * x).sum(), (window * y).sum()
    variance_x = (window * (x - mean_x) ** 2).sum()
    variance_y = (window * (y - mean_y) ** 2).sum()
    covariance = (window * (x - mean_x) * (y - mean_y)).sum()
    c1, c2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2
    expected = (2 * mean_x * mean_y + c1) * (2 * covariance + c2)
    expected /= (mean_x**2 + mean_y**2 + c1) * (variance_x + variance_y + c2)
    images = [image.astype(np.uint8)[None, :, :, None] for image in (x, y)]
    assert structural_similarities(*images) == pytest.approx([expected])


def test_an_image_is_similar_to_itself() -> None:
    images = numpy_generator(0, "images").integers(0, 256, (20, 32, 32, 3), dtype=np.uint8)
    assert structural_similarities(images, images) == pytest.approx(1, abs=1e-12)
    assert (structural_similarities(images, np.roll(images, 1, axis=0)) < 0.5).all()
