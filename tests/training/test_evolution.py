"""Images over training."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from latentbench.data.image_grid import image_grid, write_png
from latentbench.data.labels import LabelSet
from latentbench.training import evolution
from latentbench.training.evolution import write_evolution
from latentbench.training.reporter import _sample_inputs


def test_animation_has_a_titled_frame_per_epoch(tmp_path: Path) -> None:
    frames = []
    for epoch in (1, 2, 3):
        path = tmp_path / f"{epoch}.png"
        write_png(path, np.full((40, 60, 1), 60 * epoch, np.uint8))
        frames.append((epoch, path))
    places = [tmp_path / "evolution.gif", tmp_path / "evolution.webp"]
    write_evolution(frames, places)
    for place in places:
        with Image.open(place) as animation:
            assert animation.n_frames == 3
            levels, titles = [], []
            for frame in range(3):
                animation.seek(frame)
                picture = np.asarray(animation.convert("L")).astype(int)
                levels.append(picture[50, 30])
                titles.append(picture[:32])
            assert levels == pytest.approx([60, 120, 180], abs=4)
            # The titles differ and are dark on white.
            assert np.abs(titles[0] - titles[1]).max() > 100
            assert titles[0].max() > 240
            assert titles[0].min() < 60


def test_animations_of_many_epochs_skip_some(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(evolution, "MAX_FRAMES", 3)
    frames = []
    for epoch in range(1, 8):
        path = tmp_path / f"{epoch}.png"
        write_png(path, np.full((40, 60, 1), 30 * epoch, np.uint8))
        frames.append((epoch, path))
    write_evolution(frames, [tmp_path / "evolution.webp"])
    with Image.open(tmp_path / "evolution.webp") as animation:
        assert animation.n_frames == 3
        levels = []
        for frame in range(3):
            animation.seek(frame)
            levels.append(np.asarray(animation.convert("L")).astype(int)[50, 30])
    assert levels == pytest.approx([30, 120, 210], abs=4)


@pytest.mark.parametrize(("side", "number", "columns"), [(128, 140, 126), (32, 10, 10)])
def test_grids_are_as_wide_as_an_animation_can_be(
    tmp_path: Path, side: int, number: int, columns: int
) -> None:
    one_hot = np.eye(number, dtype=int).tolist()
    training = SimpleNamespace(sample_grid=2)
    run: Any = SimpleNamespace(
        config=SimpleNamespace(training=training, image_size=side, seed=0),
        labels=LabelSet(list(map(str, range(number))), one_hot, [1] * number),
        objective=SimpleNamespace(latent_dim=4),
        device=torch.device("cpu"),
    )
    latents, labels = _sample_inputs(run)
    assert len(latents) == len(labels) == 2 * columns
    assert labels.argmax(dim=1).tolist() == 2 * list(range(columns))
    assert len(latents.unique(dim=0)) == 2
    grid = image_grid(np.zeros((len(latents), side, side, 1), np.uint8), columns=columns)
    write_png(tmp_path / "frame.png", grid)
    write_evolution([(1, tmp_path / "frame.png")], [tmp_path / "a.webp"])
    with Image.open(tmp_path / "a.webp") as animation:
        assert animation.width == grid.shape[1]
