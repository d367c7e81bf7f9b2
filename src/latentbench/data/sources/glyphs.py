"""Digits typeset from the fonts that matplotlib ships: an MNIST that is made, not downloaded."""

from __future__ import annotations

import importlib.util
import math
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from latentbench.artifacts.files import file_sha256
from latentbench.config.datasets import GlyphsDataset
from latentbench.data.sources.base import RawDataset, Split
from latentbench.errors import DataError
from latentbench.rng import numpy_generator

# Text faces only: matplotlib's mathematical and display fonts have no digits, or odd ones.
FONTS = (
    *(f"DejaVuSans{style}" for style in ("", "-Bold", "-Oblique", "-BoldOblique")),
    *(f"DejaVuSansMono{style}" for style in ("", "-Bold", "-Oblique", "-BoldOblique")),
    *(f"DejaVuSerif{style}" for style in ("", "-Bold", "-Italic", "-BoldItalic")),
    *(f"STIXGeneral{style}" for style in ("", "Bol", "Italic", "BolIta")),
    *("cmb10", "cmr10", "cmss10", "cmtt10"),
)
DETAIL = 4  # a glyph is drawn this many times as large and reduced, which smooths its edges


class GlyphsSource:
    def fetch(self, dataset: GlyphsDataset, folder: Path) -> dict[str, Any]:  # noqa: ARG002
        return {"fonts": {font: file_sha256(font_path(font)) for font in FONTS}}

    def open(self, dataset: GlyphsDataset, folder: Path, fetched: dict[str, Any]) -> RawDataset:  # noqa: ARG002
        if any(file_sha256(font_path(font)) != digest for font, digest in fetched["fonts"].items()):
            raise DataError(
                "matplotlib's fonts have changed since glyphs was fetched; fetch it again."
            )
        train, test = (
            Split(
                [(split, index) for index in range(number)], np.arange(number, dtype=np.int64) % 10
            )
            for split, number in (("train", dataset.num_train), ("test", dataset.num_test))
        )
        reader = GlyphReader(dataset.image_size, dataset.seed)
        return RawDataset(reader, train, test, class_names=[str(digit) for digit in range(10)])


class GlyphReader:
    """Draws a glyph from (seed, split, index) alone, so that any worker draws the same."""

    def __init__(self, image_size: int, seed: int) -> None:
        self.image_size = image_size
        self.seed = seed

    def read(self, reference: tuple[str, int]) -> Image.Image:
        split, index = reference
        rng = numpy_generator(self.seed, f"glyphs {split}", index)
        return draw_glyph(str(index % 10), image_size=self.image_size, rng=rng)


def draw_glyph(digit: str, *, image_size: int, rng: np.random.Generator) -> Image.Image:
    """A light digit on black, gray: random font, size, stroke, rotation, shear, shift, brightness and noise."""
    side = image_size * DETAIL
    font = ImageFont.truetype(
        str(font_path(FONTS[rng.integers(len(FONTS))])), int(side * rng.uniform(0.68, 0.82))
    )
    canvas = Image.new("L", (side, side))
    stroke = int(rng.integers(0, side // 42 + 1))
    ImageDraw.Draw(canvas).text(
        (side / 2, side / 2), digit, fill=255, font=font, anchor="mm", stroke_width=stroke
    )
    canvas = canvas.transform(
        canvas.size, Image.Transform.AFFINE, _affine(side, rng), Image.Resampling.BICUBIC
    )
    small = canvas.resize((image_size, image_size), Image.Resampling.LANCZOS)
    levels = np.asarray(small, dtype=np.float64) * rng.uniform(0.8, 1.0) + rng.normal(
        0, 5, (image_size, image_size)
    )
    return Image.fromarray(levels.round().clip(0, 255).astype(np.uint8))


def font_path(font: str) -> Path:
    """Found without importing matplotlib, which would take as long as drawing hundreds of glyphs."""
    package = importlib.util.find_spec("matplotlib")
    if package is None or package.origin is None:
        raise DataError("glyphs needs matplotlib, whose fonts it draws with; install it.")
    return Path(package.origin).parent / "mpl-data" / "fonts" / "ttf" / f"{font}.ttf"


def _affine(side: int, rng: np.random.Generator) -> tuple[float, ...]:
    """Pillow's six coefficients, from output to input, of a rotation, a shear and a shift about the center."""
    angle = math.radians(rng.uniform(-8, 8))
    shear = rng.uniform(-0.12, 0.12)
    shift = rng.uniform(-0.04, 0.04, 2) * side
    rotation = np.array([[math.cos(angle), math.sin(angle)], [-math.sin(angle), math.cos(angle)]])
    matrix = rotation @ np.array([[1, shear], [0, 1]])
    center = np.array([side / 2, side / 2])
    offset = center - matrix @ (center + shift)
    return (*matrix[0], offset[0], *matrix[1], offset[1])
