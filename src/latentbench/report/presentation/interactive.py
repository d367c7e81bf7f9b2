"""What the page needs for figures that follow the reader's hand: images in sprites, as JSON."""

from __future__ import annotations

import base64
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from PIL import Image

from latentbench.report.presentation.style import COLORS

Images = np.ndarray[Any, Any]

# Characters of all sprites of a figure. Attempts, in this order, are lossless and then lossy.
MAX_SIZE = 1_500_000
_LOSSLESS: dict[str, Any] = {"lossless": True, "quality": 80, "method": 4}
_ATTEMPTS: tuple[tuple[int, dict[str, Any]], ...] = (
    (1, _LOSSLESS),
    (1, {"quality": 90, "method": 4}),
    (2, {"quality": 90, "method": 4}),
    (2, {"quality": 75, "method": 4}),
    (4, {"quality": 75, "method": 4}),
)


@dataclass(frozen=True)
class Frames:
    """Images of a model, and its place among the models; `about` is for report/interactive.js.

    `images` are (choices, rows, positions, height, width, channel). The rows of a plane are
    positions, too, those of a slider are images that stand next to one another.
    """

    name: str
    index: int
    images: Images
    about: Mapping[str, Any] = field(default_factory=dict)

    def thinned(self, step: int, *, rows: bool) -> Frames:
        """Return every `step`-th position and, on a plane, row."""
        return replace(self, images=self.images[:, :: step if rows else 1, ::step])


@dataclass(frozen=True)
class Group:
    """Models that move in step: those of one dataset; `about` is for report/interactive.js."""

    models: Sequence[Frames]
    about: Mapping[str, Any] = field(default_factory=dict)


def content(kind: str, hint: str, groups: Sequence[Group]) -> dict[str, Any]:
    """Return a figure as JSON for report/interactive.js; `kind` is `plane` or `slider`.

    `hint` explains how to use it. Sprites are lossless and complete if they are small enough, else
    compressed and, if needed, of every second or fourth position.
    """
    for step, options in _ATTEMPTS:
        written = _groups(groups, step, options, is_plane=kind == "plane")
        if written is not None:
            break
    return {"kind": kind, "hint": hint, "groups": written}


def _groups(
    groups: Sequence[Group], step: int, options: Mapping[str, Any], *, is_plane: bool
) -> list[dict[str, Any]] | None:
    """Return groups with sprites, or None as soon as these are too large, save the smallest."""
    written, size = [], 0
    for group in groups:
        models = []
        for model in group.models:
            frames = model.thinned(step, rows=is_plane)
            images = frames.images.reshape(-1, *frames.images.shape[2:])
            uri = sprite(images, options)
            size += len(uri)
            if size > MAX_SIZE and (step, options) != _ATTEMPTS[-1]:
                return None
            about = {"name": model.name, "color": model.index % len(COLORS) + 1, **model.about}
            models.append(about | {"sprite": uri})
        rows, positions, height, width = frames.images.shape[1:5]
        shape = {"rows": rows, "positions": positions, "height": height, "width": width}
        written.append({**shape, **group.about, "models": models})
    return written


def sprite(images: Images, options: Mapping[str, Any] = _LOSSLESS) -> str:
    """Return images (rows, columns, height, width, 1 or 3) as one WebP in a data URI."""
    rows, columns, height, width, channels = images.shape
    pixels = images.swapaxes(1, 2).reshape(rows * height, columns * width, channels)
    picture = Image.fromarray(np.broadcast_to(pixels, (*pixels.shape[:2], 3)).copy())
    buffer = io.BytesIO()
    picture.save(buffer, "webp", **options)
    return f"data:image/webp;base64,{base64.b64encode(buffer.getvalue()).decode()}"
