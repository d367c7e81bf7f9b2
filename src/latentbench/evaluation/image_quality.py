"""How far an image is from what it should be, pixel by pixel and structure by structure."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

Images = np.ndarray[Any, np.dtype[np.uint8]]
Values = np.ndarray[Any, np.dtype[np.float64]]

_LEVELS = 255  # the range of a pixel
_SIGMA, _RADIUS = 1.5, 5  # of the Gaussian window of 11 × 11 pixels
_STABLE_MEAN, _STABLE_CONTRAST = (0.01 * _LEVELS) ** 2, (0.03 * _LEVELS) ** 2
_BATCH = 100


def squared_errors(reals: Images, models: Images) -> Values:
    """The mean squared error of each image (number, height, width, channel), of pixels in [0, 1]."""
    pairs = zip(_batches(reals), _batches(models), strict=True)
    errors = [((real - model) / _LEVELS).square().mean(dim=(1, 2, 3)) for real, model in pairs]
    return torch.cat(errors).numpy()


def peak_signal_to_noise(errors: Values) -> Values:
    """In dB, of mean squared errors of pixels in [0, 1]."""
    # An exact copy would have no bound; half a level of 255 is as exact as 8 bits are.
    ratios: Values = -10 * np.log10(np.maximum(errors, (0.5 / _LEVELS) ** 2))
    return ratios


def structural_similarity(reals: Images, models: Images) -> Values:
    """SSIM of each image (number, height, width, channel), at most 1 (Wang et al., 2004, equation 13).

    Mean over all places of a Gaussian window of 11 × 11 pixels that lie within the image, and over channels.
    """
    values = []
    for real, model in zip(_batches(reals), _batches(models), strict=True):
        mean_real, mean_model = _windowed(real), _windowed(model)
        variance_real = _windowed(real * real) - mean_real * mean_real
        variance_model = _windowed(model * model) - mean_model * mean_model
        covariance = _windowed(real * model) - mean_real * mean_model
        luminance = (2 * mean_real * mean_model + _STABLE_MEAN) / (
            mean_real.square() + mean_model.square() + _STABLE_MEAN
        )
        structure = (2 * covariance + _STABLE_CONTRAST) / (
            variance_real + variance_model + _STABLE_CONTRAST
        )
        values.append((luminance * structure).mean(dim=(1, 2, 3)))
    return torch.cat(values).numpy()


def _batches(images: Images) -> list[Tensor]:
    """As float64 (batch, channel, height, width) in levels."""
    starts = range(0, len(images), _BATCH)
    return [
        torch.from_numpy(images[start : start + _BATCH]).permute(0, 3, 1, 2).double()
        for start in starts
    ]


def _windowed(images: Tensor) -> Tensor:
    """The weighted mean over the window at each place."""
    offsets = torch.arange(-_RADIUS, _RADIUS + 1, dtype=images.dtype)
    weights = (-0.5 * (offsets / _SIGMA).square()).exp()
    weights = weights / weights.sum()
    planes = images.flatten(0, 1)[:, None]
    down = functional.conv2d(planes, weights.view(1, 1, -1, 1))
    across: Tensor = functional.conv2d(down, weights.view(1, 1, 1, -1))
    return across.view(*images.shape[:2], *across.shape[2:])
