"""The codes of test images: projected to two dimensions, and the variance of each dimension."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from latentbench.report.presentation import line_plots, page, style
from latentbench.report.presentation.style import CLASS_COLORS, MUTED, SMALL_SIZE, WIDTH, color_of
from latentbench.results import Experiment, Study, formatting
from latentbench.results.formatting import percent

_POINT = 5.0  # area of a marker in square points, for a single model
# Markers are larger, up to so many times, where there are fewer codes.
_MANY_CODES, _MAX_ENLARGED = 1_000, 4.0
_LEGEND_HEIGHT, _LEGEND_COLUMNS, _MOST_NAMED = 0.35, 7, 70  # inches of two rows, classes
_USAGE = {
    "variance_per_dimension": "variance of the code",
    "kl_per_dimension": "KL divergence (nats)",
}


def maps(study: Study) -> page.Drawing:
    """Return the codes of each model by PCA and by t-SNE, colored by class."""
    present, notes = study.with_latent(
        "projection_pca", "projection_tsne", "projection_labels", facts=["pca_variance"]
    )
    if not present:
        return page.Drawing(None, notes=notes)
    across = min(2, len(present))
    rows = math.ceil(len(present) / across)
    classes = next(filter(None, map(_class_names, present)), [])[:_MOST_NAMED]
    legend = _LEGEND_HEIGHT * math.ceil(len(classes) / (2 * _LEGEND_COLUMNS))
    height = (0.35 + WIDTH / (2 * across)) * rows + legend
    figure = Figure(figsize=(WIDTH, height), layout=ConstrainedLayoutEngine(w_pad=0.1))
    grid = figure.subplots(rows, 2 * across, squeeze=False).reshape(-1, 2)
    for experiment, (pca, tsne) in zip(present, grid, strict=False):
        size = style.fitting_size(experiment.name, 0.8 * WIDTH / (2 * across))
        pca.set_title(experiment.name, color=color_of(experiment.index), fontsize=size)
        first, second = (percent(share, 0) for share in experiment.latent["pca_variance"])
        _scatter(pca, experiment, "projection_pca", across)
        pca.set_xlabel(f"1st component ({first})", fontsize=SMALL_SIZE)
        pca.set_ylabel(f"2nd component ({second})", fontsize=SMALL_SIZE)
        _scatter(tsne, experiment, "projection_tsne", across)
        tsne.set_xlabel("t-SNE", fontsize=SMALL_SIZE)
    for axes in grid[len(present) :].ravel():
        axes.set_axis_off()
    if classes:
        _legend(figure, classes)
    description = "Two-dimensional maps of the codes of test images, by"
    return page.Drawing.of([figure], description, present, notes)


def _class_names(experiment: Experiment) -> list[str]:
    """Return the classes of the projected images; empty where they have none."""
    labels = experiment.latent_arrays["projection_labels"]
    has_labels = labels.size and labels.max() >= 0
    return list(experiment.latent.get("class_names") or []) if has_labels else []


def _scatter(axes: Axes, experiment: Experiment, array: str, across: int) -> None:
    x, y = experiment.latent_arrays[array].T
    colors: Any = color_of(experiment.index)
    if _class_names(experiment):
        labels = experiment.latent_arrays["projection_labels"]
        palette = np.array([*CLASS_COLORS, MUTED])
        colors = palette[np.where(labels >= 0, labels % len(CLASS_COLORS), -1)]
    size = _POINT * min(max(1.0, _MANY_CODES / len(x)), _MAX_ENLARGED) / across
    # As vectors, thousands of points would be most of the page.
    axes.scatter(x, y, c=colors, s=size, linewidths=0, alpha=0.75, rasterized=True)
    axes.set(xticks=[], yticks=[], box_aspect=1)
    axes.grid(False)
    axes.spines[:].set_visible(False)


def _legend(figure: Figure, classes: Sequence[str]) -> None:
    """Write the colors of the classes below all maps."""
    look: dict[str, Any] = {"marker": "o", "linestyle": "none", "markersize": 5}
    colors = itertools.cycle(CLASS_COLORS)
    marks = []
    for _, color in zip(classes, colors, strict=False):
        marks.append(Line2D([], [], color=color, **look))
    columns = math.ceil(len(classes) / math.ceil(len(classes) / _LEGEND_COLUMNS))
    place: dict[str, Any] = {"loc": "outside lower center", "ncols": columns, "frameon": False}
    gaps: dict[str, Any] = {"handletextpad": 0.1, "columnspacing": 1.2, "borderpad": 0}
    figure.legend(marks, classes, fontsize=SMALL_SIZE, **place, **gaps)


def noise(study: Study) -> str:
    """Return which models have noise as codes, as sentences."""
    names = [each.name for each in study if each.has_ode]
    if not names:
        return ""
    return (
        f" The codes of {formatting.join_markdown(names)} are noise with as many dimensions as an "
        "image. With the exact ODE of the data each has a variance of 1, for any image: "
        "which of them are used has no meaning."
    )


def usage(study: Study) -> page.Drawing:
    """Return the variance of each dimension of the codes, and its KL divergence for VAEs."""
    present, notes = study.with_latent("variance_per_dimension")
    if not present:
        return page.Drawing(None, notes=notes)
    owners = {}
    for name in _USAGE:
        models = [each for each in present if name in each.latent_arrays]
        if models:
            owners[name] = models
    layout = ConstrainedLayoutEngine(wspace=0.08)
    figure = Figure(figsize=(WIDTH, 1.2 * line_plots.ROW_HEIGHT), layout=layout)
    grid = figure.subplots(1, len(owners), squeeze=False)[0]
    for axes, (name, models) in zip(grid, owners.items(), strict=True):
        _usage_panel(axes, name, models)
        axes.set_title(_USAGE[name])
        axes.set_xlabel("dimensions, most used first")
    description = "How much each dimension of the codes is used, by"
    return page.Drawing.of([figure], description, present, notes)


def _usage_panel(axes: Axes, name: str, experiments: Sequence[Experiment]) -> None:
    ends, values = [], []
    for experiment in experiments:
        line = np.sort(experiment.latent_arrays[name].astype(float))[::-1]
        color = color_of(experiment.index)
        dashes = style.dashes_of(experiment.index)
        axes.plot(np.arange(1, len(line) + 1), line, color=color, linestyle=dashes)
        ends.append((experiment.name, color, float(len(line)), float(line[-1])))
        values += line.tolist()
    axes.set_xlim(left=1)
    axes.xaxis.set_major_locator(MaxNLocator(4, integer=True))
    line_plots.scale_y(axes, values)
    active = experiments[0].latent.get("active_variance")
    if name == "variance_per_dimension" and active is not None and min(values) < active:
        axes.axhline(active, color=MUTED, linewidth=1, linestyle=(0, (4, 3)))
        words: dict[str, Any] = {"color": MUTED, "fontsize": SMALL_SIZE}
        axes.annotate("used above", (1, active), (2, 2), textcoords="offset points", **words)
    line_plots.label_ends(axes, ends, size=SMALL_SIZE)


def active_units(study: Study) -> str:
    """Return how many dimensions each model uses, as a sentence."""
    present, _ = study.with_latent(
        "variance_per_dimension", facts=["active_units", "active_variance"]
    )
    if not present:
        return ""
    counts = []
    for each in present:
        total = len(each.latent_arrays["variance_per_dimension"])
        counts.append(f"{each.in_markdown} {each.latent['active_units']} of {total}")
    least = present[0].latent["active_variance"]
    return f"Dimensions whose variance exceeds {least:g}: {', '.join(counts)}."
