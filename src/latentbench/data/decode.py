"""From a picture of any size and mode to a square of the prepared size."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from PIL import Image, ImageOps

Array = np.ndarray[Any, np.dtype[np.uint8]]


@dataclass(frozen=True)
class Square:
    """What `datasets` says of the prepared images' shape."""

    image_size: int
    channels: int
    crop: int | None
    pad: int

    @property
    def mode(self) -> str:
        return "L" if self.channels == 1 else "RGB"


def to_square(picture: Image.Image, square: Square) -> Array:
    """uint8 (image_size, image_size, channels): the central square, padded, then resized with Lanczos' filter.

    Raises what Pillow raises where the picture is damaged: OSError, SyntaxError, ValueError and their like.
    """
    width = picture.size[0]
    _draft(picture, square)
    shrunk = picture.size[0] / width  # 1, or what the JPEG decoder was asked to halve
    picture = ImageOps.exif_transpose(picture)
    picture = _in_mode(picture, square.mode)
    side = min(picture.size) if square.crop is None else min(*picture.size, round(square.crop * shrunk))
    left, top = ((extent - side) // 2 for extent in picture.size)
    box: tuple[int, int, int, int] | None = (left, top, left + side, top + side)
    if square.pad:
        picture = ImageOps.expand(picture.crop(box), border=max(1, round(square.pad * shrunk)), fill=0)
        box = None
    size = (square.image_size, square.image_size)
    if picture.size != size:
        picture = picture.resize(size, Image.Resampling.LANCZOS, box=box)
    return np.asarray(picture).reshape(*size, square.channels)


def _draft(picture: Image.Image, square: Square) -> None:
    """Have a JPEG decoded at a half, a quarter or an eighth where that is still larger than the square wanted.

    The decoder drops the high frequencies of each block, which resizing would average away: the result differs by
    under one level of 255 in the mean and comes at twice the speed. Other formats take no notice.
    """
    side = min(*picture.size, square.crop or picture.size[0]) + 2 * square.pad
    needed = [math.ceil(extent * square.image_size / side) for extent in picture.size]
    picture.draft(square.mode, (needed[0], needed[1]))


def _in_mode(picture: Image.Image, mode: str) -> Image.Image:
    """Grey or colour. What is transparent becomes white, as on a page; 16-bit grey keeps its upper 8 bits."""
    if picture.mode.startswith("I"):
        levels = np.asarray(picture, dtype=np.int64)
        picture = Image.fromarray((levels // 256 if levels.max(initial=0) > 255 else levels).astype(np.uint8))
    if picture.mode in ("LA", "RGBA", "PA") or "transparency" in picture.info:
        over = picture.convert("RGBA")
        picture = Image.alpha_composite(Image.new("RGBA", over.size, "white"), over)
    return picture.convert(mode)
