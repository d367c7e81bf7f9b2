"""Decoding gives the same bits as Pillow."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image, ImageOps

from latentbench.data.preparation import decode
from latentbench.data.preparation.decode import Array, decode_image
from latentbench.data.preparation.resize_spec import ResizeSpec
from latentbench.rng import numpy_generator


def photograph(size: tuple[int, int], mode: str = "RGB") -> Image.Image:
    coarse = numpy_generator(0, "photograph").integers(0, 256, (9, 7, 3), dtype=np.uint8)
    return Image.fromarray(coarse).resize(size, Image.Resampling.BICUBIC).convert(mode)


def resize_to_square(data: bytes, spec: ResizeSpec) -> Array:
    return decode.resize_to_square(decode_image(data, spec), spec)


def file_of(picture: Image.Image, kind: str = "jpeg", **options: object) -> bytes:
    file = io.BytesIO()
    picture.save(file, kind, **options)
    return file.getvalue()


@pytest.mark.parametrize("size", [(64, 64), (90, 71), (128, 128), (251, 133), (131, 250)])
@pytest.mark.parametrize("options", [{}, {"subsampling": 0, "quality": 95}, {"progressive": True}])
@pytest.mark.parametrize(("mode", "channels"), [("RGB", 3), ("RGB", 1), ("L", 3), ("L", 1)])
@pytest.mark.parametrize("crop", [None, 70, 130])
def test_a_jpeg_is_decoded_as_pillow_does(
    size: tuple[int, int], options: dict[str, object], mode: str, channels: int, crop: int | None
) -> None:
    data = file_of(photograph(size, mode), **options)
    spec = ResizeSpec(64, channels, crop=crop, pad=0)
    expected = Image.open(io.BytesIO(data))
    side = min(*size, crop or size[0])
    shrunk = 0.5 if side >= 128 else 1.0
    expected.draft("L" if channels == 1 else "RGB", tuple(int(side * shrunk) for side in size))
    left, top = (int((extent - side) / 2) * shrunk for extent in size)
    box = (left, top, left + side * shrunk, top + side * shrunk)
    pixels = expected.convert(spec.mode).resize((64, 64), Image.Resampling.BICUBIC, box=box)
    np.testing.assert_array_equal(
        resize_to_square(data, spec), np.asarray(pixels).reshape(64, 64, channels)
    )


@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation_of_jpegs(orientation: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    data = file_of(photograph((60, 40)), exif=exif)
    upright = ImageOps.exif_transpose(Image.open(io.BytesIO(data)))
    left, top = ((extent - 40) // 2 for extent in upright.size)
    expected = upright.crop((left, top, left + 40, top + 40))
    found = resize_to_square(data, ResizeSpec(40, 3, crop=None, pad=0))
    np.testing.assert_array_equal(found, np.asarray(expected))


def test_cmyk_jpegs_are_decoded_by_pillow() -> None:
    data = file_of(photograph((64, 64), "CMYK"))
    expected = Image.open(io.BytesIO(data)).convert("RGB")
    np.testing.assert_array_equal(
        resize_to_square(data, ResizeSpec(64, 3, crop=None, pad=0)), np.asarray(expected)
    )


@pytest.mark.parametrize("fraction", [0.02, 0.5, 0.9])
def test_a_truncated_jpeg_is_an_error(fraction: float) -> None:
    data = file_of(photograph((250, 250)))
    with pytest.raises(OSError, match=r"(?i)truncated"):
        resize_to_square(data[: int(len(data) * fraction)], ResizeSpec(64, 3, crop=148, pad=0))
