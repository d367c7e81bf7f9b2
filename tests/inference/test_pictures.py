"""Grids of images."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from PIL import Image

import latentbench as lb
from latentbench.errors import ArgumentError

IMAGES = np.arange(5 * 4 * 6 * 3, dtype=np.uint8).reshape(5, 4, 6, 3)


def test_images_are_arranged_row_by_row_with_white_gaps() -> None:
    picture = np.asarray(lb.grid(IMAGES, columns=3))
    assert picture.shape == (4 + 2 + 4, 6 + 2 + 6 + 2 + 6, 3)
    np.testing.assert_array_equal(picture[:4, 8:14], IMAGES[1])
    np.testing.assert_array_equal(picture[6:, :6], IMAGES[3])
    assert (picture[4:6] == 255).all()
    assert (picture[6:, 16:] == 255).all()
    assert lb.grid(IMAGES).size == (5 * 8 - 2, 4)  # no empty columns
    assert lb.grid(np.repeat(IMAGES, 2, axis=0)).size == (8 * 8 - 2, 10)


def test_rows_of_paths_and_of_models() -> None:
    rows = np.stack([IMAGES, IMAGES[::-1]])
    picture = lb.grid(rows)
    assert picture.size == (5 * 8 - 2, 10)
    for given in (list(rows), [list(IMAGES), list(IMAGES[::-1])]):
        assert picture.tobytes() == lb.grid(given).tobytes()


def test_every_pixel_becomes_a_square() -> None:
    single, enlarged = lb.grid(IMAGES), np.asarray(lb.grid(IMAGES, scale=3))
    np.testing.assert_array_equal(enlarged, np.asarray(single).repeat(3, axis=0).repeat(3, axis=1))


def test_gray_images_and_pil_images() -> None:
    gray = IMAGES[..., :1]
    picture = lb.grid(gray, columns=2)
    assert picture.mode == "L"
    for given in (gray[..., 0], [Image.fromarray(image) for image in gray[..., 0]]):
        assert lb.grid(given, columns=2).tobytes() == picture.tobytes()
    assert lb.grid(gray[0]).size == lb.grid(IMAGES[0]).size == (6, 4)


@pytest.mark.parametrize(
    ("images", "options", "part"),
    [
        (IMAGES / 255, {}, "float64"),
        (IMAGES[0, 0, 0], {}, r"\(3,\)"),
        (IMAGES[:0], {}, "no images"),
        ([], {}, "float64"),
        ([IMAGES[0], IMAGES[0, 1:]], {}, "size"),
        (7, {}, "int"),
        (IMAGES, {"columns": 0}, "0"),
        (IMAGES, {"scale": 0}, "0"),
    ],
)
def test_what_is_no_grid(images: Any, options: dict[str, int], part: str) -> None:
    with pytest.raises(ArgumentError, match=part):
        lb.grid(images, **options)
