"""Grids of images as one picture."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from latentbench.artifacts.files import atomic_write
from latentbench.artifacts.paths import GRID_GAP

Images = np.ndarray[Any, np.dtype[np.uint8]]


def image_grid(images: Images, *, columns: int, gap: int = GRID_GAP) -> Images:
    """Return images, uint8 (number, height, width, channel), as one picture with white gaps.

    They are arranged row by row. The picture is uint8 (height, width, channel).
    """
    number, height, width, channels = images.shape
    rows = -(-number // columns)
    grid = np.full(
        (rows * (height + gap) - gap, columns * (width + gap) - gap, channels), 255, np.uint8
    )
    for index, image in enumerate(images):
        top, left = (index // columns) * (height + gap), (index % columns) * (width + gap)
        grid[top : top + height, left : left + width] = image
    return grid


def to_pil(picture: Images) -> Image.Image:
    """Return a picture, uint8 (height, width, channel), gray or RGB, as a PIL image."""
    return Image.fromarray(picture.squeeze(2) if picture.shape[2] == 1 else picture)


def write_png(path: Path, picture: Images) -> None:
    """Write a picture, uint8 (height, width, channel), gray or RGB."""
    with atomic_write(path) as partial:
        to_pil(picture).save(partial, format="png")
