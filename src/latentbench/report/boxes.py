"""Block diagrams: boxes, arrows and words, placed in inches."""

from __future__ import annotations

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import FancyArrowPatch, FancyBboxPatch

from latentbench.report.style import INK, MUTED, NAME_SIZE, SMALL_SIZE, WIDTH

Place = tuple[float, float]

_TINT = 0.13  # of a box, in its colour: readable on white and on dark paper
_HEIGHT = 0.46


def canvas(height: float) -> tuple[Figure, Axes]:
    """A figure as wide as the page, whose coordinates are inches from its lower left corner."""
    figure = Figure(figsize=(WIDTH, height))
    axes = figure.add_axes((0, 0, 1, 1))
    axes.set(xlim=(0, WIDTH), ylim=(0, height))
    axes.set_axis_off()
    return figure, axes


def box(axes: Axes, at: Place, words: str, colour: str, *, width: float = 1.0, height: float = _HEIGHT) -> None:
    """What computes: a rounded box about `at`."""
    corner = (at[0] - width / 2, at[1] - height / 2)
    shape = "round,pad=0,rounding_size=0.07"
    for face, edge, alpha in ((colour, "none", _TINT), ("none", colour, 1.0)):
        axes.add_patch(
            FancyBboxPatch(corner, width, height, boxstyle=shape, facecolor=face, edgecolor=edge, alpha=alpha)
        )
    write(axes, at, words)


def write(
    axes: Axes, at: Place, words: str, *, colour: str = INK, small: bool = False, bold: bool = False, ha: str = "center"
) -> None:
    axes.text(
        *at,
        words,
        color=colour,
        fontsize=SMALL_SIZE if small else NAME_SIZE,
        fontweight="bold" if bold else "normal",
        ha=ha,
        va="center",
        linespacing=1.35,
    )


def note(axes: Axes, at: Place, words: str, *, colour: str = MUTED, ha: str = "center") -> None:
    write(axes, at, words, colour=colour, small=True, ha=ha)


def arrow(axes: Axes, *places: Place, colour: str = INK, dashed: bool = False) -> None:
    """Along straight lines from the first place to the last, where its head is."""
    style = {"color": colour, "linewidth": 1.0, "linestyle": "--" if dashed else "-"}
    *way, end = places
    axes.plot(*zip(*way, strict=True), **style)
    axes.add_patch(FancyArrowPatch(way[-1], end, arrowstyle="-|>", mutation_scale=8, shrinkA=0, shrinkB=0, **style))
