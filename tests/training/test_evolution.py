"""Images over training."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from latentbench.data.image_grid import write_png
from latentbench.training.evolution import write_evolution


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
