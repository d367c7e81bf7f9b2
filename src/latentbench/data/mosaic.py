"""Many images as one picture."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from latentbench.artifacts.files import replacing
from latentbench.artifacts.layout import MOSAIC_GAP

Images = np.ndarray[Any, np.dtype[np.uint8]]


def mosaic(images: Images, *, columns: int, gap: int = MOSAIC_GAP) -> Images:
    """uint8 (number, height, width, channel) row by row in a grid with white gaps, (height, width, channel)."""
    number, height, width, channels = images.shape
    rows = -(-number // columns)
    grid = np.full((rows * (height + gap) - gap, columns * (width + gap) - gap, channels), 255, np.uint8)
    for index, image in enumerate(images):
        top, left = (index // columns) * (height + gap), (index % columns) * (width + gap)
        grid[top : top + height, left : left + width] = image
    return grid


def write_png(path: Path, picture: Images) -> None:
    """Write uint8 (height, width, channel), grey or RGB; whole or absent."""
    with replacing(path) as partial:
        Image.fromarray(picture.squeeze(2) if picture.shape[2] == 1 else picture).save(partial, format="png")
