"""Digits rendered from matplotlib's fonts: a dataset like MNIST, without a download."""

from __future__ import annotations

import importlib.util
import math
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from latentbench.artifacts.files import file_sha256
from latentbench.config.datasets import GlyphsDataset
from latentbench.data.sources.base import RawDataset, Split
from latentbench.errors import DataError
from latentbench.rng import numpy_generator

# Text fonts only: matplotlib's mathematical fonts have no digits.
FONTS = (
    "DejaVuSans",
    "DejaVuSans-Bold",
    "DejaVuSans-Oblique",
    "DejaVuSans-BoldOblique",
    "DejaVuSansMono",
    "DejaVuSansMono-Bold",
    "DejaVuSansMono-Oblique",
    "DejaVuSansMono-BoldOblique",
    "DejaVuSerif",
    "DejaVuSerif-Bold",
    "DejaVuSerif-Italic",
    "DejaVuSerif-BoldItalic",
    "STIXGeneral",
    "STIXGeneralBol",
    "STIXGeneralItalic",
    "STIXGeneralBolIta",
    "cmb10",
    "cmr10",
    "cmss10",
    "cmtt10",
)
SCALE = 4  # glyphs are drawn this many times larger, then reduced for smooth edges


class GlyphsSource:
    """Glyphs. There is nothing to download: matplotlib has the fonts."""

    entries: ClassVar[dict[str, type]] = {"fonts": dict}

    def fetch(self, dataset: GlyphsDataset, folder: Path) -> dict[str, Any]:
        """Return the SHA-256 of the fonts."""
        return {"fonts": {font: file_sha256(font_path(font)) for font in FONTS}}

    def open(self, dataset: GlyphsDataset, folder: Path, fetched: dict[str, Any]) -> RawDataset:
        """Return references to glyphs, which the reader draws; raise DataError for other fonts."""
        for font, digest in fetched["fonts"].items():
            if file_sha256(font_path(font)) != digest:
                raise DataError(
                    f"matplotlib's font {font} has changed since the dataset was fetched; fetch it "
                    "again."
                )
        return RawDataset(
            GlyphReader(dataset.image_size, dataset.seed),
            _balanced_split("train", dataset.num_train),
            _balanced_split("test", dataset.num_test),
            class_names=list("0123456789"),
        )


class GlyphReader:
    """Draws glyphs. Each depends on (seed, split, index) only, so every worker draws the same."""

    def __init__(self, image_size: int, seed: int) -> None:
        self.image_size = image_size
        self.seed = seed

    def read(self, reference: tuple[str, int]) -> Image.Image:
        """Return the glyph of a split and index; its digit is the index modulo 10."""
        split, index = reference
        rng = numpy_generator(self.seed, f"glyphs {split}", index)
        return draw_glyph(str(index % 10), image_size=self.image_size, rng=rng)

    def locate(self, reference: tuple[str, int]) -> str:
        """Return the glyph's split and index."""
        split, index = reference
        return f"glyph {index} of the {split} split"


def draw_glyph(digit: str, *, image_size: int, rng: np.random.Generator) -> Image.Image:
    """Return a light digit on black, in gray.

    Font, size, stroke width, rotation, shear, shift, brightness and noise are random.
    """
    side = image_size * SCALE
    font_file = font_path(FONTS[rng.integers(len(FONTS))])
    font = ImageFont.truetype(str(font_file), int(side * rng.uniform(0.68, 0.82)))
    canvas = Image.new("L", (side, side))
    stroke = int(rng.integers(0, side // 42 + 1))
    ImageDraw.Draw(canvas).text(
        (side / 2, side / 2), digit, fill=255, font=font, anchor="mm", stroke_width=stroke
    )
    canvas = canvas.transform(
        canvas.size, Image.Transform.AFFINE, _affine(side, rng), Image.Resampling.BICUBIC
    )
    small = canvas.resize((image_size, image_size), Image.Resampling.LANCZOS)
    levels = np.asarray(small, dtype=np.float64) * rng.uniform(0.8, 1.0)
    levels = levels + rng.normal(0, 5, (image_size, image_size))
    return Image.fromarray(levels.round().clip(0, 255).astype(np.uint8))


def font_path(font: str) -> Path:
    """Return the path of a font of matplotlib, without the time to import matplotlib."""
    package = importlib.util.find_spec("matplotlib")
    if package is None or package.origin is None:
        raise DataError("The source glyphs needs the fonts of matplotlib; install matplotlib.")
    return Path(package.origin).parent / "mpl-data" / "fonts" / "ttf" / f"{font}.ttf"


def _balanced_split(name: str, number: int) -> Split:
    references = [(name, index) for index in range(number)]
    return Split(references, np.arange(number, dtype=np.int64) % 10)


def _affine(side: int, rng: np.random.Generator) -> tuple[float, ...]:
    """Return a random rotation, shear and shift about the center, as Pillow's six coefficients.

    They map output to input coordinates.
    """
    angle = math.radians(rng.uniform(-8, 8))
    shear = rng.uniform(-0.12, 0.12)
    shift = rng.uniform(-0.04, 0.04, 2) * side
    rotation = np.array([[math.cos(angle), math.sin(angle)], [-math.sin(angle), math.cos(angle)]])
    matrix = rotation @ np.array([[1, shear], [0, 1]])
    center = np.array([side / 2, side / 2])
    offset = center - matrix @ (center + shift)
    return (*matrix[0], offset[0], *matrix[1], offset[1])
