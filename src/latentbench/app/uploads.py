"""Pictures that a user uploads: checked, decoded and prepared in memory."""

from __future__ import annotations

import io
import warnings
from pathlib import PurePosixPath

from PIL import Image

from latentbench.app.explorer import Picture
from latentbench.data.preparation.image_decoder import ImageDecoder
from latentbench.data.preparation.resize_spec import ResizeSpec
from latentbench.errors import ImageError, quote

MAX_BYTES = 16 * 2**20
MAX_PIXELS = 64 * 2**20  # a photo of 8192×8192 pixels
# Formats of browsers and cameras, of Pillow's decoders.
_FORMATS = ("PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF", "AVIF", "MPO")


def read_upload(name: str, content: bytes, spec: ResizeSpec) -> Picture:
    """Return an uploaded picture as `prepare` would write it.

    Nothing is written. Bytes and pixels are counted before anything is decoded.

    Raises:
        ImageError: It is too large, no picture, or damaged.
    """
    short = PurePosixPath(name.replace("\\", "/")).name or "picture"
    where = quote(short)
    if len(content) > MAX_BYTES:
        raise ImageError(
            f"{where} has {_megabytes(len(content))} MB; give a picture of at most "
            f"{_megabytes(MAX_BYTES)} MB.",
            "too large",
        )
    width, height = _size(content, where)
    if width * height > MAX_PIXELS:
        raise _too_many_pixels(where)
    image = ImageDecoder(_Upload(where), spec).decode(content)
    return Picture(short, image, repr(short))


def _size(content: bytes, where: str) -> tuple[int, int]:
    """Return width and height from the header, without decoding the pixels."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Pillow's, about metadata and size
            with Image.open(io.BytesIO(content), formats=_FORMATS) as image:
                return image.size
    except Image.DecompressionBombError:
        raise _too_many_pixels(where) from None
    # Pillow's plugins raise errors of many types.
    except Exception:
        raise ImageError(
            f"{where} is no picture that can be read; give a PNG, JPEG, WebP, GIF, BMP, TIFF or "
            "AVIF file.",
            "no image",
        ) from None


def _too_many_pixels(where: str) -> ImageError:
    return ImageError(
        f"{where} has too many pixels; give a picture of at most {MAX_PIXELS // 10**6} million.",
        "too large",
    )


def _megabytes(number: int) -> str:
    return f"{number / 2**20:.0f}"


class _Upload:
    """Passes bytes to the decoder, and names the file in its errors."""

    def __init__(self, where: str) -> None:
        self.where = where

    def read(self, reference: bytes) -> bytes:
        """Return the bytes."""
        return reference

    def locate(self, reference: bytes) -> str:  # noqa: ARG002
        """Return the name of the file."""
        return self.where
