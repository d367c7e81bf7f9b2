"""Paths between two pictures, decoded by every model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from PIL.Image import Image

from latentbench.app import scripts
from latentbench.app.explorer import Explorer, Labels, Picture
from latentbench.data.image_grid import Images
from latentbench.inference.pictures import grid

METHODS = ("linear", "spherical")
NUM_POINTS = 33
STRIDE = 4  # points between two images of the saved picture
FRAME_MILLISECONDS = 60


@dataclass(frozen=True)
class Paths:
    """Straight and spherical paths between the latents of two pictures.

    `labels` are those of pictures whose labels are unknown.
    """

    start: Picture
    end: Picture
    labels: Labels | None = None

    def render(self, explorer: Explorer, names: Sequence[str]) -> dict[str, Images]:
        """Return uint8 (methods, points, height, width, channel) of each model."""
        images = {}
        for name in names:
            model = explorer.models[name]
            start = explorer.find_latents(name, self.start, self.labels)[0]
            end = explorer.find_latents(name, self.end, self.labels)[0]
            paths = []
            for method in METHODS:
                path = model.interpolate(
                    start,
                    end,
                    steps=NUM_POINTS,
                    method=method,
                    labels=explorer.some_labels(name, self.start.labels, self.labels),
                    end_labels=explorer.some_labels(name, self.end.labels, self.labels),
                )
                paths.append(path)
            images[name] = np.stack(paths)
        return images

    def picture(self, explorer: Explorer, images: Mapping[str, Images]) -> Image:
        """Return what the script saves: a row per model and method."""
        rows = np.concatenate(list(images.values()))
        return grid(rows[:, ::STRIDE], scale=explorer.scale)

    def frames(self, explorer: Explorer, images: Mapping[str, Images]) -> list[Image]:
        """Return the frames of the animation: a row per model, a column per method."""
        rows = np.concatenate(list(images.values()))
        places = [*range(NUM_POINTS), *range(NUM_POINTS - 1, -1, -1)]
        return [
            grid(rows[:, place], columns=len(METHODS), scale=explorer.scale) for place in places
        ]

    def script(self, explorer: Explorer, names: Sequence[str]) -> str:
        """Return the lines of Python that save the picture and the animation."""
        definition, labels, other = self._label_code(explorer, names)
        options = (labels + other.replace(" labels=", " end_labels=")).removeprefix(", ")
        method_loop = scripts.block(
            f"for method in {list(METHODS)!r}:",
            [
                "path = model.interpolate(",
                f"    a, b, steps={NUM_POINTS}, method=method,",
                *([f"    {options},"] if options else []),
                ")",
                "paths.append(path)",
            ],
        )
        body = [
            scripts.FIND,
            f"a = find(start{labels})[0]",
            f"b = find(end{other})[0]",
            *method_loop,
        ]
        return scripts.join(
            scripts.load_lines(explorer, names),
            [
                *scripts.picture_lines(explorer, {"start": self.start, "end": self.end}),
                *definition,
                "paths = []",
                *scripts.block("for name, model in models.items():", body),
                f"rows = np.stack(paths)[:, ::{STRIDE}]",
                f'lb.grid(rows, scale={explorer.scale}).save("paths.png")',
            ],
            [
                f"places = [*range({NUM_POINTS}), *range({NUM_POINTS})[::-1]]",
                f"columns, scale = {len(METHODS)}, {explorer.scale}",
                "frames = [",
                "    lb.grid(np.stack(paths)[:, place], columns=columns, scale=scale)",
                "    for place in places",
                "]",
                scripts.SAVE_GIF.format(name="paths", milliseconds=FRAME_MILLISECONDS),
            ],
        )

    def _label_code(self, explorer: Explorer, names: Sequence[str]) -> tuple[list[str], str, str]:
        lines: list[str] = []
        arguments = []
        for variable, picture in (("start_labels", self.start), ("end_labels", self.end)):
            by_model = {
                name: explorer.some_labels(name, picture.labels, self.labels) for name in names
            }
            definition, argument = scripts.label_lines(variable, by_model)
            lines += definition
            arguments.append(argument)
        return lines, arguments[0], arguments[1]
