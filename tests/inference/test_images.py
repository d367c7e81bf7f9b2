"""Images of every kind, prepared as the stage `prepare` prepares files."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from latentbench.data.preparation.decode import decode_image, resize_to_square
from latentbench.data.preparation.resize_spec import ResizeSpec
from latentbench.errors import ArgumentError, ImageError
from latentbench.inference.images import is_single, prepare_images

GRAY = ResizeSpec(32, 1, crop=None, pad=0)
COLOR = ResizeSpec(32, 3, crop=40, pad=2)
SPECS = pytest.mark.parametrize("spec", [GRAY, COLOR], ids=["gray", "color"])

Array = np.ndarray[Any, Any]


def picture(width: int = 60, height: int = 50) -> Array:
    """A smooth color picture without symmetry, uint8 (height, width, 3)."""
    x, y = np.meshgrid(np.linspace(0, 1, width), np.linspace(0, 1, height))
    return np.rint(255 * np.stack([x, y, x * y], axis=-1)).astype(np.uint8)


def saved(image: Image.Image, form: str = "png", **options: Any) -> bytes:
    content = io.BytesIO()
    image.save(content, format=form, **options)
    return content.getvalue()


def as_stage_prepares(content: bytes, spec: ResizeSpec) -> Array:
    return resize_to_square(decode_image(content, spec), spec)


@SPECS
@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA", "I;16", "CMYK"])
def test_pil_images_of_every_mode_equal_their_files(
    mode: str, spec: ResizeSpec, tmp_path: Path
) -> None:
    image = Image.fromarray(picture())
    if mode in ("LA", "RGBA"):
        image.putalpha(Image.fromarray(picture()[..., 0]))
        image = image.convert(mode)
    elif mode == "I;16":
        image = Image.fromarray(picture()[..., 0].astype(np.uint16) * 256 + 99)
    else:
        image = image.convert(mode)
    assert image.mode == mode
    form = "tiff" if mode == "CMYK" else "png"
    path = tmp_path / f"image.{form}"
    path.write_bytes(saved(image, form))
    expected = as_stage_prepares(path.read_bytes(), spec)[None]
    assert expected.shape == (1, 32, 32, spec.channels)
    content = path.read_bytes()
    for given in (
        image,
        Image.open(path),
        path,
        str(path),
        content,
        [image],
        [content],
        (path,),
        [str(path)],
    ):
        np.testing.assert_array_equal(prepare_images(given, spec), expected)
        assert is_single(given) != isinstance(given, list | tuple)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_pil_images_are_turned_upright(orientation: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    content = saved(Image.fromarray(picture()), exif=exif)
    given = Image.open(io.BytesIO(content))
    expected = as_stage_prepares(content, COLOR)
    np.testing.assert_array_equal(prepare_images(given, COLOR)[0], expected)


def test_a_transparent_palette_lies_on_white() -> None:
    image = Image.new("P", (32, 32), 0)
    image.putpalette([0, 0, 0, 9, 9, 9])
    info = PngInfo()
    content = saved(image, pnginfo=info, transparency=0)
    assert (prepare_images(Image.open(io.BytesIO(content)), GRAY) == 255).all()


@SPECS
def test_arrays_of_every_shape_and_type(spec: ResizeSpec) -> None:
    color = picture()
    gray = color[..., 0]
    opaque = np.dstack([color, np.full_like(gray, 255)])
    expected = prepare_images(Image.fromarray(color), spec)
    of_gray = prepare_images(Image.fromarray(gray), spec)
    planes = torch.from_numpy(color).permute(2, 0, 1)
    for given in (
        color,
        opaque,
        color / 255,
        (color / 255).astype(np.float32),
        color.astype(np.int64),
        color.astype(np.uint16) * 257,
        planes,
        planes / 255,
        torch.from_numpy(color),
    ):
        np.testing.assert_array_equal(prepare_images(given, spec), expected)
        assert is_single(given)
    for given in (gray, gray[..., None], gray / 255, torch.from_numpy(gray)[None]):
        np.testing.assert_array_equal(prepare_images(given, spec), of_gray)
        assert is_single(given)
    both = np.stack([color, color[::-1]])
    expected = prepare_images([color, color[::-1].copy()], spec)
    assert (expected[0] != expected[1]).any()
    for given in (
        both,
        both / 255,
        list(both),
        iter(both),
        both.transpose(0, 3, 1, 2),
        torch.from_numpy(both).permute(0, 3, 1, 2),
        torch.from_numpy(both).permute(0, 3, 1, 2).double() / 255,
        torch.from_numpy(both),
        [both[:1], both[1]],
    ):
        assert not is_single(given)
        np.testing.assert_array_equal(prepare_images(given, spec), expected)
    of_gray = prepare_images([gray, gray[::-1]], spec)
    several = np.stack([gray, gray[::-1]])
    for given in (several, several[..., None], torch.from_numpy(several)[:, None]):
        assert not is_single(given)
        np.testing.assert_array_equal(prepare_images(given, spec), of_gray)


def test_arrays_of_the_prepared_size_are_not_cropped_again() -> None:
    spec = ResizeSpec(32, 3, crop=24, pad=2)
    image = picture(32, 32)
    np.testing.assert_array_equal(prepare_images(image, spec)[0], image)
    np.testing.assert_array_equal(prepare_images(image / 255, spec)[0], image)
    # A file of this size was cropped when the dataset was prepared.
    assert (prepare_images(Image.fromarray(image), spec)[0] != image).any()


def test_images_of_many_sizes_in_one_list(tmp_path: Path) -> None:
    path = tmp_path / "image.jpg"
    Image.fromarray(picture(90, 40)).save(path)
    given = [
        path,
        picture(),
        Image.fromarray(picture(33, 71)),
        torch.from_numpy(picture(8, 8)[..., 0]),
    ]
    found = prepare_images(given, COLOR)
    assert found.shape == (4, 32, 32, 3)
    for place, image in enumerate(given):
        np.testing.assert_array_equal(found[place], prepare_images(image, COLOR)[0])


@pytest.mark.parametrize(
    ("images", "part"),
    [
        ([], "no images"),
        (np.zeros((0, 32, 32, 1), np.uint8), "no images"),
        (np.zeros((2, 0, 32, 1), np.uint8), r"\(2, 0, 32, 1\)"),
        (picture() / 100, "2.55"),
        (picture() / 255 - 0.5, "-0.5"),
        (np.full((32, 32), np.nan), "nan"),
        (picture().astype(np.int32) * 2, "510"),
        (picture().astype(complex), "complex"),
        (picture().astype(str), "U"),
        (np.zeros(5), r"\(5,\)"),
        (np.zeros((1, 2, 3, 4, 5)), r"\(1, 2, 3, 4, 5\)"),
        (np.zeros((2, 30, 32, 7)), r"\(2, 30, 32, 7\)"),
        (bytearray(b"x"), "int"),
        (7, "int"),
        ([7], "int"),
    ],
)
def test_what_is_no_image(images: Any, part: str) -> None:
    with pytest.raises(ArgumentError, match=part):
        prepare_images(images, GRAY)


def test_files_that_are_no_images(tmp_path: Path) -> None:
    (tmp_path / "text.png").write_text("text")
    whole = saved(Image.fromarray(picture()))
    (tmp_path / "half.png").write_bytes(whole[: len(whole) // 2])
    for name in ("text.png", "half.png", "missing.png", "."):
        with pytest.raises(ImageError, match=name.strip(".") or "directory"):
            prepare_images(tmp_path / name, GRAY)
    with pytest.raises(ImageError, match="5 bytes"):
        prepare_images(b"bytes", GRAY)
    for image in (Image.new("F", (9, 9)), Image.new("I", (9, 9))):
        with pytest.raises(ImageError, match=f"mode {image.mode}"):
            prepare_images(image, GRAY)
    with Image.open(tmp_path / "half.png") as opened, pytest.raises(ImageError, match="60×50"):
        prepare_images(opened, GRAY)
