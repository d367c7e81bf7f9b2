"""How well real images are reconstructed: on both splits, the best and the worst, and how long an inversion takes."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from latentbench.report.latent.sample_grids import names, rows_by_dataset
from latentbench.report.presentation.formatting import NBSP, decimals
from latentbench.report.presentation.image_grids import Panel, panels_figures
from latentbench.report.presentation.line_plots import NAMES_SIZE, label_ends, row_height, scale_y
from latentbench.report.presentation.page import Drawing, Table
from latentbench.report.presentation.style import WIDTH, color_of, dashes_of, house_style, pages
from latentbench.report.results.tables import (
    Column,
    models_table,
    plain,
    reconstructed,
    three_decimals,
)
from latentbench.results.files import Array
from latentbench.results.study import Experiment, Study

# Images of either kind, by how many panels stand beside one another.
_EXTREMES = {1: 6, 2: 4}
_SPLITS = {"train": "training", "test": "test"}


def reconstruction_errors(study: Study) -> Table:
    """MSE, PSNR and SSIM on training and on test images, a row per model."""
    _, notes = study.with_latent()
    if not any(
        experiment.reconstruction(split) for experiment in study.experiments for split in _SPLITS
    ):
        return Table(None, notes)
    columns = [
        Column(f"{title}, {name}", reconstructed(key, split), better, written)
        for title, key, better, written in (
            (f"MSE{NBSP}↓", "mse", -1, plain),
            (f"PSNR{NBSP}↑ (dB)", "psnr", 1, lambda value, _: f"{value:.1f}"),
            (f"SSIM{NBSP}↑", "ssim", 1, three_decimals),
        )
        for split, name in _SPLITS.items()
    ]
    images = Column("Test images", reconstructed("num_images"), 0, lambda value, _: f"{value:,.0f}")
    return Table(models_table(study, [images, *columns]), notes)


def best_and_worst(study: Study) -> Drawing:
    """The test images with the smallest and with the largest error, over what the model makes of them."""
    present, notes = study.with_latent(
        *(
            f"{which}_{what}"
            for which in ("best", "worst")
            for what in ("real", "decoded", "errors")
        )
    )
    # A single image is neither.
    present = [experiment for experiment in present if len(experiment.explored["best_errors"])]
    if not present:
        return Drawing(None, notes=notes)
    across = 1 if len(present) <= 2 else 2
    groups = rows_by_dataset(study, present)
    panels = [
        [_extremes(experiment, _EXTREMES[across]) for experiment in group] for group in groups
    ]
    with house_style():
        figure, *others = panels_figures(panels, across=across)
    return Drawing(
        figure, f"The best and the worst reconstructions by {names(present)}.", notes, others
    )


def inversion_curves(study: Study) -> Drawing:
    """The error of the inversion against its steps: the median over images, and the middle half of them."""
    present, notes = study.with_latent("inversion_error", facts=["inversion_steps"])
    if not present:
        return Drawing(None, notes=notes)
    groups = study.by_dataset(present)
    columns = min(2, len(groups))
    height = 1.2 * row_height(max(map(len, groups.values())))
    drawn = []
    with house_style():
        for run in pages([height] * math.ceil(len(groups) / columns)):
            shown = list(groups.items())[run.start * columns : run.stop * columns]
            rows = run.stop - run.start
            figure = Figure(figsize=(WIDTH, rows * height), layout="constrained")
            panels = figure.subplots(rows, columns, squeeze=False).ravel()
            for (dataset, experiments), axes in zip(shown, panels, strict=False):
                _inversion_panel(axes, experiments)
                axes.set_title(dataset * (len(study.by_dataset()) > 1))
            for axes in panels[len(shown) :]:
                axes.set_axis_off()
            drawn.append(figure)
    return Drawing(
        drawn[0],
        f"Error of the inversion against its steps, by {names(present)}.",
        notes,
        drawn[1:],
    )


def _inversion_panel(axes: Axes, experiments: Sequence[Experiment]) -> None:
    ends, values = [], []
    for experiment in experiments:
        steps = [float(step) for step in (experiment.exploration or {})["inversion_steps"]]
        low, middle, high = np.quantile(
            experiment.explored["inversion_error"], [0.25, 0.5, 0.75], axis=0
        )
        color = color_of(experiment.index)
        axes.fill_between(steps, low, high, color=color, alpha=0.15, linewidth=0)
        axes.plot(steps, middle, color=color, linestyle=dashes_of(experiment.index))
        ends.append((experiment.name, color, steps[-1], float(middle[-1])))
        values += [*low.tolist(), *high.tolist()]
    axes.set_xlim(0, max(end[2] for end in ends))
    axes.set_xlabel("steps")
    axes.set_ylabel("MSE")
    scale_y(axes, values)
    label_ends(axes, ends, size=NAMES_SIZE)


def _extremes(experiment: Experiment, number: int) -> Panel:
    """Best on the left, worst on the right, their errors over them."""
    arrays = experiment.explored
    number = min(number, *(len(arrays[f"{which}_errors"]) for which in ("best", "worst")))
    images = [
        np.concatenate([arrays[f"{which}_{what}"][:number] for which in ("best", "worst")])
        for what in ("real", "decoded")
    ]
    written = [
        text for which in ("best", "worst") for text in _written(arrays[f"{which}_errors"][:number])
    ]
    given = experiment.num_reconstructed("test")
    title = experiment.name + (f" (of {given:,} images)" if given else "")
    return Panel(
        title, color_of(experiment.index), np.stack(images), ("real", "model"), written, number
    )


def _written(errors: Array) -> list[str]:
    """In thousandths, the smallest with two significant digits: as much as fits over an image."""
    thousandths = [1000 * float(error) for error in errors]
    places = max(decimals(thousandths) - 1, 0)
    return [f"{error:.{places}f}" for error in thousandths]
