"""The loss of diffusion models by the noise in the image: over epochs, and over time."""

from __future__ import annotations

from typing import Any

import pandas as pd
from matplotlib.axes import Axes

from latentbench.report.presentation import line_plots, page, style
from latentbench.report.training.evolution import evenly_spaced
from latentbench.results import Experiment, Study

_MAX_EPOCHS = 4  # of the curves over time
_FAINTEST = 0.3  # opacity of the first of some curves of one color
_PIXELS = "pixels alone"


def curves(study: Study) -> page.Drawing:
    """Return two panels per diffusion model: its loss against the epoch and against time.

    The left one has a curve per interval of time and split, the right one a curve per epoch, and
    the least loss of a prediction from each pixel alone.
    """
    losses = study.first_trainings(study.interval_losses)
    names = list(losses["experiment"].unique())
    if not names:
        return page.Drawing(None)
    models = [study[name] for name in names]
    labels = ["epoch", "time t"]
    figures, grid = line_plots.rows_of_panels(
        len(models), line_plots.ROW_HEIGHT, labels, wspace=0.06
    )
    for experiment, (over_epochs, over_time) in zip(models, grid, strict=True):
        own = losses[losses["experiment"] == experiment.name]
        _draw_epochs(over_epochs, experiment, own)
        _draw_times(over_time, experiment, own)
    description = "Loss by interval of time, against the epoch and against time, of"
    return page.Drawing.of(figures, description, models, [])


def _draw_epochs(axes: Axes, experiment: Experiment, losses: pd.DataFrame) -> None:
    """Draw a curve per interval, of training images solid and of test images dashed."""
    color = style.color_of(experiment.index)
    line_plots.name_panel(axes, experiment.name, color, against="epoch")
    axes.set_ylabel("loss")
    ends = []
    intervals = list(losses.groupby(["start", "end"]))
    for ((start, end), rows), opacity in zip(intervals, _opacities(len(intervals)), strict=True):
        for split, dashes in zip(("train", "test"), style.DASHES, strict=False):
            line = rows[rows["split"] == split].set_index("epoch")["loss"]
            axes.plot(line, color=color, linestyle=dashes, alpha=opacity)
        ends.append((f"{start:g} to {end:g}", style.MUTED, line.index[-1], line.iloc[-1]))
    line_plots.scale_y(axes, losses["loss"].tolist())
    line_plots.label_ends(axes, ends, size=line_plots.NAMES_SIZE)


def _draw_times(axes: Axes, experiment: Experiment, losses: pd.DataFrame) -> None:
    """Draw the test loss over intervals after some epochs, and the loss of pixels alone."""
    color = style.color_of(experiment.index)
    axes.set(xlabel="time t", xlim=(0, 1))
    tested = losses[losses["split"] == "test"]
    ends: list[tuple[str, str, float, float]] = []
    epochs = evenly_spaced(sorted(tested["epoch"].unique()), _MAX_EPOCHS)
    for epoch, opacity in zip(epochs, _opacities(len(epochs)), strict=True):
        rows = tested[tested["epoch"] == epoch].sort_values("start")
        edges = [*rows["start"], rows["end"].iloc[-1]]
        axes.stairs(rows["loss"], edges, baseline=None, color=color, alpha=opacity, linewidth=1.6)
        ends.append((f"epoch {epoch:g}", style.MUTED, 1.0, rows["loss"].iloc[-1]))
    shown = tested["loss"].tolist()
    pixels = experiment.latent.get("denoising")
    if pixels:
        line: dict[str, Any] = {"color": style.MUTED, "linestyle": style.DASHES[2], "linewidth": 1}
        axes.plot(pixels["loss_times"], pixels["loss_of_pixels"], **line)
        shown += pixels["loss_of_pixels"]
        ends.append((_PIXELS, style.MUTED, 1.0, pixels["loss_of_pixels"][-1]))
    line_plots.scale_y(axes, shown)
    line_plots.label_ends(axes, ends, size=line_plots.NAMES_SIZE)


def _opacities(number: int) -> list[float]:
    """Return opacities that grow to 1."""
    step = (1 - _FAINTEST) / max(number - 1, 1)
    return [1 - step * (number - 1 - place) for place in range(number)]
