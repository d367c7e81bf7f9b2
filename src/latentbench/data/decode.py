"""From a picture of any size and mode to a square of the prepared size."""

from __future__ import annotations

import io
from dataclasses import dataclass
from typing import Any

import numpy as np
import simplejpeg
from PIL import ExifTags, Image, ImageOps

JPEG = b"\xff\xd8"
Array = np.ndarray[Any, np.dtype[np.uint8]]


@dataclass(frozen=True)
class ResizeSpec:
    """What `datasets` says of the prepared images' shape."""

    image_size: int
    channels: int
    crop: int | None
    pad: int

    @property
    def mode(self) -> str:
        return "L" if self.channels == 1 else "RGB"


def to_square(picture: Image.Image | bytes, square: ResizeSpec) -> Array:
    """uint8 (image_size, image_size, channels): the central square, padded, then resized with the antialiased bicubic
    filter, which is the one that clean-fid measures through (Parmar et al., 2022).

    Takes a picture or the bytes of its file. Raises what Pillow raises where it is damaged: OSError, SyntaxError,
    ValueError and their like.
    """
    whole, full_size = (
        _decode(picture, square) if isinstance(picture, bytes) else (picture, picture.size)
    )
    whole = _in_mode(whole, square.mode)
    box = _central_box(full_size, square.crop)
    if square.pad:
        whole = ImageOps.expand(whole.crop(box), border=square.pad, fill=0)
        box = (0, 0, *whole.size)
    elif whole.size != full_size:
        left, top, right, bottom = box
        box = (left / 2, top / 2, right / 2, bottom / 2)
    size = (square.image_size, square.image_size)
    if box != (0, 0, *size):
        whole = whole.resize(size, Image.Resampling.BICUBIC, box=box)
    return np.asarray(whole).reshape(*size, square.channels)


def _decode(data: bytes, square: ResizeSpec) -> tuple[Image.Image, tuple[int, int]]:
    """The picture as the camera was held, and its full size: a JPEG that is large enough comes at half of it."""
    if data.startswith(JPEG) and _is_upright(data):
        try:
            return _decode_jpeg(data, square)
        except ValueError:
            pass  # Pillow takes more kinds of JPEG than the faster decoder, and says better what is wrong with one
    picture = ImageOps.exif_transpose(Image.open(io.BytesIO(data)))
    return picture, picture.size


def _is_upright(data: bytes) -> bool:
    return (
        b"Exif\0" not in data
        or Image.open(io.BytesIO(data)).getexif().get(ExifTags.Base.Orientation, 1) == 1
    )


def _decode_jpeg(data: bytes, square: ResizeSpec) -> tuple[Image.Image, tuple[int, int]]:
    """What Pillow would make of it, in half the time, at half its size where that is as large as the square wanted.

    For half the size the decoder drops the high frequencies of each block, which resizing would average away: the
    result differs by under one level of 255 in the mean. A quarter or an eighth would differ by several levels, so
    they are not asked for. Raises ValueError where it is damaged or of a rare kind.
    """
    height, width, colors, _ = simplejpeg.decode_jpeg_header(data)
    if colors not in ("YCbCr", "Gray"):
        raise ValueError(f"{colors} is rare")
    is_large = min(height, width, square.crop or width) >= 2 * square.image_size and not square.pad
    factor = 2 if is_large else 1
    pixels = simplejpeg.decode_jpeg(
        data,
        "GRAY" if square.channels == 1 else "RGB",
        min_height=-(-height // factor),
        min_width=-(-width // factor),
        min_factor=factor,
    )
    return Image.fromarray(pixels.squeeze(2) if square.channels == 1 else pixels), (width, height)


def _central_box(size: tuple[int, int], crop: int | None) -> tuple[float, float, float, float]:
    """Left, top, right and bottom of the central square, the largest or that of `crop` pixels."""
    side = min(*size, crop or size[0])
    left, top = ((extent - side) // 2 for extent in size)
    return left, top, left + side, top + side


def _in_mode(picture: Image.Image, mode: str) -> Image.Image:
    """Gray or color. What is transparent becomes white, as on a page; 16-bit gray keeps its upper 8 bits."""
    if picture.mode.startswith("I"):
        levels = np.asarray(picture, dtype=np.int64)
        picture = Image.fromarray(
            (levels // 256 if levels.max(initial=0) > 255 else levels).astype(np.uint8)
        )
    if picture.mode in ("LA", "RGBA", "PA") or "transparency" in picture.info:
        over = picture.convert("RGBA")
        picture = Image.alpha_composite(Image.new("RGBA", over.size, "white"), over)
    return picture if picture.mode == mode else picture.convert(mode)
