"""Random latents and labels, whose first rows do not depend on how many are drawn."""

from __future__ import annotations

from typing import Any

import numpy as np

from latentbench.rng import numpy_generator

# Noise is drawn with this many dimensions and then cut, so that models of different latent_dim
# share the leading ones. What a latent has beyond these is drawn separately.
MAX_DIMENSIONS = 1024

_ROWS = 250  # drawn at once, so that many latents take little memory


def draw_noise(number: int, latent_dim: int, seed: int) -> np.ndarray[Any, np.dtype[np.float32]]:
    """Return draws from N(0, I), float32 (number, latent_dim).

    NumPy's generators fill arrays in order, so the first rows do not depend on the number.
    """
    generator = numpy_generator(seed, "noise")
    further = numpy_generator(seed, "further dimensions of noise")
    noise = np.empty((number, latent_dim), np.float32)
    for start in range(0, number, _ROWS):
        rows = noise[start : start + _ROWS]
        whole = generator.standard_normal((len(rows), MAX_DIMENSIONS), dtype=np.float32)
        rows[:, :MAX_DIMENSIONS] = whole[:, :latent_dim]
        if latent_dim > MAX_DIMENSIONS:
            shape = (len(rows), latent_dim - MAX_DIMENSIONS)
            rows[:, MAX_DIMENSIONS:] = further.standard_normal(shape, dtype=np.float32)
    return noise


def draw_indices(
    weights: np.ndarray[Any, np.dtype[np.float64]], number: int, seed: int, stream: str
) -> np.ndarray[Any, np.dtype[np.int64]]:
    """Return indices (number,) of `weights`, each as frequent as its weight."""
    draws = numpy_generator(seed, stream).random(number)
    cumulative = weights.cumsum()
    chosen = np.searchsorted(cumulative / cumulative[-1], draws, side="right")
    return chosen.clip(max=len(weights) - 1)
