"""Paths between real images: the images along them, how realistic they are, and their class."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from latentbench.report.presentation import image_grids, style
from latentbench.report.presentation.line_plots import scale_y
from latentbench.report.presentation.page import Drawing
from latentbench.report.presentation.style import MUTED, SMALL_SIZE, WIDTH, color_of
from latentbench.results.experiment import Experiment
from latentbench.results.files import Array
from latentbench.results.formatting import names_of
from latentbench.results.quantities import Quantity
from latentbench.results.study import Study
from latentbench.results.tables import Table, models_table

KINDS = ("linear", "spherical")
_DISTANCES = [f"interpolation_{kind}_distance" for kind in KINDS]
_ARRAYS = ["interpolation_real", *(f"interpolation_{kind}" for kind in KINDS), *_DISTANCES]

# In inches: above the images of a pair, a plot, below the pair, the least width of plot titles.
_TITLE, _PLOT, _AFTER, _TITLES_WIDTH = 0.4, 0.78, 0.2, 0.7
_LARGEST_SIDE = 0.5
_STEP, _BETWEEN = 1.08, 0.4  # in sides of an image: to the next image, between ends and paths
_PLOT_TITLES = {"distance": "distance to\nnearest real", "classes": "probability\nof the class"}
_MOST_TOGETHER = 12  # models below the same pair

Places = Sequence[tuple[float, float]]


def path_distance(experiment: Experiment, kind: str) -> float | None:
    """Return the largest distance to the nearest real image along a path, the mean over pairs.

    The unit is the distance of a typical real test image to the nearest training image.
    """
    distances = experiment.latent_arrays.get(f"interpolation_{kind}_distance")
    return None if distances is None else float(distances.max(axis=1).mean())


PATH_DISTANCES = {
    "linear": Quantity(
        "linear_path", "Linear paths", -1, compute=partial(path_distance, kind="linear")
    ),
    "spherical": Quantity(
        "spherical_path", "Spherical paths", -1, compute=partial(path_distance, kind="spherical")
    ),
}


def path_distances(study: Study) -> Table:
    """Return how far the paths of each model lead from real images at most."""
    present, notes = study.with_latent(*_DISTANCES)
    if not present:
        return Table(None, notes)
    return Table(models_table(study, list(PATH_DISTANCES.values())), notes)


@dataclass(frozen=True)
class _Block:
    """A pair of real images, with models of one dataset."""

    pair: int
    experiments: Sequence[Experiment]

    def along(self, kind: str, what: str) -> list[tuple[Experiment, Array]]:
        """Return the models with what was measured along their path: `distance` or `classes`."""
        name = f"interpolation_{kind}_{what}"
        found = [each for each in self.experiments if name in each.latent_arrays]
        return [(each, each.latent_arrays[name][self.pair]) for each in found]

    @property
    def plots(self) -> list[str]:
        """What is plotted below the images."""
        return [what for what in _PLOT_TITLES if self.along("linear", what)]

    @property
    def ends(self) -> tuple[str, str]:
        """The classes of the real images; empty where they have none."""
        pair = self.experiments[0].latent["pairs"][self.pair]
        return pair["from"], pair["to"]

    def height(self, side: float) -> float:
        """Return inches for images of so many inches."""
        images = _STEP * side * len(self.experiments)
        return _TITLE + images + (_PLOT + 0.08) * len(self.plots) + _AFTER


@style.house_style()
def interpolations(study: Study) -> Drawing:
    """Return both kinds of path for some pairs of real images, a row of images per model.

    Plots below show the distance to real images and the probability of both classes.
    """
    present, notes = study.with_latent(*_ARRAYS, facts=["pairs"])
    if not present:
        return Drawing(None, notes=notes)
    blocks = []
    for experiments in study.by_dataset(present).values():
        for pair in _chosen_pairs(experiments):
            for run in style.pages([1.0] * len(experiments), tallest=_MOST_TOGETHER):
                blocks.append(_Block(pair, experiments[run]))
    places = _places(present)
    side = places[0][1]
    figures = []
    for run in style.pages([block.height(side) for block in blocks]):
        top = sum(block.height(side) for block in blocks[run])
        figures.append(Figure(figsize=(WIDTH, top)))
        for block in blocks[run]:
            _draw_block(figures[-1], block, places, top, named=study.has_several_datasets)
            top -= block.height(side)
    description = f"Linear and spherical paths between real images by {names_of(present)}."
    return Drawing(figures[0], description, notes, figures[1:])


def scope(study: Study) -> str:
    """Return how many of the pairs are shown, as a sentence."""
    present, _ = study.with_latent(*_ARRAYS, facts=["pairs"])
    groups = study.by_dataset(present).values()
    shown = sorted({(len(_chosen_pairs(group)), _num_pairs(group)) for group in groups})
    if not shown:
        return ""
    numbers = " or ".join(f"{number} of {total}" for number, total in shown)
    where = " of each dataset" if study.has_several_datasets else ""
    return f"{numbers} pairs{where} are shown, the first and the last among them."


def _num_pairs(experiments: Sequence[Experiment]) -> int:
    return min(len(each.latent["pairs"]) for each in experiments)


def _chosen_pairs(experiments: Sequence[Experiment]) -> list[int]:
    """Return evenly spaced pairs: those within a class stand before those between classes."""
    number = _num_pairs(experiments)
    shown = min(number, 3 if len(experiments) == 1 else 2)
    return sorted({round(place) for place in np.linspace(0, number - 1, shown)})


def _places(experiments: Sequence[Experiment]) -> Places:
    """Return left end and width in inches of the first image, both paths and the last image."""
    names = max(style.text_width(experiment.name) for experiment in experiments)
    left = max(_TITLES_WIDTH, min(names, image_grids.MOST_LABEL_WIDTH)) + image_grids.LABEL_GAP
    number = experiments[0].latent_arrays["interpolation_linear"].shape[1]
    path = _STEP * number - 0.08
    side = min((WIDTH - left) / (2 + 2 * path + 3 * _BETWEEN), _LARGEST_SIDE)
    places = []
    for width in (side, path * side, path * side, side):
        places.append((left, width))
        left += width + _BETWEEN * side
    return places


def _draw_block(figure: Figure, block: _Block, places: Places, top: float, *, named: bool) -> None:
    """Draw a pair of real images below `top`; `named` is whether its title names the dataset."""
    first, last = block.ends
    title = f"{first} to {last}" if first or last else f"pair {block.pair + 1}"
    if named:
        title += f", {block.experiments[0].dataset}"
    _write(figure, 0, top - 0.05, title, va="top", fontsize=9, fontweight="bold")
    below = top - _TITLE
    for kind, (left, width) in zip(KINDS, places[1:], strict=False):
        _write(figure, left + width / 2, below + 0.04, f"{kind} path", ha="center", color=MUTED)
    for experiment in block.experiments:
        below -= _STEP * places[0][1]
        _draw_row(figure, experiment, block.pair, places, below)
    for what in block.plots:
        below -= _PLOT + 0.08
        _draw_plots(figure, block, what, places, below)


def _write(figure: Figure, x: float, y: float, text: str, **look: Any) -> None:
    """Write text at a place in inches."""
    figure.text(x / WIDTH, y / figure.get_size_inches()[1], text, **look)


def _draw_row(
    figure: Figure, experiment: Experiment, pair: int, places: Places, bottom: float
) -> None:
    """Draw the name of a model, the real images and both paths between them."""
    real, *paths = [experiment.latent_arrays[name][pair] for name in _ARRAYS[:3]]
    left, side = places[0]
    for (start, width), images in zip(places, (real[:1], *paths, real[1:]), strict=True):
        image_grids.draw(figure, image_grids.strip(images), (start, bottom, width, side))
    size = style.fitting_size(experiment.name, left - image_grids.LABEL_GAP)
    look: dict[str, Any] = {"fontsize": size, "fontweight": "bold", "ha": "right", "va": "center"}
    color = color_of(experiment.index)
    _write(figure, left - 0.06, bottom + side / 2, experiment.name, color=color, **look)


def _draw_plots(figure: Figure, block: _Block, what: str, places: Places, bottom: float) -> None:
    """Draw what was measured along both paths, with the same vertical axis."""
    height = float(figure.get_size_inches()[1])
    shared: Axes | None = None
    for kind, (left, width) in zip(KINDS, places[1:], strict=False):
        place = (left / WIDTH, bottom / height, width / WIDTH, (_PLOT - 0.06) / height)
        axes = figure.add_axes(place, sharey=shared)
        # A point stands below the middle of its image.
        axes.set_xlim(-0.5, round((width / places[0][1] + 0.08) / _STEP) - 0.5)
        axes.set_xticks([])
        axes.tick_params(labelleft=shared is None, labelsize=SMALL_SIZE)
        shared = shared or axes
        if what == "distance":
            _draw_distances(axes, block, kind)
        else:
            _draw_probabilities(axes, block, kind)
    look: dict[str, Any] = {"ha": "right", "va": "center", "color": MUTED, "linespacing": 1.1}
    x, y = places[1][0] - 0.34, bottom + _PLOT / 2
    _write(figure, x, y, _PLOT_TITLES[what], fontsize=SMALL_SIZE, **look)


def _draw_distances(axes: Axes, block: _Block, kind: str) -> None:
    """Draw the distances to real images in the colors of the names."""
    values = [1.0]
    axes.axhline(1, color=MUTED, linewidth=1, linestyle=(0, (4, 3)))
    for experiment, distances in block.along(kind, "distance"):
        dashes = style.dashes_of(experiment.index)
        axes.plot(distances, color=color_of(experiment.index), linestyle=dashes, linewidth=1.2)
        values += distances.tolist()
    scale_y(axes, values)
    axes.yaxis.set_major_locator(MaxNLocator(3))


def _draw_probabilities(axes: Axes, block: _Block, kind: str) -> None:
    """Draw the probability of the first image's class solid, of the last one's dashed."""
    first, last = block.ends
    for experiment, probabilities in block.along(kind, "classes"):
        known = experiment.latent["class_names"]
        look: dict[str, Any] = {"color": color_of(experiment.index), "linewidth": 1.2}
        dashes: dict[str, Any] = {last: (0, (3, 1.5))} | {first: "-"}
        for name, linestyle in dashes.items():
            if name in known:
                axes.plot(probabilities[:, known.index(name)], linestyle=linestyle, **look)
    axes.set_ylim(-0.05, 1.05)
    axes.set_yticks([0, 0.5, 1], ["0", "0.5", "1"])
