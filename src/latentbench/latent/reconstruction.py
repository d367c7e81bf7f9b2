"""Real images encoded or inverted, decoded again, and how far the result is from them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from latentbench.artifacts.paths import SPLITS
from latentbench.data.image_grid import Images
from latentbench.evaluation.findings import Findings
from latentbench.evaluation.image_quality import (
    Values,
    peak_signal_to_noise,
    squared_errors,
    structural_similarity,
)
from latentbench.latent.inversion import Inversion
from latentbench.latent.model_probe import ModelProbe

# How many of the best and of the worst reconstructions are shown.
NUM_EXTREMES = 6

# What real images' codes are multiplied by, and of how many images.
SCALES = (0.0, 0.25, 0.5, 0.75, 1.0, 1.25, 1.5, 2.0)
NUM_SCALED = 6


@dataclass(frozen=True)
class Reconstruction:
    """Real images of a split and what the model makes of them; of models that cannot encode, how it was found."""

    reals: Images
    labels: Tensor
    codes: Tensor
    models: Images
    quality: dict[str, Values]
    inversion: Inversion | None


def reconstruct(subject: ModelProbe, split: str) -> Reconstruction:
    """The first images in the study's order are the same ones for all models."""
    settings = subject.settings
    number = settings.num_encoded if subject.can_encode else settings.num_inverted
    rows = subject.order(split, f"{split} reconstruction")[
        : max(number, settings.num_reconstructions)
    ]
    reals, labels = subject.images(split, rows), subject.labels(split, rows)
    inversion = (
        None if subject.can_encode else subject.invert(reals, labels, f"{split} reconstruction")
    )
    codes = subject.encode(reals, labels) if inversion is None else inversion.latents
    models = subject.decode(codes, labels)
    return Reconstruction(reals, labels, codes, models, quality(reals, models), inversion)


def explore_reconstruction(subject: ModelProbe) -> Findings:
    """Error on both splits; the first test images, the best and the worst beside their models."""
    by_split = {split: reconstruct(subject, split) for split in SPLITS}
    test = by_split["test"]
    shown = slice(subject.settings.num_reconstructions)
    errors = test.quality["mse"]
    order = np.argsort(errors, kind="stable")
    number = min(NUM_EXTREMES, len(order) // 2)
    arrays: dict[str, Any] = {
        "reconstruction_real": test.reals[shown],
        "reconstruction_decoded": test.models[shown],
    }
    for name, rows in (("best", order[:number]), ("worst", order[::-1][:number])):
        arrays |= {f"{name}_real": test.reals[rows], f"{name}_decoded": test.models[rows]}
        arrays |= {f"{name}_errors": errors[rows]}
    facts: dict[str, Any] = {"method": subject.method}
    if test.inversion is not None:
        course = test.inversion.errors.cpu().numpy()
        arrays["inversion_error"] = course
        facts |= {
            "inversion_starts": subject.settings.inversion_starts,
            "inversion_steps": list(range(course.shape[1])),
        }
    facts["reconstruction"] = {}
    for split, found in by_split.items():
        arrays |= {f"{split}_{name}": values for name, values in found.quality.items()}
        means = {name: float(values.mean()) for name, values in found.quality.items()}
        facts["reconstruction"][split] = {"num_images": len(found.reals)} | means
    return Findings.joined([Findings(arrays, facts), scaled(subject, test)])


def scaled(subject: ModelProbe, test: Reconstruction) -> Findings:
    """What becomes of images whose codes are made shorter and longer."""
    few = slice(min(NUM_SCALED, len(test.codes)))
    scales = torch.tensor(SCALES, device=subject.device)
    codes = scales[None, :, None] * test.codes[few, None]
    labels = test.labels[few, None].expand(-1, len(scales), -1)
    images = subject.decode(codes, labels)
    return Findings({"scaled_real": test.reals[few], "scaled": images}, {"scales": list(SCALES)})


def quality(reals: Images, models: Images) -> dict[str, Values]:
    """Of each image: squared error of pixels in [0, 1], peak signal-to-noise ratio in dB, structural similarity."""
    errors = squared_errors(reals, models)
    return {
        "mse": errors,
        "psnr": peak_signal_to_noise(errors),
        "ssim": structural_similarity(reals, models),
    }
