"""Block diagrams: boxes, arrows and words, placed in inches."""

from __future__ import annotations

from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import FancyArrowPatch, FancyBboxPatch
from matplotlib.text import Text

from latentbench.report.presentation.style import INK, MUTED, NAME_SIZE, SMALL_SIZE, WIDTH

Place = tuple[float, float]

_TINT = 0.13  # of a box, in its color: readable on white and on dark paper
_HEIGHT = 0.46


def canvas(height: float) -> tuple[Figure, Axes]:
    """A figure as wide as the page, whose coordinates are inches from its lower left corner."""
    figure = Figure(figsize=(WIDTH, height))
    axes = figure.add_axes((0, 0, 1, 1))
    axes.set(xlim=(0, WIDTH), ylim=(0, height))
    axes.set_axis_off()
    return figure, axes


def box(
    axes: Axes, at: Place, words: str, color: str, *, width: float = 1.0, height: float = _HEIGHT
) -> None:
    """What computes: a rounded box about `at`."""
    corner = (at[0] - width / 2, at[1] - height / 2)
    shape = "round,pad=0,rounding_size=0.07"
    for face, edge, alpha in ((color, "none", _TINT), ("none", color, 1.0)):
        axes.add_patch(
            FancyBboxPatch(
                corner, width, height, boxstyle=shape, facecolor=face, edgecolor=edge, alpha=alpha
            )
        )
    write(axes, at, words)


def write(axes: Axes, at: Place, words: str, *, color: str = INK, ha: str = "center") -> Text:
    return axes.text(
        *at, words, color=color, fontsize=NAME_SIZE, ha=ha, va="center", linespacing=1.35
    )


def head(axes: Axes, at: Place, words: str) -> None:
    """Over a diagram, from its left."""
    write(axes, at, words, ha="left").set_fontweight("bold")


def note(axes: Axes, at: Place, words: str, *, color: str = MUTED, ha: str = "center") -> None:
    write(axes, at, words, color=color, ha=ha).set_fontsize(SMALL_SIZE)


def arrow(axes: Axes, *places: Place, color: str = INK, dashed: bool = False) -> None:
    """Along straight lines from the first place to the last, where its head is."""
    style: dict[str, Any] = {"color": color, "linewidth": 1.0, "linestyle": "--" if dashed else "-"}
    *way, end = places
    axes.plot(*zip(*way, strict=True), **style)
    axes.add_patch(
        FancyArrowPatch(
            way[-1], end, arrowstyle="-|>", mutation_scale=8, shrinkA=0, shrinkB=0, **style
        )
    )
