"""How diffusion models turn noise into images, and the loss of a linear prediction of pixels."""

from __future__ import annotations

from typing import Any

import numpy as np

from latentbench.evaluation.findings import Findings
from latentbench.latent.model_probe import ModelProbe

NUM_LATENTS = 3
MAX_STATES = 9  # of a path, from the noise to the image
# Training images whose pixels' variances are measured, and how many at once.
MAX_IMAGES, BATCH_SIZE = 10_000, 1_000
NUM_TIMES = 41  # of the loss of pixels alone

Values = np.ndarray[Any, np.dtype[np.float64]]


def explore_denoising(probe: ModelProbe) -> Findings:
    """Decode the first random samples step by step; no findings for models without steps.

    `denoising_states` are the noisy images x_t at some times, in which values beyond [-1, 1] are
    clipped. `denoising_estimates` are the images that the model expects from them. Both are
    (latents, times, height, width, channel).
    """
    sampling = probe.model.sampling
    if sampling is None:
        return Findings()
    # The draw of all samples, so that the last images are those of the figure of samples.
    latents = probe.latents(probe.settings.num_samples, "study samples")[:NUM_LATENTS]
    labels = probe.label_set.round_robin(len(latents)).to(probe.device)
    states, estimates = probe.model.denoise(latents, labels=labels)
    steps = sampling.steps
    shown = np.linspace(0, steps, min(MAX_STATES, steps + 1)).round().astype(int)
    arrays = {
        "denoising_states": states[:, shown],
        "denoising_estimates": estimates[:, shown],
    }
    times = np.linspace(0, 1, NUM_TIMES)
    facts = {
        "times": (1 - shown / steps).tolist(),
        "steps": steps,
        "loss_times": times.tolist(),
        "loss_of_pixels": loss_of_pixels(_pixel_variances(probe), times).tolist(),
    }
    return Findings(arrays, {"denoising": facts})


def loss_of_pixels(variances: Values, times: Values) -> Values:
    """Return the least loss (times,) of a velocity that is linear in each pixel alone.

    With x_t = (1 - t) x + t ε and the variance s² of a pixel x, the variance of ε - x that the
    best linear prediction from x_t leaves is s² / ((1 - t)² s² + t²). It is that of the velocity of
    Gaussian pixels without correlation, and the mean is over pixels.

    Args:
        variances: The variance of each pixel in [-1, 1], of any shape.
        times: Times t in [0, 1].
    """
    known = variances[variances > 0]  # a constant pixel has no loss at any t > 0
    time = times[:, None]
    losses = known / ((1 - time) ** 2 * known + time**2)
    return np.asarray(losses.sum(axis=1) / variances.size)


def _pixel_variances(probe: ModelProbe) -> Values:
    """Return the variance of each pixel in [-1, 1] over training images, (height, width, channel).

    Sums of integers have no rounding, so the result does not depend on the order of images.
    """
    rows = probe.shuffled_rows("train", "pixel variances")[:MAX_IMAGES]
    manifest = probe.dataset.manifest
    shape = (manifest.image_size, manifest.image_size, manifest.channels)
    sums, squares = np.zeros(shape, np.int64), np.zeros(shape, np.int64)
    for start in range(0, len(rows), BATCH_SIZE):
        batch = probe.images("train", rows[start : start + BATCH_SIZE]).astype(np.int64)
        sums += batch.sum(axis=0)
        squares += (batch**2).sum(axis=0)
    levels = squares / len(rows) - (sums / len(rows)) ** 2
    return np.asarray(np.maximum(levels, 0) * (2 / 255) ** 2)
