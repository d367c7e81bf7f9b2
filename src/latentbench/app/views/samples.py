"""Random samples of every model from the same noise."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from PIL.Image import Image

from latentbench.app import scripts
from latentbench.app.explorer import Explorer, Labels
from latentbench.data.image_grid import Images
from latentbench.inference.pictures import grid

COLUMNS = 8


@dataclass(frozen=True)
class Samples:
    """Samples by seed, number, truncation, prior and labels.

    `labels` None draws labels as they are distributed in the training images; `prior` None is each
    model's own.
    """

    number: int = 16
    seed: int = 0
    truncation: float = 1.0
    prior: Any = None
    labels: Labels | None = None

    @property
    def columns(self) -> int:
        """Images per row."""
        return min(COLUMNS, self.number)

    def render(self, explorer: Explorer, names: Sequence[str]) -> dict[str, Images]:
        """Return the samples of each model, uint8 (number, height, width, channel)."""
        images = {}
        for name in names:
            images[name] = explorer.models[name].sample(
                self.number,
                seed=self.seed,
                truncation=self.truncation,
                prior=self.prior,
                labels=explorer.labels_for(name, self.labels),
            )
        return images

    def picture(self, explorer: Explorer, images: Mapping[str, Images]) -> Image:
        """Return what the script saves: the rows of each model below those of the one before."""
        samples = np.concatenate(list(images.values()))
        return grid(samples, columns=self.columns, scale=explorer.scale)

    def script(self, explorer: Explorer, names: Sequence[str]) -> str:
        """Return the lines of Python that save the picture."""
        by_model = {name: explorer.labels_for(name, self.labels) for name in names}
        definition, labels = scripts.label_lines("labels", by_model)
        prior = "" if self.prior is None else f", prior={self.prior!r}"
        number, columns = self.number, self.columns
        settings = f"{number}, seed={self.seed}, truncation={self.truncation!r}{prior}{labels}"
        return scripts.join(
            scripts.load_lines(explorer, names),
            [
                *definition,
                "samples = [",
                f"    model.sample({settings})",
                "    for name, model in models.items()",
                "]",
                f"picture = lb.grid(np.concatenate(samples), columns={columns}, "
                f"scale={explorer.scale})",
                'picture.save("samples.png")',
            ],
        )
