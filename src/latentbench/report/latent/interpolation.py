"""Paths between real images: the images along them, how realistic they are, and their class."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from latentbench.report.presentation import image_grids, line_plots, page, style
from latentbench.results import Experiment, Study, Table, formatting, latent_space, tables

_ARRAYS = ("interpolation_real", "interpolation_linear", "interpolation_spherical")
_DISTANCES = ("interpolation_linear_distance", "interpolation_spherical_distance")
_COLUMNS = {
    "mse": "MSE of ends",
    "ends": "Ends",
    "linear.farthest": "Linear: farthest",
    "linear.rise": "Linear: middle − ends",
    "spherical.farthest": "Spherical: farthest",
    "spherical.rise": "Spherical: middle − ends",
}

# In inches: above the images of a pair, a plot with its margin, below the pair, plot titles.
_TITLE, _PLOT, _MARGIN, _AFTER, _TITLES_WIDTH = 0.4, 0.86, 0.14, 0.2, 0.7
_PATH_GAP, _ROW_GAP = 0.4, 0.02  # in sides of an image; in inches
_PLOTS = {"distance": "distance to\nnearest real", "classes": "probability\nof the class"}
_MAX_TOGETHER = 12  # models below the same pair


def path_errors(study: Study) -> Table:
    """Return a row per model: errors of the ends of its paths and of the points between them."""
    _, notes = study.with_latent(*_DISTANCES)
    rows = []
    for dataset, runs in study.runs_by_dataset().items():
        for run in runs:
            errors = latent_space.path_errors(run)
            if not errors.empty:
                rows.append((dataset, run.in_markdown, errors))
    if not rows:
        return Table(None, notes)
    places = formatting.decimals(errors.loc["mse", "mean"] for _, _, errors in rows)
    cells = []
    for dataset, name, errors in rows:
        row = {"Dataset": formatting.escape_markdown(dataset), "Model": name}
        for column, title in _COLUMNS.items():
            row[title] = _mean_and_std(errors.loc[column], column, places)
        cells.append(row)
    table = pd.DataFrame(cells)
    if not study.has_several_datasets:
        table = table.drop(columns="Dataset")
    num_text = 1 + study.has_several_datasets
    return Table(tables.pipe_table(table, num_text=num_text), notes)


def _mean_and_std(errors: pd.Series, column: str, mse_places: int) -> str:
    """Return `1.23 ± 0.45`, or the mean alone of a single pair."""
    number = f"{{:.{mse_places}f}}" if column == "mse" else "{:.2f}"
    sign = number.replace(":", ":+") if column.endswith(".rise") else number
    text = sign.format(errors["mean"])
    if not math.isnan(errors["std"]):
        text += f" ± {number.format(errors['std'])}"
    return text.replace("-", "\N{MINUS SIGN}")


def interpolations(study: Study) -> page.Drawing:
    """Return both kinds of path for some pairs of real images, a row of images per model.

    Plots below show the distance to real images and the probability of both classes.
    """
    present, notes = study.with_latent(*_ARRAYS, *_DISTANCES, facts=["pairs"])
    if not present:
        return page.Drawing(None, notes=notes)
    names = max(style.text_width(each.name) for each in present)
    left = max(_TITLES_WIDTH, min(names, image_grids.MAX_LABEL_WIDTH)) + 0.12
    blocks = []
    for dataset, experiments in study.by_dataset(present).items():
        where = f", {dataset}" if study.has_several_datasets else ""
        for pair in _shown_pairs(experiments)[0]:
            for run in style.pages([1.0] * len(experiments), tallest=_MAX_TOGETHER):
                blocks.append(_Block(pair, experiments[run], where, left))
    figures = image_grids.stack(blocks, [block.height for block in blocks], _draw_block)
    description = "Linear and spherical paths between real images by"
    return page.Drawing.of(figures, description, present, notes)


def scope(study: Study) -> str:
    """Return how many of the pairs are shown, as a sentence."""
    present, _ = study.with_latent(*_ARRAYS, *_DISTANCES, facts=["pairs"])
    if not present:
        return ""
    numbers = set()
    for experiments in study.by_dataset(present).values():
        pairs, total = _shown_pairs(experiments)
        numbers.add(f"{len(pairs)} of {total}")
    where = " of each dataset" if study.has_several_datasets else ""
    shown = " or ".join(sorted(numbers))
    return f"{shown} pairs{where} are shown, the first and the last among them."


def _shown_pairs(experiments: Sequence[Experiment]) -> tuple[list[int], int]:
    """Return evenly spaced pairs, and how many there are.

    Pairs within a class come before those between classes.
    """
    total = min(len(each.latent["pairs"]) for each in experiments)
    shown = min(total, 3 if len(experiments) == 1 else 2)
    return np.unique(np.linspace(0, total - 1, shown).round().astype(int)).tolist(), total


@dataclass(frozen=True)
class _Block:
    """A pair of real images with models of one dataset; rows start `left` inches from the left."""

    pair: int
    experiments: Sequence[Experiment]
    where: str
    left: float

    @property
    def ends(self) -> tuple[str, str]:
        """The classes of the real images; empty where they have none."""
        pair = self.experiments[0].latent["pairs"][self.pair]
        return pair["from"], pair["to"]

    @cached_property
    def rows(self) -> list[image_grids.Row]:
        """The real images with both paths between them, by model."""
        rows = []
        for each in self.experiments:
            real, *paths = (each.latent_arrays[name][self.pair] for name in _ARRAYS)
            strips = map(image_grids.strip, (real[:1], *paths, real[1:]))
            joined = image_grids.join(list(strips), gap=_PATH_GAP * real.shape[2])
            rows.append(image_grids.Row(each.name, style.color_of(each.index), joined))
        return rows

    @property
    def plots(self) -> list[str]:
        """What is plotted below the images."""
        has_classes = "interpolation_linear_classes" in self.experiments[0].latent_arrays
        return list(_PLOTS) if has_classes else ["distance"]

    @property
    def height(self) -> float:
        """The height in inches."""
        images = len(self.rows) * (self.rows[0].height(self.left) + _ROW_GAP)
        return _TITLE + images + _PLOT * len(self.plots) + _AFTER

    def places(self) -> dict[str, tuple[float, float]]:
        """Return left end and width in inches of both kinds of path."""
        side = self.experiments[0].latent_arrays["interpolation_real"].shape[3]
        total = self.rows[0].strip.shape[1]
        scale = (style.WIDTH - self.left) / total
        gap = round(_PATH_GAP * side)
        width = (total - 2 * side - 3 * gap) / 2
        places = {}
        for index, kind in enumerate(latent_space.PATHS):
            start = side + gap + index * (width + gap)
            places[kind] = (self.left + scale * start, scale * width)
        return places


def _draw_block(figure: Figure, block: _Block, top: float) -> None:
    first, last = block.ends
    title = f"{first} to {last}" if first or last else f"pair {block.pair + 1}"
    small: dict[str, Any] = {"color": style.MUTED, "fontsize": style.SMALL_SIZE, "linespacing": 1.1}
    inches = figure.dpi_scale_trans
    heading = figure.text(0, top - 0.05, title + block.where, transform=inches, fontsize=9)
    heading.set(va="top", fontweight="bold")
    bottom = top - _TITLE
    for kind, (left, width) in block.places().items():
        label = figure.text(left + width / 2, bottom + 0.07, f"{kind} path", transform=inches)
        label.set(ha="center", color=style.MUTED)
    for row in block.rows:
        bottom -= row.height(block.left) + _ROW_GAP
        image_grids.draw_row(figure, row, block.left, bottom)
    for what in block.plots:
        bottom -= _PLOT
        shared: Axes | None = None
        for kind, (left, width) in block.places().items():
            place = np.array([left, bottom, width, _PLOT - _MARGIN])
            axes = figure.add_axes(place / np.tile(figure.get_size_inches(), 2), sharey=shared)
            axes.tick_params(labelleft=shared is None, labelsize=style.SMALL_SIZE)
            shared = shared or axes
            _plot(axes, block, kind, what)
        x, y = block.places()["linear"][0] - 0.34, bottom + (_PLOT - _MARGIN) / 2
        figure.text(x, y, _PLOTS[what], transform=inches, ha="right", va="center", **small)


def _plot(axes: Axes, block: _Block, kind: str, what: str) -> None:
    """Draw distances to real images, or the probabilities of both classes, along a path.

    The class of the last image is dashed.
    """
    values = [1.0]
    first, last = block.ends
    for experiment in block.experiments:
        measured = experiment.latent_arrays[f"interpolation_{kind}_{what}"][block.pair]
        axes.set_xlim(-0.5, len(measured) - 0.5)  # points stand below the middle of their images
        color = style.color_of(experiment.index)
        if what == "distance":
            dashes = style.dashes_of(experiment.index)
            axes.plot(measured, color=color, linestyle=dashes, linewidth=1.2)
            values += measured.tolist()
            continue
        known = experiment.latent["class_names"]
        looks: dict[str, Any] = {last: (0, (3, 1.5))} | {first: "-"}
        for name in filter(known.__contains__, looks):
            line = measured[:, known.index(name)]
            axes.plot(line, color=color, linestyle=looks[name], linewidth=1.2)
    axes.set_xticks([])
    if what == "distance":
        axes.axhline(1, color=style.MUTED, linewidth=1, linestyle=(0, (4, 3)))
        line_plots.scale_y(axes, values)
        axes.yaxis.set_major_locator(MaxNLocator(3))
    else:
        axes.set_ylim(-0.05, 1.05)
        axes.set_yticks([0, 0.5, 1], ["0", "0.5", "1"])
