"""The codes of the test images as a whole: drawn in two dimensions, and how much of each dimension they use."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from latentbench.report.latent.sample_grids import names
from latentbench.report.presentation.formatting import NBSP, percent
from latentbench.report.presentation.line_plots import ROW_HEIGHT, label_ends, scale_y
from latentbench.report.presentation.page import Drawing
from latentbench.report.presentation.style import (
    CLASS_COLORS,
    MUTED,
    SMALL_SIZE,
    WIDTH,
    color_of,
    dashes_of,
    fitting_size,
    house_style,
)
from latentbench.report.results.tables import Column
from latentbench.results.study import Experiment, Score, Study

_MAPS = ("pca", "tsne")
_POINT = 5.0  # square points of a code's marker, of one model alone
# Markers of fewer codes than so many are larger, up to so many times, to be seen as well.
_MANY_CODES, _MOST_ENLARGED = 1_000, 4.0


def maps(study: Study) -> Drawing:
    """The codes of each model by PCA and by t-SNE, colored by class."""
    present, notes = study.with_latent("projection_pca", "projection_tsne", "projection_labels")
    if not present:
        return Drawing(None, notes=notes)
    across = min(2, len(present))  # models, of two maps each
    rows = math.ceil(len(present) / across)
    legend = 0.35 * any(map(_class_names, present))
    with house_style():
        height = (0.35 + WIDTH / (2 * across)) * rows
        layout = ConstrainedLayoutEngine(
            w_pad=0.1, rect=(0, legend / (legend + height), 1, height / (legend + height))
        )
        figure = Figure(figsize=(WIDTH, height + legend), layout=layout)
        grid = figure.subplots(rows, 2 * across, squeeze=False).reshape(-1, 2)
        for experiment, pair in zip(present, grid, strict=False):
            for kind, axes in zip(_MAPS, pair, strict=True):
                _map(axes, experiment, kind, across=across)
        for axes in grid[len(present) :].ravel():
            axes.set_axis_off()
        _legend(figure, present)
    return Drawing(
        figure, f"Two-dimensional maps of the codes of test images, by {names(present)}.", notes
    )


def usage(study: Study) -> Drawing:
    """The variance of each dimension of the codes, in falling order, and where there is one its share of the KL."""
    present, notes = study.with_latent("variance_per_dimension")
    panels = [
        (title, name, [e for e in present if name in e.explored])
        for title, name in (
            ("variance of the code", "variance_per_dimension"),
            ("KL divergence (nats)", "kl_per_dimension"),
        )
    ]
    panels = [panel for panel in panels if panel[2]]
    if not panels:
        return Drawing(None, notes=notes)
    with house_style():
        layout = ConstrainedLayoutEngine(wspace=0.08)
        figure = Figure(figsize=(WIDTH, 1.2 * ROW_HEIGHT), layout=layout)
        for axes, (title, name, experiments) in zip(
            figure.subplots(1, len(panels), squeeze=False)[0], panels, strict=True
        ):
            _usage_panel(axes, name, experiments)
            axes.set_title(title)
            axes.set_xlabel("dimensions, most used first")
    return Drawing(
        figure, f"How much each dimension of the codes is used, by {names(present)}.", notes
    )


def has_divergence(study: Study) -> bool:
    """Whether some model has a divergence of each dimension from the prior."""
    return any("kl_per_dimension" in experiment.explored for experiment in study.experiments)


def active_units(study: Study) -> str:
    """How many dimensions each model uses, in a sentence."""
    present, _ = study.with_latent(
        "variance_per_dimension", facts=["active_units", "active_variance"]
    )
    counts = [
        f"{e.name} {(e.exploration or {})['active_units']} of {len(e.explored['variance_per_dimension'])}"
        for e in present
    ]
    if not counts:
        return ""
    least = (present[0].exploration or {})["active_variance"]
    return f"Dimensions whose variance exceeds {least:g}: {', '.join(counts)}."


def _share_in_use(experiment: Experiment) -> Score | None:
    units = (experiment.exploration or {}).get("active_units")
    variance = experiment.explored.get("variance_per_dimension")
    return None if units is None or variance is None else Score(units / len(variance))


IN_USE = Column("Dimensions in use", _share_in_use, 1, lambda share, _: percent(share, 0))


def _class_names(experiment: Experiment) -> list[str]:
    """Of the labels of its map; nothing where they are of no class."""
    known = (experiment.exploration or {}).get("class_names") or []
    labels = experiment.explored["projection_labels"]
    return list(known) if labels.size and labels.max() >= 0 else []


def _map(axes: Axes, experiment: Experiment, kind: str, *, across: int) -> None:
    places, labels = (
        experiment.explored[f"projection_{kind}"],
        experiment.explored["projection_labels"],
    )
    known = bool(_class_names(experiment))
    inches = 0.8 * WIDTH / (2 * across)
    # Points are pixels: thousands of them as vectors would be most of the page.
    shown = [CLASS_COLORS[label % len(CLASS_COLORS)] if label >= 0 else MUTED for label in labels]
    colors = shown if known else color_of(experiment.index)
    size = _POINT * min(max(1.0, _MANY_CODES / len(places)), _MOST_ENLARGED) / across
    axes.scatter(
        places[:, 0], places[:, 1], c=colors, s=size, linewidths=0, alpha=0.75, rasterized=True
    )
    axes.set_xticks([])
    axes.set_yticks([])
    axes.grid(False)
    axes.spines[:].set_visible(False)
    axes.set_box_aspect(1)
    if kind == "pca":
        shares = (experiment.exploration or {}).get("pca_variance") or []
        words = [
            f"{place} component ({100 * share:.0f}{NBSP}%)"
            for place, share in zip(("1st", "2nd"), shares, strict=False)
        ]
        for axis, text in zip((axes.xaxis, axes.yaxis), words, strict=False):
            axis.set_label_text(text, fontsize=SMALL_SIZE)
        axes.set_title(
            experiment.name,
            color=color_of(experiment.index),
            fontsize=fitting_size(experiment.name, inches),
        )
    else:
        axes.set_xlabel("t-SNE", fontsize=SMALL_SIZE)


def _legend(figure: Figure, present: Sequence[Experiment]) -> None:
    """The colors of the classes, under all maps."""
    known = next((each for experiment in present if (each := _class_names(experiment))), [])
    if not known:
        return
    marks = [
        Line2D(
            [],
            [],
            marker="o",
            linestyle="none",
            markersize=5,
            color=CLASS_COLORS[label % len(CLASS_COLORS)],
        )
        for label in range(len(known))
    ]
    where: dict[str, Any] = {
        "loc": "lower center",
        "bbox_to_anchor": (0.5, 0.0),
        "frameon": False,
        "fontsize": SMALL_SIZE,
    }
    columns = math.ceil(len(known) / math.ceil(len(known) / 7))
    figure.legend(
        marks, known, ncols=columns, handletextpad=0.1, columnspacing=1.2, borderpad=0, **where
    )


def _usage_panel(axes: Axes, name: str, experiments: Sequence[Experiment]) -> None:
    ends, values = [], []
    for experiment in experiments:
        line = np.sort(experiment.explored[name].astype(float))[::-1]
        style: dict[str, Any] = {
            "color": color_of(experiment.index),
            "linestyle": dashes_of(experiment.index),
        }
        axes.plot(np.arange(1, len(line) + 1), line, **style)
        ends.append(
            (experiment.name, color_of(experiment.index), float(len(line)), float(line[-1]))
        )
        values += line.tolist()
    axes.set_xlim(left=1)
    axes.xaxis.set_major_locator(MaxNLocator(4, integer=True))
    scale_y(axes, values)
    active = (experiments[0].exploration or {}).get("active_variance")
    if name == "variance_per_dimension" and active is not None and min(values) < active:
        axes.axhline(active, color=MUTED, linewidth=1, linestyle=(0, (4, 3)))
        axes.annotate(
            "used above",
            (1, active),
            (2, 2),
            textcoords="offset points",
            color=MUTED,
            fontsize=SMALL_SIZE,
        )
    label_ends(axes, ends, size=SMALL_SIZE)
