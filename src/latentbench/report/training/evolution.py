"""Samples and reconstructions in the course of training."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from matplotlib.figure import Figure
from PIL import Image

from latentbench.artifacts.files import convert_read_errors
from latentbench.artifacts.paths import EVOLUTION, GRID_GAP, RECONSTRUCTIONS, samples_path
from latentbench.config.models import learns_codes
from latentbench.errors import ArtifactError
from latentbench.report.presentation import image_grids, page, style
from latentbench.results import Experiment, Study
from latentbench.results.files import read_picture

_MAX_CHECKPOINTS = 5
_MIN_COLUMNS = 3  # fewer checkpoints are drawn in the same size
_MAX_EPOCHS = 8  # of reconstructions
_FEWEST_ROWS = 2  # of many models, which also have half as many columns
_MAX_CLASSES, _MAX_SAMPLES = 10, 8  # columns of a grid, of models with labels and without
_LABEL_HEIGHT = 0.2  # inches
# Of animations, without their titles; the page shows them as wide (report/style.css).
_ANIMATION_WIDTH, _ANIMATION_HEIGHT = 544, 272  # pixels
_FEW_MODELS = 4  # which have animations of the full height
_MAX_FRAMES = 10
_QUALITY = 75  # of WebP, for animations that are cut

Grids = Mapping[int, image_grids.Images]  # images by epoch
T = TypeVar("T")


def samples_by_epoch(study: Study) -> page.Drawing:
    """Return samples of the same latents at the checkpoints, a row of grids per model."""
    present, notes = study.with_files("samples/epoch-*.png", "train", _sample_paths)
    if not present:
        return page.Drawing(None, notes=notes)
    num_models = len(study.members)
    num_rows = 8 if num_models <= 3 else 4 if num_models <= 8 else _FEWEST_ROWS
    figures = _grid_figures([(each, _read_grids(each, num_rows)) for each in present])
    description = "Samples of the same latents at checkpoints, from first to last, of"
    return page.Drawing.of(figures, description, present, notes)


def reconstructions_by_epoch(study: Study) -> page.Drawing:
    """Return test images and their reconstructions after each epoch, a panel per model."""
    complete, notes = study.with_files(
        RECONSTRUCTIONS,
        "train",
        lambda each: (each.folder / RECONSTRUCTIONS).is_file() or not _learns_codes(each),
    )
    encoders = list(filter(_learns_codes, complete))
    if not encoders:
        return page.Drawing(None, notes=notes)
    panels = list(map(_reconstructions_panel, encoders))
    figures = image_grids.panels_figures([panels], across=min(2, len(panels)))
    description = "Test images and their reconstructions by epoch, by"
    return page.Drawing.of(figures, description, encoders, notes)


def animation(experiment: Experiment, num_models: int = 1) -> page.Animation:
    """Return the animation of samples of the same latents from epoch to epoch.

    The more models the page shows, the fewer rows it has. Columns are as many as the page is wide.
    """
    name = EVOLUTION[1]  # the WebP has all colors in a sixth of the bytes of the GIF
    path = experiment.folder / name
    if not path.is_file():
        return page.Animation(
            None, notes=[f"{experiment.in_markdown}: no {name} yet. Run `latentbench train`."]
        )
    height = _ANIMATION_HEIGHT if num_models <= _FEW_MODELS else _ANIMATION_HEIGHT // 2
    with convert_read_errors(path):
        webp = _cut_animation(path, experiment, height)
    return page.Animation(webp, f"Samples of {experiment.name} from epoch to epoch.")


def evenly_spaced(items: Sequence[T], most: int) -> list[T]:
    """Return at most so many items at equal distances, with the first and the last."""
    places = np.linspace(0, len(items) - 1, min(most, len(items))).round().astype(int)
    return [items[place] for place in places]


def _cut_animation(path: Path, experiment: Experiment, height: int) -> bytes:
    """Return an animation with the rows, columns and frames that there is room for.

    The file as it is, if there is room for all of it.
    """
    cell = experiment.settings["image_size"] + GRID_GAP
    with Image.open(path) as image:
        number, size = getattr(image, "n_frames", 1), image.size
        title = image.height + GRID_GAP - cell * experiment.settings["training"]["sample_grid"]
        rows, columns = max(1, height // cell), max(1, _ANIMATION_WIDTH // cell)
        box = (0, 0, columns * cell - GRID_GAP, title + rows * cell - GRID_GAP)
        box = (0, 0, min(box[2], image.width), min(box[3], image.height))
        if number <= _MAX_FRAMES and box[2:] == size:
            return path.read_bytes()
        frames, durations = [], []
        for place in range(number):
            image.seek(place)
            frames.append(image.convert("RGB").crop(box))
            durations.append(image.info.get("duration", 0))
    shown = evenly_spaced(frames, _MAX_FRAMES)
    slower = len(frames) / len(shown)
    times = [round(slower * durations[0])] * (len(shown) - 1) + durations[-1:]
    buffer = io.BytesIO()
    options: dict[str, Any] = {"save_all": True, "append_images": shown[1:], "duration": times}
    shown[0].save(buffer, "webp", quality=_QUALITY, loop=0, **options)
    return buffer.getvalue()


def _learns_codes(experiment: Experiment) -> bool:
    return learns_codes(str(experiment.model.get("name")))


def _sample_paths(experiment: Experiment) -> dict[int, Path]:
    """Return the pictures of samples that exist, by the epochs that the settings list."""
    epochs = (experiment.settings.get("training") or {}).get("checkpoints") or []
    paths = {}
    for epoch in sorted(epochs):
        path = samples_path(experiment.folder, epoch)
        if path.is_file():
            paths[epoch] = path
    return paths


def _read_grids(experiment: Experiment, num_rows: int) -> Grids:
    """Return grids of samples with so many rows at some checkpoints."""
    columns = _MAX_CLASSES if experiment.model.get("condition") else _MAX_SAMPLES
    if num_rows == _FEWEST_ROWS:
        columns //= 2
    grids = {}
    for epoch, path in evenly_spaced(list(_sample_paths(experiment).items()), _MAX_CHECKPOINTS):
        images = _split_grid(path, experiment, gap=GRID_GAP)[:num_rows, :columns]
        grids[epoch] = image_grids.tile(images.reshape(-1, *images.shape[2:]), images.shape[1])
    return grids


def _reconstructions_panel(experiment: Experiment) -> image_grids.Panel:
    images = _split_grid(experiment.folder / RECONSTRUCTIONS, experiment, gap=0)
    epochs = evenly_spaced(range(1, len(images)), _MAX_EPOCHS)
    labels = ["input", *(f"epoch {epoch}" for epoch in epochs)]
    color = style.color_of(experiment.index)
    return image_grids.Panel(experiment.name, color, images[[0, *epochs]], rows=labels)


def _split_grid(path: Path, experiment: Experiment, *, gap: int) -> image_grids.Images:
    """Return the images of a picture, uint8 (rows, columns, side, side, channel).

    Raises:
        ArtifactError: The file is damaged, or no grid of images of the size in the settings.
    """
    side = experiment.settings["image_size"]
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
    width = (style.WIDTH - (columns - 1) * image_grids.PANEL_GAP) / columns
    shared = all(grids.keys() == found[0][1].keys() for _, grids in found)
    above = image_grids.TITLE_HEIGHT + (0 if shared else _LABEL_HEIGHT)
    heights = []
    for _, grids in found:
        height = max(width * grid.shape[0] / grid.shape[1] for grid in grids.values())
        heights.append(height + above)

    def draw_row(figure: Figure, part: tuple[Experiment, Grids], top: float) -> None:
        experiment, grids = part
        is_labeled = not (shared and figure.axes)
        inches: dict[str, Any] = {"transform": figure.dpi_scale_trans}
        name = figure.text(0, top - _LABEL_HEIGHT, experiment.name, fontsize=9, **inches)
        name.set(color=style.color_of(experiment.index), fontweight="bold")
        label_y = top + 0.05 - (0 if shared else above)
        for column, (epoch, grid) in enumerate(grids.items()):
            left = column * (width + image_grids.PANEL_GAP)
            height = width * grid.shape[0] / grid.shape[1]
            image_grids.draw(figure, grid, (left, top - above - height, width, height))
            if is_labeled:
                label = figure.text(left + width / 2, label_y, f"epoch {epoch}", **inches)
                label.set(ha="center", color=style.MUTED, fontsize=style.SMALL_SIZE)

    header = _LABEL_HEIGHT if shared else 0.0
    return image_grids.stack(found, heights, draw_row, header=header)
