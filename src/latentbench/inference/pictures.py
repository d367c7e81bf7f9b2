"""Grids of images as PIL images, which notebooks show."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from PIL import Image

from latentbench.data.image_grid import Images, image_grid, to_pil
from latentbench.errors import ArgumentError

DEFAULT_COLUMNS = 8


def grid(
    images: Images | Sequence[Images], columns: int | None = None, *, scale: int = 1
) -> Image.Image:
    """Return images as one picture with white gaps, row by row.

    >>> grid(model.sample(64), columns=8)
    >>> grid([model.sample(8), other.sample(8)])

    Args:
        images: uint8 (number, height, width, channel). Of an array (rows, columns, height, width,
            channel), or a list of arrays, each row is a row of the picture.
        columns: Images per row; None is 8, or all images of a row.
        scale: Side of the square that each pixel becomes.

    Raises:
        ArgumentError: There are no images, or they differ in size, or `columns` or `scale` is not
            positive.
    """
    array = _stack(images)
    if array.ndim == 5:
        columns = columns or array.shape[1]
        array = array.reshape(-1, *array.shape[2:])
    columns = DEFAULT_COLUMNS if columns is None else columns
    if columns < 1 or scale < 1:
        raise ArgumentError(f"columns is {columns} and scale is {scale}; both are at least 1.")
    found = to_pil(image_grid(array, columns=min(columns, len(array))))
    return found.resize((found.width * scale, found.height * scale), Image.Resampling.NEAREST)


def _stack(images: Any) -> Images:
    if not isinstance(images, Iterable):
        raise ArgumentError(
            f"The images are of type {type(images).__name__}; give uint8 (number, height, width, "
            "channel)."
        )
    try:
        array = np.asarray(images if isinstance(images, np.ndarray) else list(images))
    except ValueError:
        raise ArgumentError("The images differ in size; give images of one model.") from None
    if array.ndim in (2, 3) and array.shape[-1] not in (1, 3):
        array = array[..., None]  # gray
    if array.ndim == 3:
        array = array[None]
    if array.ndim not in (4, 5) or array.dtype != np.uint8 or array.shape[-1] not in (1, 3):
        raise ArgumentError(
            f"Images are {array.dtype} {array.shape}; give uint8 (number, height, width, channel)."
        )
    if not array.size:
        raise ArgumentError("There are no images; give at least one.")
    return array
