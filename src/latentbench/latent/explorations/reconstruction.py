"""Reconstructions of real images, by encoding or inversion, and their errors."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from latentbench.artifacts.paths import SPLITS
from latentbench.data.image_grid import Images
from latentbench.data.images import to_model
from latentbench.evaluation.findings import Findings
from latentbench.evaluation.metrics.image_quality import (
    Values,
    mean_squared_errors,
    peak_signal_to_noise,
    structural_similarities,
)
from latentbench.inference.inversion import Inversion
from latentbench.latent.model_probe import ModelProbe

# Best and worst reconstructions to show.
NUM_EXTREMES = 6

# Factors by which codes are multiplied, and the number of images.
SCALES = (0.0, 0.25, 0.5, 0.75, 1.0, 1.25, 1.5, 2.0)
NUM_SCALED = 6

# Steps of the ODE, there and back, and the number of images that are reconstructed with each.
ODE_STEPS = (2, 5, 10, 20, 40)
NUM_SOLVED = 8


@dataclass(frozen=True)
class Reconstruction:
    """Real images of a split with their codes, decoded images and errors.

    `inversion` is None for models with an encoder.
    """

    originals: Images
    labels: Tensor
    codes: Tensor
    decoded: Images
    quality: dict[str, Values]
    inversion: Inversion | None


def reconstruct(probe: ModelProbe, split: str) -> Reconstruction:
    """Reconstruct the first images in the study's order, which are the same for all models."""
    settings = probe.settings
    number = settings.num_inverted
    if probe.has_encoder:
        number = probe.limit(settings.num_encoded)
    stream = f"{split} reconstruction"
    rows = probe.shuffled_rows(split, stream)[: max(number, settings.num_reconstructions)]
    originals, labels = probe.images(split, rows), probe.labels(split, rows)
    inversion = None
    if probe.has_encoder:
        codes = probe.encode(originals, labels)
    else:
        inversion = probe.invert(originals, labels, stream)
        codes = inversion.latents
    decoded = probe.decode(codes, labels)
    measured = quality(originals, decoded)
    return Reconstruction(originals, labels, codes, decoded, measured, inversion)


def explore_reconstruction(probe: ModelProbe) -> Findings:
    """Return the errors on both splits, and the first, the best and the worst test images."""
    by_split = {split: reconstruct(probe, split) for split in SPLITS}
    test = by_split["test"]
    facts: dict[str, Any] = {"method": probe.method, "reconstruction": {}}
    arrays: dict[str, Any] = {}
    for split, reconstruction in by_split.items():
        means: dict[str, float] = {"num_images": len(reconstruction.originals)}
        for name, values in reconstruction.quality.items():
            arrays[f"{split}_{name}"] = values
            means[name] = float(values.mean())
        facts["reconstruction"][split] = means
    if test.inversion is not None:
        errors = test.inversion.errors.cpu().numpy()
        arrays["inversion_error"] = errors
        facts["inversion_starts"] = probe.settings.inversion_starts
        facts["inversion_steps"] = list(range(errors.shape[1]))
    if probe.has_ode:
        arrays["ode_error"] = ode_errors(probe, test)
        facts["ode_steps"] = list(ODE_STEPS)
    number = probe.settings.num_reconstructions
    return Findings.merge([Findings(arrays, facts), _shown(test, number), scaled(probe, test)])


@torch.no_grad()
def ode_errors(probe: ModelProbe, test: Reconstruction) -> Values:
    """Return the errors (images, ODE_STEPS) of a few images after the ODE backwards and forwards.

    They are mean squared errors of pixels in [0, 1] before rounding. The exact ODE has none.
    """
    images = to_model(torch.from_numpy(test.originals[:NUM_SOLVED]).to(probe.device))
    labels = test.labels[:NUM_SOLVED]
    errors = []
    for steps in ODE_STEPS:
        objective: Any = probe.model.with_sampling(steps=steps).objective
        decoded = objective.decode(objective.encode(images, labels), labels)
        # Pixels are in [-1, 1] here.
        errors.append((decoded - images).square().mean(dim=(1, 2, 3)) / 4)
    values: Values = torch.stack(errors, dim=1).cpu().double().numpy()
    return values


def _shown(test: Reconstruction, number: int) -> Findings:
    """Return the first `number` reconstructions, and those with the smallest and largest errors."""
    errors = test.quality["mse"]
    order = np.argsort(errors, kind="stable")
    num_extremes = min(NUM_EXTREMES, len(order) // 2)
    arrays: dict[str, Any] = {
        "reconstruction_real": test.originals[:number],
        "reconstruction_decoded": test.decoded[:number],
    }
    for name, ranked in (("best", order), ("worst", order[::-1])):
        rows = ranked[:num_extremes]
        arrays[f"{name}_real"] = test.originals[rows]
        arrays[f"{name}_decoded"] = test.decoded[rows]
        arrays[f"{name}_errors"] = errors[rows]
    return Findings(arrays)


def scaled(probe: ModelProbe, test: Reconstruction) -> Findings:
    """Decode the codes of a few images multiplied by SCALES."""
    few = slice(min(NUM_SCALED, len(test.codes)))
    scales = torch.tensor(SCALES, device=probe.device)
    codes = scales[None, :, None] * test.codes[few, None]
    labels = test.labels[few, None].expand(-1, len(scales), -1)
    images = probe.decode(codes, labels)
    return Findings(
        {"scaled_real": test.originals[few], "scaled": images}, {"scales": list(SCALES)}
    )


def quality(originals: Images, decoded: Images) -> dict[str, Values]:
    """Return, per image, the MSE of pixels in [0, 1], PSNR in dB, and SSIM."""
    errors = mean_squared_errors(originals, decoded)
    return {
        "mse": errors,
        "psnr": peak_signal_to_noise(errors),
        "ssim": structural_similarities(originals, decoded),
    }
