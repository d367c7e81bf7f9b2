"""Block diagrams of boxes, arrows and words, placed in inches."""

from __future__ import annotations

from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import FancyArrowPatch, FancyBboxPatch
from matplotlib.text import Text

from latentbench.report.presentation.style import INK, MUTED, NAME_SIZE, SMALL_SIZE, WIDTH

Place = tuple[float, float]

_TINT = 0.13  # opacity of a box: readable on white and on dark paper
_HEIGHT = 0.46


def canvas(height: float) -> tuple[Figure, Axes]:
    """Return a figure of the page's width, with coordinates in inches from its lower left."""
    figure = Figure(figsize=(WIDTH, height))
    axes = figure.add_axes((0, 0, 1, 1))
    axes.set(xlim=(0, WIDTH), ylim=(0, height))
    axes.set_axis_off()
    return figure, axes


def box(
    axes: Axes, at: Place, words: str, color: str, *, width: float = 1.0, height: float = _HEIGHT
) -> None:
    """Draw a rounded box centered at `at`, with words in it."""
    corner, style = (at[0] - width / 2, at[1] - height / 2), "round,pad=0,rounding_size=0.07"
    for colors in ({"fc": color, "ec": "none", "alpha": _TINT}, {"fc": "none", "ec": color}):
        axes.add_patch(FancyBboxPatch(corner, width, height, boxstyle=style, **colors))
    write(axes, at, words)


def write(axes: Axes, at: Place, words: str, *, color: str = INK, ha: str = "center") -> Text:
    """Write words at `at`, with their horizontal alignment `ha`."""
    place: dict[str, Any] = {"ha": ha, "va": "center", "linespacing": 1.35}
    return axes.text(*at, words, color=color, fontsize=NAME_SIZE, **place)


def head(axes: Axes, at: Place, words: str) -> None:
    """Write a heading that starts at `at`."""
    write(axes, at, words, ha="left").set_fontweight("bold")


def note(axes: Axes, at: Place, words: str, *, color: str = MUTED, ha: str = "center") -> None:
    """Write a remark in small letters."""
    write(axes, at, words, color=color, ha=ha).set_fontsize(SMALL_SIZE)


def arrow(axes: Axes, *places: Place, color: str = INK, dashed: bool = False) -> None:
    """Draw straight lines from place to place, with an arrowhead at the last."""
    style: dict[str, Any] = {"color": color, "linewidth": 1.0, "linestyle": "--" if dashed else "-"}
    *way, end = places
    axes.plot(*zip(*way, strict=True), **style)
    shape: dict[str, Any] = {"arrowstyle": "-|>", "mutation_scale": 8, "shrinkA": 0, "shrinkB": 0}
    axes.add_patch(FancyArrowPatch(way[-1], end, **shape, **style))
