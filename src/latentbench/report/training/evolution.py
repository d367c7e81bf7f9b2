"""Samples and reconstructions in the course of training."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TypeVar

import numpy as np
from matplotlib.figure import Figure

from latentbench.artifacts.paths import EVOLUTION, GRID_GAP, RECONSTRUCTIONS, samples_path
from latentbench.config.models import has_encoder
from latentbench.errors import ArtifactError
from latentbench.report.presentation import image_grids, style
from latentbench.report.presentation.image_grids import Images, Panel
from latentbench.report.presentation.page import Animation, Drawing
from latentbench.report.presentation.style import WIDTH
from latentbench.results.experiment import Experiment
from latentbench.results.files import read_picture
from latentbench.results.formatting import join_words
from latentbench.results.study import Study

_MAX_CHECKPOINTS = 5
_MIN_COLUMNS = 3  # fewer checkpoints are drawn in the same size
_MAX_EPOCHS = 8  # of reconstructions
_MAX_CLASSES, _MAX_SAMPLES = 10, 8  # columns of a grid, of models with labels and without
_LABEL_HEIGHT = 0.2  # inches

Grids = Mapping[int, Images]  # images by epoch
T = TypeVar("T")


def samples_by_epoch(study: Study) -> Drawing:
    """Return samples of the same latents at the checkpoints, a row of grids per model."""
    num_models = len(study.members)
    num_rows = 8 if num_models <= 3 else 4 if num_models <= 8 else 2
    found, notes = _read_all(
        list(study), "samples/epoch-*.png", lambda experiment: _read_samples(experiment, num_rows)
    )
    if not found:
        return Drawing(None, notes=notes)
    with style.house_style():
        figure, *others = _grid_figures(found)
    names = ", ".join(experiment.name for experiment, _ in found)
    description = f"Samples of the same latents at checkpoints, from first to last, of {names}."
    return Drawing(figure, description, notes, others)


def reconstructions_by_epoch(study: Study) -> Drawing:
    """Return test images and their reconstructions after each epoch, a panel per model."""
    encoders = [each for each in study if has_encoder(str(each.model.get("name")))]
    found, notes = _read_all(encoders, RECONSTRUCTIONS, _read_reconstructions)
    if not found:
        return Drawing(None, notes=notes)
    panels = [panel for _, panel in found]
    with style.house_style():
        figure, *others = image_grids.panels_figures([panels], across=min(2, len(panels)))
    names = ", ".join(panel.title for panel in panels)
    description = f"Test images, and below them their reconstructions by epoch, by {names}."
    return Drawing(figure, description, notes, others)


def animation(experiment: Experiment) -> Animation:
    """Return the animation of samples of the same latents from epoch to epoch."""
    name = EVOLUTION[1]  # the WebP has all colors in a sixth of the bytes of the GIF
    path = experiment.folder / name
    if not path.is_file():
        return Animation(None, notes=[_missing(name, [experiment.name])])
    webp = path.read_bytes()
    if not webp.startswith(b"RIFF"):
        note = f"{experiment.name}: {name} is damaged. Run `latentbench train` again."
        return Animation(None, notes=[note])
    return Animation(webp, f"Samples of {experiment.name} from epoch to epoch.")


def evenly_spaced(items: Sequence[T], most: int) -> list[T]:
    """Return at most so many items at equal distances, with the first and the last."""
    places = np.linspace(0, len(items) - 1, min(most, len(items))).round().astype(int)
    return [items[place] for place in places]


def _read_all(
    experiments: Sequence[Experiment], what: str, read: Callable[[Experiment], T | None]
) -> tuple[list[tuple[Experiment, T]], list[str]]:
    """Return what `read` finds for each experiment, and notes on missing or damaged files."""
    found, missing, damaged = [], [], []
    for experiment in experiments:
        try:
            content = read(experiment)
        except ArtifactError as error:
            damaged.append(str(error))
            continue
        if content is None:
            missing.append(experiment.name)
        else:
            found.append((experiment, content))
    notes = [_missing(what, missing)] if missing else []
    return found, notes + damaged


def _missing(what: str, names: Sequence[str]) -> str:
    return f"{join_words(names)}: no {what} yet. Run `latentbench train`."


def _read_samples(experiment: Experiment, num_rows: int) -> Grids | None:
    """Return grids of so many rows at some of the checkpoints that the settings list."""
    epochs = (experiment.settings.get("training") or {}).get("checkpoints") or []
    present = [
        epoch for epoch in sorted(epochs) if samples_path(experiment.folder, epoch).is_file()
    ]
    columns = _MAX_CLASSES if experiment.model.get("condition") else _MAX_SAMPLES
    grids = {}
    for epoch in evenly_spaced(present, _MAX_CHECKPOINTS):
        path = samples_path(experiment.folder, epoch)
        images = _split_grid(path, experiment, gap=GRID_GAP)[:num_rows, :columns]
        grids[epoch] = image_grids.tile(images.reshape(-1, *images.shape[2:]), images.shape[1])
    return grids or None


def _read_reconstructions(experiment: Experiment) -> Panel | None:
    path = experiment.folder / RECONSTRUCTIONS
    if not path.is_file():
        return None
    images = _split_grid(path, experiment, gap=0)
    epochs = evenly_spaced(range(1, len(images)), _MAX_EPOCHS)
    labels = ["input", *(f"epoch {epoch}" for epoch in epochs)]
    return Panel(
        experiment.name, style.color_of(experiment.index), images[[0, *epochs]], rows=labels
    )


def _split_grid(path: Path, experiment: Experiment, *, gap: int) -> Images:
    """Return the images of a picture, uint8 (rows, columns, side, side, channel).

    Raises:
        ArtifactError: The file is damaged, or no grid of images of the size in the settings.
    """
    side = experiment.settings.get("image_size")
    if not side:
        raise ArtifactError(f"{experiment.name}: config.yaml does not state the image size.")
    # A gap after the last image as well makes all cells alike.
    picture = np.pad(read_picture(path), ((0, gap), (0, gap), (0, 0)))
    rows, columns = picture.shape[0] // (side + gap), picture.shape[1] // (side + gap)
    if picture.shape[:2] != (rows * (side + gap), columns * (side + gap)):
        raise ArtifactError(
            f"{path} is no grid of images of {side}×{side} pixels; run its stage again."
        )
    cells = picture.reshape(rows, side + gap, columns, side + gap, picture.shape[2])
    return cells[:, :side, :, :side].swapaxes(1, 2)


def _grid_figures(found: Sequence[tuple[Experiment, Grids]]) -> list[Figure]:
    """Return figures with a row of grids per model; epochs stand once if all models share them."""
    columns = max(_MIN_COLUMNS, *(len(grids) for _, grids in found))
    width = (WIDTH - (columns - 1) * image_grids.APART) / columns
    shared = all(grids.keys() == found[0][1].keys() for _, grids in found)
    heights = []
    for _, grids in found:
        height = max(width * grid.shape[0] / grid.shape[1] for grid in grids.values())
        heights.append(height + image_grids.TITLE_HEIGHT + (0 if shared else _LABEL_HEIGHT))
    header = _LABEL_HEIGHT if shared else 0.0
    return [
        _grid_figure(found[on_page], heights[on_page], width, header)
        for on_page in style.pages(heights, tallest=style.TALLEST - header)
    ]


def _grid_figure(
    found: Sequence[tuple[Experiment, Grids]], heights: Sequence[float], width: float, header: float
) -> Figure:
    """Return one page; a `header` of some height holds the epochs of all rows."""
    total = sum(heights) + header
    figure = Figure(figsize=(WIDTH, total))
    top = total - header
    for row, ((experiment, grids), height) in enumerate(zip(found, heights, strict=True)):
        name = figure.text(0, (top - _LABEL_HEIGHT) / total, experiment.name, fontsize=9)
        name.set(color=style.color_of(experiment.index), fontweight="bold")
        label_y = top + 0.05 if header else top - image_grids.TITLE_HEIGHT - _LABEL_HEIGHT + 0.05
        for column, (epoch, grid) in enumerate(grids.items()):
            left = column * (width + image_grids.APART)
            inches = (left, top - height, width, width * grid.shape[0] / grid.shape[1])
            image_grids.draw(figure, grid, inches)
            if row == 0 or not header:
                label = figure.text((left + width / 2) / WIDTH, label_y / total, f"epoch {epoch}")
                label.set(ha="center", color=style.MUTED, fontsize=style.SMALL_SIZE)
        top -= height
    return figure
