"""Pillow's bicubic resize of 8-bit images, batched and on any device with float64."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import torch
from torch import Tensor

# Pillow's weights are integers over 2 to this power.
_PRECISION_BITS = 22


def resize_bicubic(images: Tensor, size: int) -> Tensor:
    """Resize uint8 (batch, height, width, channel) to uint8 values (batch, channel, size, size).

    The values are those of `PIL.Image.resize(…, BICUBIC)` bit for bit, in float64: weights and
    pixels are integers, whose products and sums are exact in float64, and each axis is rounded to
    8 bits. So a GPU does not wait for Pillow, which resizes one image at a time on one core.
    """
    planes = images.permute(0, 3, 1, 2).to(torch.float64)
    weights = _integer_weights(planes.shape[-1], size, planes.device)
    wide = _round(planes @ weights.T)
    return _round(_integer_weights(planes.shape[-2], size, planes.device) @ wide)


def _round(sums: Tensor) -> Tensor:
    scaled = torch.floor(sums / 2**_PRECISION_BITS + 0.5)
    return scaled.clamp_(0, 255)


@lru_cache
def _integer_weights(old: int, new: int, device: torch.device) -> Tensor:
    """Return the weights (new, old) of Pillow's `precompute_coeffs`, as integers in float64."""
    scale = old / new
    stretch = max(scale, 1.0)  # reducing filters over more pixels, against aliasing
    weights = np.zeros((new, old))
    for place in range(new):
        center = (place + 0.5) * scale
        first = max(int(center - 2 * stretch + 0.5), 0)
        last = min(int(center + 2 * stretch + 0.5), old)
        distances = (np.arange(first, last) - center + 0.5) / stretch
        values = _bicubic(np.abs(distances))
        weights[place, first:last] = values / values.sum()
    scaled = weights * 2**_PRECISION_BITS
    rounded = np.trunc(scaled + np.copysign(0.5, scaled))
    return torch.from_numpy(rounded).to(device)


def _bicubic(
    x: np.ndarray[tuple[int], np.dtype[np.float64]],
) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    """Return the cubic convolution kernel (Keys, 1981) with a = -0.5 at distances x >= 0."""
    a = -0.5
    near = ((a + 2) * x - (a + 3)) * x**2 + 1
    far = (((x - 5) * x + 8) * x - 4) * a
    return np.where(x < 1, near, np.where(x < 2, far, 0.0))
