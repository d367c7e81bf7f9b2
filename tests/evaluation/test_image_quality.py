"""Errors of known pictures, and structural similarity against scikit-image."""

from __future__ import annotations

import math

import numpy as np
import pytest
from skimage.metrics import structural_similarity as their_similarity

from latentbench.evaluation.image_quality import (
    peak_signal_to_noise,
    squared_errors,
    structural_similarity,
)
from latentbench.rng import numpy_generator


def test_errors_of_a_known_difference() -> None:
    reals = np.full((2, 4, 4, 1), 100, np.uint8)
    errors = squared_errors(reals, reals + np.array([0, 51], np.uint8).reshape(2, 1, 1, 1))
    assert errors == pytest.approx([0, 0.2**2])
    assert peak_signal_to_noise(errors) == pytest.approx([20 * math.log10(510), 20 * math.log10(5)])


@pytest.mark.parametrize(("size", "channels"), [(32, 1), (64, 3)])
@pytest.mark.parametrize("noise", [2, 30, 200])
def test_structural_similarity_is_scikit_images(size: int, channels: int, noise: int) -> None:
    rng = numpy_generator(0, "pictures")
    smooth = np.kron(
        rng.integers(0, 256, (3, size // 8, size // 8, channels)), np.ones((1, 8, 8, 1))
    )
    noisy = (smooth + rng.normal(0, noise, smooth.shape)).clip(0, 255).astype(np.uint8)
    reals = smooth.astype(np.uint8)
    theirs = [
        their_similarity(
            real,
            model,
            channel_axis=2,
            data_range=255,
            gaussian_weights=True,
            sigma=1.5,
            use_sample_covariance=False,
        )
        for real, model in zip(reals, noisy, strict=True)
    ]
    np.testing.assert_allclose(structural_similarity(reals, noisy), theirs, rtol=1e-9)


def test_a_picture_is_similar_to_itself_whatever_its_batch() -> None:
    images = numpy_generator(0, "pictures").integers(0, 256, (205, 32, 32, 1), dtype=np.uint8)
    assert structural_similarity(images, images) == pytest.approx(1, abs=1e-12)
    shifted = np.roll(images, 1, axis=0)
    whole, alone = (
        structural_similarity(images, shifted),
        structural_similarity(images[200:], shifted[200:]),
    )
    np.testing.assert_allclose(whole[200:], alone, rtol=1e-12)
