"""The style of all figures: a color and marker per model, SVG whose colors the page can set."""

from __future__ import annotations

import base64
import io
import re
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import lru_cache
from typing import Any

import matplotlib
import numpy as np
from cycler import cycler
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties
from matplotlib.textpath import TextPath
from PIL import Image

WIDTH = 7.2  # inches: the text width of a printed page
TALLEST = 7.6  # inches: taller figures are shrunk on paper, with their text (report/page.typ)

INK = "#1f2328"
MUTED = "#667079"
RULE = "#dfe3e8"

NAME_SIZE = 8.5  # points, of a model's name
SMALL_SIZE = 7.5
_FONT = "DejaVu Sans"
_POINTS_DPI = 220

# The first three are of Okabe & Ito (2008). The others are as far from them and from each other as
# possible, also for color-blind readers, and legible on white paper.
COLORS = (
    *("#0072b2", "#d55e00", "#009e73", "#b33597", "#6721b7"),
    *("#715b1c", "#771f0b", "#075142", "#8685be", "#c58c00"),
)
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "<", ">", "p")
DASHES = ("-", (0, (5, 1.5)), (0, (1.2, 1.2)), (0, (6, 1.5, 1.2, 1.5)))  # of the lines of one color

# Of classes, after Tableau 10 and a little darker: legible on white and on dark, none a model's.
CLASS_COLORS = (
    *("#4a80b5", "#e07b1f", "#3f9e50", "#d64550", "#8f6bb8"),
    *("#96694f", "#d873ae", "#7d868c", "#a8a02a", "#22a3b5"),
)

_SETTINGS: dict[Any, Any] = {
    "font.family": _FONT,
    "font.size": NAME_SIZE,
    "axes.titlesize": 9,
    "axes.titlelocation": "left",
    "axes.titleweight": "bold",
    "axes.titlecolor": INK,
    "axes.labelcolor": MUTED,
    "axes.edgecolor": MUTED,
    "axes.linewidth": 0.6,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.grid.axis": "y",
    "axes.axisbelow": True,
    "axes.prop_cycle": cycler(color=COLORS),
    "grid.color": RULE,
    "grid.linewidth": 0.6,
    "text.color": INK,
    "xtick.color": MUTED,
    "ytick.color": MUTED,
    "xtick.major.width": 0.6,
    "ytick.major.size": 0,
    "lines.linewidth": 1.6,
    "lines.markersize": 4.5,
    "text.parse_math": False,  # names may have dollars, and no text is a formula
    "svg.fonttype": "none",
    "svg.hashsalt": "latentbench",
    "svg.image_inline": True,
    "figure.figsize": (WIDTH, 2.8),
    "legend.frameon": False,
}

# The page redefines these in dark mode; elsewhere the color after the comma holds.
_PAGE_COLORS = {
    INK: "currentColor",
    MUTED: f"var(--muted, {MUTED})",
    RULE: f"var(--rule, {RULE})",
} | {color: f"var(--model-{number}, {color})" for number, color in enumerate(COLORS, start=1)}


_EMBEDDED_PNG = re.compile(r"data:image/png;base64,([\w+/=\s]+)")
_EMBEDDED_WEBP = re.compile(r"data:image/webp;base64,([\w+/=]+)")
_AVIF_QUALITY = 90
_DATA_OF_PATH = re.compile(r' d="[^"]*"')
_DECIMALS = re.compile(r"(\.\d\d)\d+")  # after hundredths of a point


def color_of(index: int) -> str:
    """Return the color of the model at a place among those of its dataset."""
    return COLORS[index % len(COLORS)]


def marker_of(index: int) -> str:
    """Return the marker of a model; it differs from round to round of the colors."""
    return MARKERS[(index + index // len(COLORS)) % len(MARKERS)]


def dashes_of(index: int) -> Any:
    """Return the dashes of a model's curves; they differ from round to round of the colors."""
    return DASHES[index // len(COLORS) % len(DASHES)]


@lru_cache(maxsize=4096)
def text_width(text: str, *, size: float = NAME_SIZE, bold: bool = True) -> float:
    """Return the width in inches of a line of text."""
    if not text:
        return 0.0
    font = FontProperties(family=_FONT, weight="bold" if bold else "normal")
    return float(TextPath((0, 0), text, size=size, prop=font).get_extents().width) / 72


def fitting_size(name: str, inches: float) -> float:
    """Return the size in points at which a bold name fits, at most NAME_SIZE."""
    return NAME_SIZE * min(1.0, inches / max(text_width(name), 1e-9))


def pages(heights: Sequence[float], *, tallest: float = TALLEST) -> list[slice]:
    """Return slices of rows that each fit on a page: as few as possible, of similar height."""

    def slices(limit: float) -> list[slice]:
        starts, height = [0], 0.0
        for place, row in enumerate(heights):
            if height and height + row > limit:
                starts.append(place)
                height = 0.0
            height += row
        return list(map(slice, starts, [*starts[1:], len(heights)]))

    fewest = slices(tallest)
    for limit in np.linspace(sum(heights) / len(fewest), tallest, 50):
        even = slices(limit)
        if len(even) == len(fewest):
            return even
    return fewest


def use_house_style() -> None:
    """Apply the style to every figure of this process from now on, whatever the user's settings."""
    # The font that measures names need not have all their letters, since the page's fonts do.
    warnings.filterwarnings("ignore", r"Glyph \d+ ")
    matplotlib.rcdefaults()
    matplotlib.rcParams.update(_SETTINGS)


@contextmanager
def house_style() -> Iterator[None]:
    """Apply the style to figures that are made within the context."""
    with matplotlib.rc_context():
        use_house_style()
        yield


def to_svg(figure: Figure) -> str:
    """Return the figure as an <svg> element; the same figure gives the same bytes."""
    buffer = io.StringIO()
    with house_style():
        # The resolution matters for clouds of points, which are not drawn as vectors.
        figure.savefig(
            buffer, format="svg", transparent=True, metadata={"Date": None}, dpi=_POINTS_DPI
        )
    svg = buffer.getvalue()
    svg = svg[svg.index("<svg") :]
    svg = re.sub(r"\s*<metadata>.*?</metadata>", "", svg, flags=re.DOTALL)
    svg = _DATA_OF_PATH.sub(lambda found: _DECIMALS.sub(r"\1", found[0]), svg)
    svg = re.sub(r"#[0-9a-f]{6}\b", lambda found: _PAGE_COLORS.get(found[0], found[0]), svg)
    return _EMBEDDED_PNG.sub(lambda found: _as_webp(found[1]), svg)


def _as_webp(png: str) -> str:
    """Return a PNG in base64 as the address of a WebP with the same pixels, in half the bytes."""
    buffer = io.BytesIO()
    with Image.open(io.BytesIO(base64.b64decode(png))) as image:
        image.save(buffer, "webp", lossless=True)
    return f"data:image/webp;base64,{base64.b64encode(buffer.getvalue()).decode()}"


def image_bytes(svg: str) -> int:
    """Return how many bytes of an SVG are images."""
    return sum(map(len, _EMBEDDED_WEBP.findall(svg)))


def with_smaller_images(svg: str) -> str:
    """Return the SVG with images in a quarter of their bytes: AVIF instead of lossless WebP.

    Levels change by 1 to 3 of 255 on average, without chroma subsampling: even a GAN's checkerboard
    of single pixels stays, and there is no artifact to be seen.
    """
    return _EMBEDDED_WEBP.sub(lambda found: _as_avif(found[1]), svg)


def _as_avif(webp: str) -> str:
    buffer = io.BytesIO()
    with Image.open(io.BytesIO(base64.b64decode(webp))) as image:
        options: dict[str, Any] = {"quality": _AVIF_QUALITY, "subsampling": "4:4:4", "speed": 8}
        image.save(buffer, "avif", max_threads=1, **options)
    return f"data:image/avif;base64,{base64.b64encode(buffer.getvalue()).decode()}"


def with_fixed_colors(svg: str) -> str:
    """Return the SVG with colors that no page can set, for paper."""
    return re.sub(r"var\(--[\w-]+, (#[0-9a-f]{6})\)", r"\1", svg).replace("currentColor", INK)
