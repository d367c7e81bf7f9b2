"""Curves of losses, gradients and errors in the course of training, a panel per model."""

from __future__ import annotations

import re
from collections.abc import Callable

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from latentbench.artifacts.paths import ITERATIONS
from latentbench.report.presentation import line_plots, page, style
from latentbench.results import Experiment, Study, formatting

_MAX_POINTS = 1_000  # of a curve; of more points, the means of neighbors are drawn
_WINDOW = 0.05  # of the points of a curve: the window of the running mean

# Columns of history.csv and iterations.csv that are not terms of a loss.
_NO_LOSS = (
    r"^(train|test|accuracy|augment)_|^learning_rate/|gradient$|"
    r"^(images|seconds|images_per_second|peak_memory_mb|mse|bits_per_dimension)$|"
    r"^(step|diversity|active_units|warnings)$"
)
# What is measured on both splits, by column; a model shows the first that it has.
_ON_BOTH_SPLITS = {
    "accuracy_real": "accuracy",
    "wasserstein": "Wasserstein",
    "bits_per_dimension": "bits per dimension",
    "mse": "MSE",
    "loss": "loss",
}


# Lines of an experiment, a column each; the name of the columns stands at the vertical axis.
Panel = tuple[Experiment, pd.DataFrame]
Select = Callable[[pd.DataFrame], pd.DataFrame]


def loss_curves(study: Study) -> page.Drawing:
    """Return every term of each model's loss against the epoch."""
    return _history_curves(study, "Loss terms", _loss_terms)


def gradient_curves(study: Study) -> page.Drawing:
    """Return the norm of each network's gradient against the epoch."""
    return _history_curves(study, "Gradient norms", _gradient_norms)


def split_curves(study: Study) -> page.Drawing:
    """Return one quantity on training and on test images against the epoch."""
    return _history_curves(study, "Quantities on both splits", _on_both_splits)


def augmentation_curves(study: Study) -> page.Drawing:
    """Return the adaptive probability of augmentation against the epoch, of models with one."""
    return _history_curves(study, "The probability of augmentation", _augment_probability)


def iteration_curves(study: Study) -> page.Drawing:
    """Return every term of each model's loss against the step, with its running mean."""
    panels = []
    for experiment, lines in _panels(study, study.iterations, "step", _loss_terms):
        if len(lines) > 1:
            panels.append((experiment, thin(lines, _MAX_POINTS)))
    drawn = {experiment.name for experiment, _ in panels}
    what = f"second row in {ITERATIONS} (see `training.log_every`)"
    _, notes = study.with_files(what, "train", lambda experiment: experiment.name in drawn)
    return _draw(panels, "Loss terms", notes, smooth=True)


def thin(lines: pd.DataFrame, most: int) -> pd.DataFrame:
    """Return at most so many rows: means of equally many neighbors, without NaN."""
    rows = lines.reset_index()
    places = np.arange(len(rows)) // -(-len(rows) // most)
    return rows.groupby(places).mean().set_index(lines.index.name)


def _history_curves(study: Study, what: str, select: Select) -> page.Drawing:
    _, notes = study.with_rows(study.history, "history.csv", "train")
    history = study.first_trainings(study.history)
    return _draw(_panels(study, history, "epoch", select), what, notes)


def _panels(study: Study, frame: pd.DataFrame, index: str, select: Select) -> list[Panel]:
    """Return the lines that `select` finds for each experiment of a frame.

    Columns of generators stand last, so that their lines look alike in all panels.
    """
    panels = []
    for name, rows in frame.groupby("experiment", sort=False):
        own = rows.drop(columns=["experiment", "training", "seed"], errors="ignore")
        own = own.dropna(axis="columns", how="all").set_index(index)
        own = own[sorted(own, key=lambda column: column.startswith("generator"))]
        lines = select(own)
        if not lines.empty:
            panels.append((study[name], lines))
    return panels


def _loss_terms(rows: pd.DataFrame) -> pd.DataFrame:
    terms = [column for column in rows if not re.search(_NO_LOSS, column)]
    return rows[terms].rename(columns=formatting.term_label)


def _gradient_norms(rows: pd.DataFrame) -> pd.DataFrame:
    names = {"gradient": "all weights"}
    norms = rows.filter(regex="gradient$").rename(columns=names)
    return norms.rename(columns=lambda column: column.removesuffix("_gradient"))


def _augment_probability(rows: pd.DataFrame) -> pd.DataFrame:
    lines = rows.filter(["augment_probability"])
    return lines.rename(columns={"augment_probability": "each operation"})


def _on_both_splits(rows: pd.DataFrame) -> pd.DataFrame:
    """Return what is measured on both splits; the name of the columns is what it is."""
    for column, label in _ON_BOTH_SPLITS.items():
        if f"test_{column}" in rows:
            names = {f"train_{column}": "training", f"test_{column}": "test"}
            if column == "accuracy_real":
                names["test_accuracy_fake"] = "generated"
            lines = rows.filter(names).rename(columns=names).rename_axis(columns=label)
            # Networks see pixels in [-1, 1]; the report has pixels in [0, 1].
            return lines * 0.25 if column == "mse" else lines
    return pd.DataFrame()


def _draw(
    panels: list[Panel], what: str, notes: list[str], *, smooth: bool = False
) -> page.Drawing:
    if not panels:
        return page.Drawing(None, notes=notes)
    figures, grid = line_plots.panels_of_curves(len(panels))
    models = []
    for (experiment, lines), axes in zip(panels, grid, strict=True):
        _draw_panel(axes, experiment, lines, smooth=smooth)
        models.append(experiment)
    against = panels[0][1].index.name
    return page.Drawing.of(figures, f"{what} against {against}, of", models, notes)


def _draw_panel(axes: Axes, experiment: Experiment, lines: pd.DataFrame, *, smooth: bool) -> None:
    """Draw the lines; where they are smoothed, their running means over the faint originals."""
    color, label = style.color_of(experiment.index), lines.columns.name
    window = 2 * round(_WINDOW * len(lines) / 2) + 1
    ends = []
    for (name, exact), dashes in zip(lines.items(), style.DASHES * 3, strict=False):
        line, look = exact, {"color": color, "linestyle": dashes, "clip_on": label != "accuracy"}
        if smooth:
            axes.plot(exact, color=color, alpha=0.3, linewidth=0.6)
            line = exact.rolling(window, center=True, min_periods=1).mean()
            look["linewidth"] = 1.2
        axes.plot(line, **look)
        finite = line[np.isfinite(line)]
        if len(finite):
            ends.append((str(name), style.MUTED, finite.index[-1], finite.iloc[-1]))
    line_plots.name_panel(axes, experiment.name, color, against=lines.index.name)
    axes.set_ylabel(label or "")
    if smooth:
        axes.set_xlim(left=0)
    line_plots.scale_y(axes, lines.to_numpy().ravel().tolist())
    if label == "accuracy":
        low, high = axes.get_ylim()
        axes.set_ylim(max(low, 0.0), min(high, 1.0))
    line_plots.label_ends(axes, ends, size=line_plots.NAMES_SIZE)
