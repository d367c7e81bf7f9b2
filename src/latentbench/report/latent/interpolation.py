"""Paths between real images: what lies along them, how real it is and as what class it is recognized."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from latentbench.report.latent.sample_grids import names
from latentbench.report.presentation.formatting import NBSP
from latentbench.report.presentation.image_grids import (
    LABEL_GAP,
    MOST_LABEL_WIDTH,
    draw,
    image_axes,
    strip,
)
from latentbench.report.presentation.line_plots import scale_y
from latentbench.report.presentation.page import Drawing, Table
from latentbench.report.presentation.style import (
    MUTED,
    SMALL_SIZE,
    WIDTH,
    color_of,
    dashes_of,
    fitting_size,
    house_style,
    pages,
    text_width,
)
from latentbench.report.results.tables import Column, models_table
from latentbench.results.study import Experiment, Score, Study

KINDS = ("linear", "spherical")

_BETWEEN = 0.4  # of an image's side, between real images and the paths
_TITLE, _PLOT, _AFTER = (
    0.4,
    0.78,
    0.2,
)  # inches: over a pair's images, a plot of them, under the pair
_MOST_TOGETHER = 12  # models under the same pair
_TITLES_WIDTH = 0.7  # inches, at least, of the plots' titles
_LARGEST_SIDE = 0.5


def interpolations(study: Study) -> Drawing:
    """A block per pair of real images: a row of images per model, both kinds of path side by side, and under them how
    far from real they are and as what they are recognized."""
    present, notes = study.with_latent(
        "interpolation_real", *(f"interpolation_{kind}" for kind in KINDS)
    )
    blocks = [
        _Block(dataset if len(study.by_dataset()) > 1 else "", pair, tuple(experiments[run]))
        for dataset, experiments in study.by_dataset(present).items()
        for pair in _chosen_pairs(experiments)
        for run in pages([1.0] * len(experiments), tallest=_MOST_TOGETHER)
    ]
    if not blocks:
        return Drawing(None, notes=notes)
    with house_style():
        places = _Places.of(present)
        runs = pages([block.height(places.side) for block in blocks])
        figure, *others = (_blocks_figure(blocks[run], places) for run in runs)
    number = len({(block.dataset, block.pair) for block in blocks})
    what = (
        f"Linear and spherical paths between {number} pairs of real images through the latents of"
    )
    return Drawing(figure, f"{what} {names(present)}.", notes, others)


def scope(study: Study) -> str:
    """How many of the pairs are shown."""
    present, _ = study.with_latent(
        "interpolation_real", *(f"interpolation_{kind}" for kind in KINDS)
    )
    told = {
        (len(_chosen_pairs(group)), _num_pairs(group))
        for group in study.by_dataset(present).values()
    }
    numbers = " or ".join(f"{shown} of {number}" for shown, number in sorted(told))
    several = " of each dataset" * (len(study.by_dataset()) > 1)
    return f"{numbers} pairs{several} are shown, the first and the last among them." * bool(told)


def realism(study: Study) -> Table:
    """How far from real images the paths of each model lead at most, the mean over pairs."""
    present, notes = study.with_latent(*(f"interpolation_{kind}_distance" for kind in KINDS))
    if not present:
        return Table(None, notes)
    return Table(models_table(study, FARTHEST), notes)


def _farthest(kind: str) -> Callable[[Experiment], Score | None]:
    def value(experiment: Experiment) -> Score | None:
        distances = experiment.explored.get(f"interpolation_{kind}_distance")
        return None if distances is None else Score(float(distances.max(axis=1).mean()))

    return value


# In units of how far unseen real images typically lie from the training images.
FARTHEST = [Column(f"{kind.capitalize()} paths{NBSP}↓", _farthest(kind), -1) for kind in KINDS]


@dataclass(frozen=True)
class _Block:
    dataset: str
    pair: int
    experiments: tuple[Experiment, ...]

    @property
    def quantities(self) -> list[str]:
        """Which of the plots some model has."""
        return [
            name
            for name in ("distance", "classes")
            if any(
                f"interpolation_{kind}_{name}" in e.explored
                for e in self.experiments
                for kind in KINDS
            )
        ]

    @property
    def ends(self) -> tuple[str, str]:
        pairs = (self.experiments[0].exploration or {}).get("pairs") or []
        ends = pairs[self.pair] if self.pair < len(pairs) else {}
        return ends.get("from", ""), ends.get("to", "")

    def height(self, side: float) -> float:
        rows = len(self.experiments)
        return _TITLE + 1.08 * side * rows + (_PLOT + 0.08) * len(self.quantities) + _AFTER


@dataclass(frozen=True)
class _Places:
    """Where things stand in inches: rows start at `left`, an image is `side` wide, a path has `number` images."""

    left: float
    side: float
    number: int

    @classmethod
    def of(cls, experiments: Sequence[Experiment]) -> _Places:
        widest = max(text_width(experiment.name) for experiment in experiments)
        left = LABEL_GAP + max(_TITLES_WIDTH, min(widest, MOST_LABEL_WIDTH))
        number = experiments[0].explored["interpolation_linear"].shape[1]
        images = 2 * (1.08 * number + _BETWEEN) + _BETWEEN + 2
        return cls(left, min((WIDTH - left) / images, _LARGEST_SIDE), number)

    def path(self, kind: str) -> tuple[float, float]:
        """Left end and width of the images of a kind of path."""
        width = 1.08 * self.side * self.number
        first = self.left + (1 + _BETWEEN) * self.side
        return first + KINDS.index(kind) * (width + _BETWEEN * self.side), width - 0.08 * self.side


def _chosen_pairs(experiments: Sequence[Experiment]) -> list[int]:
    """The fewer, the more models there are; evenly spread, as those within classes come before those between them."""
    number = _num_pairs(experiments)
    shown = min(number, 3 if len(experiments) == 1 else 2)
    return sorted({round(place) for place in np.linspace(0, number - 1, shown)})


def _num_pairs(experiments: Sequence[Experiment]) -> int:
    return min(len(e.explored["interpolation_linear"]) for e in experiments)


def _blocks_figure(blocks: Sequence[_Block], places: _Places) -> Figure:
    figure = Figure(figsize=(WIDTH, sum(block.height(places.side) for block in blocks)))
    top = float(figure.get_size_inches()[1])
    for block in blocks:
        _draw_block(figure, block, places, top=top)
        top -= block.height(places.side)
    return figure


def _draw_block(figure: Figure, block: _Block, places: _Places, *, top: float) -> None:
    height = float(figure.get_size_inches()[1])
    origin, target = block.ends
    between = f"{origin} to {target}" if origin or target else f"pair {block.pair + 1}"
    dataset = f", {block.dataset}" if block.dataset else ""
    where: dict[str, Any] = {"va": "top", "fontsize": 9, "fontweight": "bold"}
    figure.text(0, (top - 0.05) / height, f"{between}{dataset}", **where)
    for kind in KINDS:
        left, width = places.path(kind)
        x, y = (left + width / 2) / WIDTH, (top - _TITLE + 0.04) / height
        figure.text(x, y, f"{kind} path", ha="center", va="bottom", color=MUTED)
    below = top - _TITLE
    for experiment in block.experiments:
        below -= 1.08 * places.side
        _draw_images(figure, experiment, block.pair, places, bottom=below)
    for quantity in block.quantities:
        below -= _PLOT + 0.08
        _draw_plots(figure, block, quantity, places, bottom=below)


def _draw_images(
    figure: Figure, experiment: Experiment, pair: int, places: _Places, *, bottom: float
) -> None:
    side = places.side
    real = experiment.explored["interpolation_real"][pair]
    last = sum(places.path(KINDS[-1])) + _BETWEEN * side
    for image, left in zip(real, (places.left, last), strict=True):
        draw(image_axes(figure, (left, bottom, side, side)), strip(image[None]))
    for kind in KINDS:
        left, width = places.path(kind)
        draw(
            image_axes(figure, (left, bottom, width, side)),
            strip(experiment.explored[f"interpolation_{kind}"][pair]),
        )
    size = fitting_size(experiment.name, places.left - LABEL_GAP)
    x, y = (places.left - 0.06) / WIDTH, (bottom + side / 2) / figure.get_size_inches()[1]
    where: dict[str, Any] = {"ha": "right", "va": "center", "fontweight": "bold", "fontsize": size}
    figure.text(x, y, experiment.name, color=color_of(experiment.index), **where)


def _draw_plots(
    figure: Figure, block: _Block, quantity: str, places: _Places, *, bottom: float
) -> None:
    """The same axis for both kinds of path, so that their heights can be compared."""
    height = float(figure.get_size_inches()[1])
    axes_of: dict[str, Axes] = {}
    for kind in KINDS:
        left, width = places.path(kind)
        rectangle = (left / WIDTH, bottom / height, width / WIDTH, (_PLOT - 0.06) / height)
        axes = figure.add_axes(rectangle, sharey=axes_of.get(KINDS[0]))
        axes_of[kind] = axes
        # A point stands under the middle of its image.
        axes.set_xlim(-0.5, places.number - 0.5)
        axes.set_xticks([])
        axes.tick_params(labelleft=kind == KINDS[0], labelsize=SMALL_SIZE)
        draw_lines = _distance_lines if quantity == "distance" else _class_lines
        draw_lines(axes, block, kind)
    title = "distance to\nnearest real" if quantity == "distance" else "probability\nof the class"
    y = (bottom + _PLOT / 2) / height
    first = places.path(KINDS[0])[0]
    figure.text(
        (first - 0.34) / WIDTH,
        y,
        title,
        ha="right",
        va="center",
        color=MUTED,
        fontsize=SMALL_SIZE,
        linespacing=1.1,
    )


def _distance_lines(axes: Axes, block: _Block, kind: str) -> None:
    """In the colors of the names beside the images."""
    values = [1.0]
    axes.axhline(1, color=MUTED, linewidth=1, linestyle=(0, (4, 3)))
    for experiment in block.experiments:
        distances = experiment.explored.get(f"interpolation_{kind}_distance")
        if distances is not None:
            line = [float(distance) for distance in distances[block.pair]]
            style: dict[str, Any] = {
                "color": color_of(experiment.index),
                "linestyle": dashes_of(experiment.index),
            }
            axes.plot(range(len(line)), line, linewidth=1.2, **style)
            values += line
    scale_y(axes, values)
    axes.yaxis.set_major_locator(MaxNLocator(3))


def _class_lines(axes: Axes, block: _Block, kind: str) -> None:
    """The class of the first image solid, that of the second dashed."""
    for experiment in block.experiments:
        shares = experiment.explored.get(f"interpolation_{kind}_classes")
        known = (experiment.exploration or {}).get("class_names") or []
        color = color_of(experiment.index)
        for name, dashes in dict(
            reversed(list(zip(block.ends, ("-", (0, (3, 1.5))), strict=True)))
        ).items():
            if shares is not None and name in known:
                line = [float(share) for share in shares[block.pair, :, known.index(name)]]
                axes.plot(range(len(line)), line, color=color, linewidth=1.2, linestyle=dashes)
    axes.set_ylim(-0.05, 1.05)
    axes.set_yticks([0, 0.5, 1], ["0", "0.5", "1"])
