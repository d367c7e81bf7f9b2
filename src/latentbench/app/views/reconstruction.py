"""A picture and its reconstruction by every model, with the errors."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from PIL.Image import Image

from latentbench.app import scripts
from latentbench.app.explorer import Explorer, Labels, Picture
from latentbench.data.image_grid import Images
from latentbench.evaluation.metrics.image_quality import (
    mean_squared_errors,
    peak_signal_to_noise,
    structural_similarities,
)
from latentbench.inference.pictures import grid


@dataclass(frozen=True)
class Reconstruction:
    """A picture, decoded from its code or, without an encoder, from the latent of inversion."""

    picture: Picture
    labels: Labels | None = None

    def render(self, explorer: Explorer, names: Sequence[str]) -> dict[str, Images]:
        """Return the reconstruction of each model, uint8 (1, height, width, channel)."""
        images = {}
        for name in names:
            latents = explorer.find_latents(name, self.picture, self.labels)
            labels = explorer.some_labels(name, self.picture.labels, self.labels)
            images[name] = explorer.models[name].decode(latents, labels=labels)
        return images

    def scores(self, images: Mapping[str, Images]) -> pd.DataFrame:
        """Return MSE of pixels in [0, 1], PSNR in dB, and SSIM (columns) of each model (rows)."""
        rows = {}
        original = self.picture.image[None]
        for name, reconstruction in images.items():
            errors = mean_squared_errors(original, reconstruction)
            rows[name] = {
                "mse": float(errors[0]),
                "psnr": float(peak_signal_to_noise(errors)[0]),
                "ssim": float(structural_similarities(original, reconstruction)[0]),
            }
        return pd.DataFrame.from_dict(rows, orient="index", columns=["mse", "psnr", "ssim"])

    def picture_of(self, explorer: Explorer, images: Mapping[str, Images]) -> Image:
        """Return what the script saves: the picture, then the reconstruction of each model."""
        row = np.concatenate([self.picture.image[None], *images.values()])
        return grid(row, columns=len(row), scale=2 * explorer.scale)

    def script(self, explorer: Explorer, names: Sequence[str]) -> str:
        """Return the lines of Python that save the picture."""
        by_model = {
            name: explorer.some_labels(name, self.picture.labels, self.labels) for name in names
        }
        definition, labels = scripts.label_lines("labels", by_model)
        body = [scripts.FIND, f"images.append(model.decode(find(picture{labels}){labels}))"]
        is_test = self.picture.code.startswith("data.")
        original = "picture[None]" if is_test else "model.prepare(picture)"
        return scripts.join(
            scripts.load_lines(explorer, names),
            [
                *scripts.picture_lines(explorer, {"picture": self.picture}),
                *definition,
                "images = []",
                *scripts.block("for name, model in models.items():", body),
                f"row = np.concatenate([{original}, *images])",
                f"lb.grid(row, columns=len(row), scale={2 * explorer.scale})"
                '.save("reconstruction.png")',
            ],
        )
