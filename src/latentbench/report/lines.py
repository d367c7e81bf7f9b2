"""Axes of curves, and names at the lines themselves."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.ticker import FixedLocator, LogLocator, MaxNLocator, NullFormatter, NullLocator

from latentbench.report.style import WIDTH

DASHES = ("-", (0, (5, 1.5)), (0, (1.2, 1.2)), (0, (6, 1.5, 1.2, 1.5)))  # of the lines of one colour
ROW_HEIGHT = 2.0  # inches, of a row of panels with its words
_LOG_FROM = 10  # a logarithmic axis from this ratio of largest to smallest on
_SYMLOG_FROM, _SYMLOG_DEPTH = 100, 1e5  # with values below zero, of the largest to those; and how far down


def panels_of_curves(number: int) -> tuple[Figure, list[Axes]]:
    """A figure of so many panels, at most three beside one another; to be made in the house style."""
    columns = min(3, number)
    rows = math.ceil(number / columns)
    figure = Figure(figsize=(WIDTH, 0.3 + ROW_HEIGHT * rows), layout=ConstrainedLayoutEngine(wspace=0.08))
    grid = figure.subplots(rows, columns, squeeze=False).ravel()
    for axes in grid[number:]:
        axes.set_axis_off()
    return figure, list(grid[:number])


def name_panel(axes: Axes, name: str, colour: str, *, against: str) -> None:
    """The model over its panel, and a few whole numbers along what its curves are drawn against."""
    axes.set_title(name, color=colour)
    axes.set_xlabel(against)
    axes.xaxis.set_major_locator(MaxNLocator(3, integer=True))
    axes.xaxis.set_major_formatter(lambda value, _: f"{value:,.0f}")


def spread_apart(places: Sequence[float], distance: float) -> list[float]:
    """The places moved as little as needed to lie `distance` apart in the order they had."""
    order = np.argsort(places, kind="stable")
    moved = np.asarray(places, dtype=float)[order]
    # Blocks of labels that touch share their mean place; merging them is isotonic regression.
    steps = distance * np.arange(len(moved))
    levels: list[tuple[float, int]] = []
    for level in moved - steps:
        levels.append((float(level), 1))
        while len(levels) > 1 and levels[-2][0] >= levels[-1][0]:
            (low, many), (high, more) = levels[-2:]
            levels[-2:] = [((low * many + high * more) / (many + more), many + more)]
    spaced = np.concatenate([np.full(number, level) for level, number in levels]) + steps
    result = np.empty_like(spaced)
    result[order] = spaced
    return [float(place) for place in result]


def scale_y(axes: Axes, values: Sequence[float], *, estimates: bool = False) -> None:
    """A logarithmic axis where positive values span orders of magnitude, with plain numbers either way.

    Of unbiased `estimates` of what cannot be negative some may be: the axis is then linear about zero, as far as they
    reach.
    """
    finite = [value for value in values if math.isfinite(value)]
    if estimates and finite and -max(finite) / _SYMLOG_FROM <= min(finite) <= 0 < max(finite):
        linear = max(-min(finite), max(finite) / _SYMLOG_DEPTH)
        axes.set_yscale("symlog", linthresh=linear)
        exponents = range(math.ceil(math.log10(linear)), math.ceil(math.log10(max(finite))))
        axes.yaxis.set_major_locator(FixedLocator([0, *(10.0**exponent for exponent in exponents)]))
        _write_plainly(axes)
        return
    if not finite or min(finite) <= 0 or max(finite) / min(finite) < _LOG_FROM:
        axes.yaxis.set_major_locator(MaxNLocator(5))
        return
    axes.set_yscale("log")
    decades = math.log10(max(finite) / min(finite))
    axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5) if decades < 2 else (1,), numticks=12))
    _write_plainly(axes)


def _write_plainly(axes: Axes) -> None:
    axes.yaxis.set_minor_locator(NullLocator())
    axes.yaxis.set_major_formatter(lambda value, _: f"{value:g}")
    axes.yaxis.set_minor_formatter(NullFormatter())


def label_ends(
    axes: Axes, ends: Sequence[tuple[str, str, float, float]], *, size: float = 8.5, height: float = 0.7 * ROW_HEIGHT
) -> None:
    """Write each name right of the panel at the height of its line's end, and lead the eye there.

    `height` is that of the panel in inches: of a row the panel itself takes some 70 %, the rest are words.
    """
    ends = [end for end in ends if math.isfinite(end[3])]
    if not ends:
        return
    axes.autoscale_view()
    to_panel = axes.transScale + axes.transLimits
    heights = [float(to_panel.transform((x, y))[1]) for _, _, x, y in ends]
    line_height = 1.25 * size / (72 * height)
    places = spread_apart(heights, line_height)
    # Many names that end low or high stay beside their own panel.
    shift = max(0.0, -min(places)) - max(0.0, max(places) - 1)
    for (name, colour, x, y), place in zip(ends, places, strict=True):
        axes.annotate(
            name,
            xy=(x if math.isfinite(x) else axes.get_xlim()[1], y),
            xytext=(1.03, place + shift),
            textcoords="axes fraction",
            va="center",
            color=colour,
            fontsize=size,
            annotation_clip=False,
            arrowprops={
                "arrowstyle": "-",
                "color": colour,
                "linewidth": 0.5,
                "alpha": 0.6,
                "shrinkA": 1,
                "shrinkB": 3,
            },
        )
