"""How models became what they are: samples, reconstructions and losses in the course of training."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from latentbench.artifacts.paths import (
    EVOLUTION,
    GRID_GAP,
    ITERATIONS,
    RECONSTRUCTIONS,
    samples_path,
)
from latentbench.config.models import has_encoder
from latentbench.errors import ArtifactError
from latentbench.report.latent.sample_grids import names
from latentbench.report.presentation.formatting import join_words, term_label
from latentbench.report.presentation.image_grids import (
    APART,
    TITLE_HEIGHT,
    Images,
    Panel,
    draw,
    image_axes,
    panels_figures,
    tile,
)
from latentbench.report.presentation.line_plots import (
    NAMES_SIZE,
    label_ends,
    name_panel,
    panels_of_curves,
    scale_y,
)
from latentbench.report.presentation.page import Animation, Drawing
from latentbench.report.presentation.style import (
    DASHES,
    MUTED,
    SMALL_SIZE,
    TALLEST,
    WIDTH,
    color_of,
    house_style,
    pages,
)
from latentbench.results.files import read_numbers, read_picture
from latentbench.results.study import Experiment, Study, loss_terms

_MOST_CHECKPOINTS = 5
_FEWEST_PLACES = 3  # beside one another: fewer checkpoints do not get larger
_MOST_COLUMNS, _MOST_KINDS = 8, 10  # of a checkpoint's samples, without labels and with
_ROWS = {3: 8, 8: 4}  # of samples, of up to so many models; of more:
_FEWEST_ROWS = 2
_LINE = 0.2  # inches, of the words under a picture
_MOST_EPOCHS = 8
_MOST_POINTS = 1_000  # of a curve; of more, neighbors are drawn as their mean
_WINDOW = 0.05  # of all points, over which the running mean goes

Values = np.ndarray[Any, np.dtype[np.float64]]
Iterations = Sequence[Mapping[str, float]]
T = TypeVar("T")


def samples_by_epoch(study: Study) -> Drawing:
    """The samples of the same latents at the checkpoints, a row per model."""
    number = next(
        (rows for most, rows in _ROWS.items() if len(study.experiments) <= most), _FEWEST_ROWS
    )

    def read(experiment: Experiment) -> dict[int, Images]:
        return _samples(experiment, number)

    rows, notes = _read(
        study.experiments, "samples/epoch-*.png", lambda e: bool(_checkpoints(e)), read
    )
    if not rows:
        return Drawing(None, notes=notes)
    with house_style():
        figure, *others = _epochs_figures(rows)
    told = names([experiment for experiment, _ in rows])
    what = "Samples of the same latents at checkpoints, from the first to the last, of"
    return Drawing(figure, f"{what} {told}.", notes, others)


def reconstructions_by_epoch(study: Study) -> Drawing:
    """Test images, and under them what each model made of them after its epochs, a panel per model."""
    encoders = [experiment for experiment in study.experiments if _has_encoder(experiment)]
    panels, notes = _read(encoders, RECONSTRUCTIONS, _has(RECONSTRUCTIONS), _reconstructions)
    if not panels:
        return Drawing(None, notes=notes)
    across = min(2, len(panels))
    with house_style():
        figure, *others = panels_figures([[panel for _, panel in panels]], across=across)
    told = names([experiment for experiment, _ in panels])
    what = "Test images, and under them their reconstructions after more and more epochs, by"
    return Drawing(figure, f"{what} {told}.", notes, others)


def iteration_curves(study: Study) -> Drawing:
    """Every term of each model's loss against the steps, a panel per model: points, and a running mean on them."""
    told, notes = _read(study.experiments, ITERATIONS, _has(ITERATIONS), _iterations)
    panels = [(experiment, rows) for experiment, rows in told if len(rows) > 1]
    short = [experiment.name for experiment, rows in told if len(rows) <= 1]
    if short:
        notes.append(
            f"{ITERATIONS} of {join_words(short)} has too few points for a curve; lower `training.log_every`."
        )
    if not panels:
        return Drawing(None, notes=notes)
    with house_style():
        (figure, *others), grid = panels_of_curves(len(panels))
        for (experiment, rows), axes in zip(panels, grid, strict=True):
            _iterations_panel(axes, experiment, rows)
    return Drawing(
        figure,
        f"Loss terms against steps, a panel for each of {len(panels)} models.",
        notes,
        others,
    )


def animation(experiment: Experiment) -> Animation:
    """The samples of the same latents after each epoch."""
    name = EVOLUTION[1]  # a sixth of the bytes of the GIF, and all colors
    if not _has(name)(experiment):
        return Animation(None, notes=[_missing(name, [experiment.name])])
    webp = (experiment.folder / name).read_bytes()
    if not webp.startswith(b"RIFF"):
        return Animation(
            None, notes=[f"{name} of {experiment.name} is damaged; run `latentbench train` again."]
        )
    return Animation(webp, f"Samples of {experiment.name} from epoch to epoch.")


def running_mean(values: Values, window: int) -> Values:
    """Of each value and its neighbors, an odd `window` together, fewer at the ends; NaN counts for nothing."""
    there = np.isfinite(values)
    ones = np.ones(window)
    totals = np.convolve(np.where(there, values, 0.0), ones, mode="same")
    numbers = np.convolve(there.astype(float), ones, mode="same").round()
    means: Values = np.where(numbers > 0, totals / np.maximum(numbers, 1), math.nan)
    return means


def thinned(values: Values, most: int) -> Values:
    """At most so many values: the means of equal runs of neighbors, without NaN where one of them is a number."""
    each = -(-len(values) // most)
    if each == 1:
        return values
    padded = np.append(values, np.full(-len(values) % each, math.nan)).reshape(-1, each)
    there = np.isfinite(padded)
    totals, numbers = np.where(there, padded, 0.0).sum(axis=1), there.sum(axis=1)
    means: Values = np.where(numbers > 0, totals / np.maximum(numbers, 1), math.nan)
    return means


def _read(
    experiments: Sequence[Experiment],
    what: str,
    is_there: Callable[[Experiment], bool],
    read: Callable[[Experiment], T],
) -> tuple[list[tuple[Experiment, T]], list[str]]:
    """What was read of each experiment, and sentences on what is missing or damaged."""
    missing = [experiment.name for experiment in experiments if not is_there(experiment)]
    present, notes = [], [_missing(what, missing)] if missing else []
    for experiment in filter(is_there, experiments):
        try:
            present.append((experiment, read(experiment)))
        except ArtifactError as error:
            notes.append(str(error))
    return present, notes


def _has(name: str) -> Callable[[Experiment], bool]:
    return lambda experiment: (experiment.folder / name).is_file()


def _missing(what: str, models: Sequence[str]) -> str:
    return f"There is no {what} of {join_words(models)} yet; `latentbench train` writes it."


def _setting(experiment: Experiment, *keys: str) -> Any:
    """Of its resolved config; None where it is not there."""
    found: Any = experiment.settings or {}
    for key in keys:
        found = found.get(key) if isinstance(found, Mapping) else None
    return found


def _has_encoder(experiment: Experiment) -> bool:
    return has_encoder(str(_setting(experiment, "model", "name")))


def _evenly(items: Sequence[T], most: int) -> list[T]:
    """At most so many, at even distances, the first and the last among them."""
    places = np.linspace(0, len(items) - 1, min(most, len(items))).round().astype(int)
    return [items[place] for place in places]


def _checkpoints(experiment: Experiment) -> list[tuple[int, Path]]:
    """Epochs at which samples were kept, rising, and where they are; files of other settings may lie beside them."""
    epochs = _setting(experiment, "training", "checkpoints") or []
    paths = [(epoch, samples_path(experiment.folder, epoch)) for epoch in sorted(epochs)]
    return [(epoch, path) for epoch, path in paths if path.is_file()]


def _samples(experiment: Experiment, rows: int) -> dict[int, Images]:
    """Mosaics of some checkpoints by their epochs, of so many rows."""
    shown = _evenly(_checkpoints(experiment), _MOST_CHECKPOINTS)
    most = _MOST_KINDS if _setting(experiment, "model", "condition") else _MOST_COLUMNS
    mosaics = {}
    for epoch, path in shown:
        grid = _cut(path, _side(experiment), gap=GRID_GAP)[:rows, :most]
        mosaics[epoch] = tile(grid.reshape(-1, *grid.shape[2:]), grid.shape[1])
    return mosaics


def _reconstructions(experiment: Experiment) -> Panel:
    images = _cut(experiment.folder / RECONSTRUCTIONS, _side(experiment), gap=0)
    epochs = _evenly(range(1, len(images)), _MOST_EPOCHS)
    labels = ["input", *(f"epoch {epoch}" for epoch in epochs)]
    return Panel(experiment.name, color_of(experiment.index), images[[0, *epochs]], rows=labels)


def _side(experiment: Experiment) -> int:
    """Pixels of an image's side. Raises ArtifactError where the settings do not tell."""
    side = _setting(experiment, "image_size")
    if not isinstance(side, int) or side < 1:
        raise ArtifactError(
            f"There is no config.yaml of {experiment.name} that tells the size of its images."
        )
    return side


def _cut(path: Path, side: int, *, gap: int) -> Images:
    """A picture's images, uint8 (rows, columns, side, side, channel). Raises ArtifactError where it is no such grid."""
    picture = read_picture(path)
    step = side + gap
    # A gap after the last image too makes all places alike.
    padded = np.pad(picture, ((0, gap), (0, gap), (0, 0)))
    height, width, channels = padded.shape
    if height % step or width % step:
        raise ArtifactError(
            f"{path} is no grid of images of {side}×{side} pixels; run its stage again."
        )
    places = padded.reshape(height // step, step, width // step, step, channels)
    return places[:, :side, :, :side].swapaxes(1, 2)


def _epochs_figures(rows: Sequence[tuple[Experiment, Mapping[int, Images]]]) -> list[Figure]:
    """Under each model's name its mosaics side by side, under the epochs: once, where they are the same for all."""
    across = max(_FEWEST_PLACES, *(len(mosaics) for _, mosaics in rows))
    width = (WIDTH - (across - 1) * APART) / across
    once = all(mosaics.keys() == rows[0][1].keys() for _, mosaics in rows)
    heights = [_epochs_height(mosaics, width) + TITLE_HEIGHT for _, mosaics in rows]
    if not once:
        heights = [height + _LINE for height in heights]
    return [
        _epochs_figure(rows[run], heights[run], width=width, once=once)
        for run in pages(heights, tallest=TALLEST - _LINE * once)
    ]


def _epochs_height(mosaics: Mapping[int, Images], width: float) -> float:
    return max(float(width * each.shape[0] / each.shape[1]) for each in mosaics.values())


def _epochs_figure(
    rows: Sequence[tuple[Experiment, Mapping[int, Images]]],
    heights: Sequence[float],
    *,
    width: float,
    once: bool,
) -> Figure:
    total = sum(heights) + _LINE * once
    figure = Figure(figsize=(WIDTH, total))
    top = total - _LINE * once
    for row, ((experiment, mosaics), height) in enumerate(zip(rows, heights, strict=True)):
        figure.text(
            0,
            (top - _LINE) / total,
            experiment.name,
            color=color_of(experiment.index),
            fontsize=9,
            fontweight="bold",
        )
        headed = row == 0 or not once
        below = top - height
        for place, (epoch, image_grid) in enumerate(mosaics.items()):
            left = place * (width + APART)
            draw(
                image_axes(
                    figure, (left, below, width, _epochs_height({epoch: image_grid}, width))
                ),
                image_grid,
            )
            if headed:
                x, y = (
                    (left + width / 2) / WIDTH,
                    (top + 0.05 if once else top - TITLE_HEIGHT - _LINE + 0.05) / total,
                )
                figure.text(x, y, f"epoch {epoch}", ha="center", color=MUTED, fontsize=SMALL_SIZE)
        top = below
    return figure


def _iterations(experiment: Experiment) -> Iterations:
    return read_numbers(experiment.folder / ITERATIONS, by="step")


def _iterations_panel(axes: Axes, experiment: Experiment, rows: Iterations) -> None:
    color = color_of(experiment.index)
    steps = thinned(_column(rows, "step"), _MOST_POINTS)
    window = 2 * round(_WINDOW * len(steps) / 2) + 1
    ends, drawn = [], []
    for term, dashes in zip(loss_terms(_terms(rows)), DASHES * 3, strict=False):
        values = thinned(_column(rows, term), _MOST_POINTS)
        means = running_mean(values, window)
        axes.plot(steps, values, color=color, alpha=0.3, linewidth=0.6)
        axes.plot(steps, means, color=color, linestyle=dashes, linewidth=1.2)
        finite = np.flatnonzero(np.isfinite(means))
        if len(finite):
            ends.append(
                (term_label(term), MUTED, float(steps[finite[-1]]), float(means[finite[-1]]))
            )
        drawn += values.tolist()
    name_panel(axes, experiment.name, color, against="steps")
    axes.set_xlim(left=0)
    scale_y(axes, drawn)
    label_ends(axes, ends, size=NAMES_SIZE)


def _terms(rows: Iterations) -> list[str]:
    return [column for column in rows[0] if column not in ("step", "images")]


def _column(rows: Iterations, name: str) -> Values:
    return np.array([row[name] for row in rows])
