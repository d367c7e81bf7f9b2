"""Samples and reconstructions over the course of training."""

from __future__ import annotations

import io
import re

import numpy as np
import pytest
from PIL import Image

from latentbench import open_study
from latentbench.artifacts.paths import EVOLUTION, RECONSTRUCTIONS, samples_path
from latentbench.errors import ArtifactError
from latentbench.report.presentation.style import to_svg
from latentbench.report.training import evolution
from latentbench.results.files import read_picture
from tests.report.conftest import (
    CONDITIONAL,
    SIX,
    assert_on_the_page,
    images_drawn,
    words_of,
    write_picture,
    write_pictures,
)

FIGURES = (evolution.samples_by_epoch, evolution.reconstructions_by_epoch)
EPOCHS = [1, 2, 4]


@pytest.fixture
def make_pictured(make_study):
    """Return a function that writes a study with pictures at some epochs."""

    def make(scores=SIX, epochs=EPOCHS, channels=1):
        folder = make_study(scores)
        for name in scores:
            columns = 12 if name.startswith(CONDITIONAL) else 8
            write_pictures(folder / name, epochs, columns=columns, channels=channels)
        return folder

    return make


@pytest.mark.parametrize("draw", FIGURES)
@pytest.mark.parametrize("channels", [1, 3])
def test_text_stays_on_the_page(make_pictured, draw, channels):
    drawing = draw(open_study(make_pictured(channels=channels)))
    assert drawing.notes == []
    assert to_svg(drawing.figure).startswith("<svg")
    assert_on_the_page(drawing.figure)


def test_samples_have_the_pixels_of_the_files(make_pictured):
    folder = make_pictured({"vae": (1.0, None), "conditional-vae": (1.0, None)})
    drawing = evolution.samples_by_epoch(open_study(folder))
    assert {"vae", "conditional-vae", "epoch 1", "epoch 2", "epoch 4"} <= words_of(drawing)
    drawn = images_drawn(drawing)
    # Gaps are 3 pixels in figures and 2 in files.
    assert [each.shape[:2] for each in drawn] == [(277, 277)] * 3 + [(277, 347)] * 3
    whole = read_picture(samples_path(folder / "conditional-vae", 2))
    shown = drawn[4][7 * 35 : 7 * 35 + 32, 9 * 35 :, :3]
    assert (shown == whole[7 * 34 : 7 * 34 + 32, 9 * 34 : 9 * 34 + 32]).all()


def test_many_models_have_fewer_rows(make_pictured):
    drawing = evolution.samples_by_epoch(open_study(make_pictured()))
    assert {each.shape[0] for each in images_drawn(drawing)} == {137}


def test_many_epochs_are_shown_at_equal_distances(make_pictured):
    assert evolution.evenly_spaced(range(1, 21), 5) == [1, 6, 11, 15, 20]
    assert evolution.evenly_spaced([3], 5) == [3]
    folder = make_pictured({"vae": (1.0, None)}, epochs=[1, 2, 4, 30])
    drawing = evolution.reconstructions_by_epoch(open_study(folder))
    epochs = {f"epoch {epoch}" for epoch in (1, 5, 9, 13, 18, 22, 26, 30)}
    assert words_of(drawing) - {""} == {"vae", "input"} | epochs
    [drawn] = images_drawn(drawing)
    whole = read_picture(folder / "vae" / RECONSTRUCTIONS)
    assert (drawn[:32, :32, :3] == whole[:32, :32]).all()
    assert (drawn[-32:, -32:, :3] == whole[-32:, -32:]).all()
    assert (drawn[2 * 35 : 2 * 35 + 32, :32, :3] == whole[5 * 32 : 6 * 32, :32]).all()


def test_only_checkpoints_of_the_settings_are_shown(make_pictured):
    """The settings list checkpoints at epochs 1, 2 and 4."""
    drawing = evolution.samples_by_epoch(open_study(make_pictured(epochs=[1, 2, 3, 4])))
    assert "epoch 3" not in words_of(drawing)


def test_missing_files_are_named(make_study):
    study = open_study(make_study(SIX))
    samples, reconstructions = (draw(study) for draw in FIGURES)
    assert samples.figure is reconstructions.figure is None
    assert all(name in samples.notes[0] for name in SIX)
    assert RECONSTRUCTIONS in reconstructions.notes[0]
    assert "conditional-vae" in reconstructions.notes[0]
    assert "dcgan" not in reconstructions.notes[0]
    found = evolution.animation(study["vae"])
    assert found.webp is None
    assert EVOLUTION[1] in found.notes[0]


def test_a_small_animation_stays_as_it_is(make_pictured):
    folder = make_pictured({"vae": (1.0, None)})
    path = folder / "vae" / EVOLUTION[1]
    assert evolution.animation(open_study(folder)["vae"]).webp == path.read_bytes()


def test_a_large_animation_is_cut_to_the_page(make_pictured):
    folder = make_pictured({"vae": (1.0, None)})
    # 8 rows and 20 columns of 32 pixels with gaps of 2, below a title of 32 pixels.
    shades = np.linspace(0, 255, 30).astype(np.uint8)
    frames = [Image.new("RGB", (20 * 34 - 2, 32 + 8 * 34 - 2), (s, s, s)) for s in shades.tolist()]
    times = [100] * 29 + [2000]
    frames[0].save(
        folder / "vae" / EVOLUTION[1], save_all=True, append_images=frames[1:], duration=times
    )
    experiment = open_study(folder)["vae"]
    for num_models, rows in ((1, 8), (10, 4)):
        webp = evolution.animation(experiment, num_models).webp
        with Image.open(io.BytesIO(webp)) as image:
            assert image.size == (16 * 34 - 2, 32 + rows * 34 - 2)
            assert image.n_frames == 10
            found = []
            for place in (0, 9):
                image.seek(place)
                found.append((round(np.asarray(image).mean()), image.info["duration"]))
    # The first and the last frame; ten take as long as thirty.
    assert found == [(0, 300), (255, 2000)]


def test_damaged_files_are_named(make_pictured):
    folder = make_pictured()
    samples = samples_path(folder / "dcgan", 2)
    reconstructions = folder / "vae" / RECONSTRUCTIONS
    webp = folder / "vae" / EVOLUTION[1]
    study = open_study(folder)
    assert evolution.animation(study["vae"]).webp.startswith(b"RIFF")
    for draw, path in (
        (lambda: evolution.samples_by_epoch(study), samples),
        (lambda: evolution.reconstructions_by_epoch(study), reconstructions),
        (lambda: evolution.animation(study["vae"]), webp),
    ):
        path.write_bytes(b"damaged")
        with pytest.raises(ArtifactError, match=re.escape(str(path))):
            draw()


@pytest.mark.parametrize("draw", FIGURES)
def test_pictures_of_another_size_are_named(make_pictured, draw):
    folder = make_pictured({"vae": (1.0, None)})
    for path in (samples_path(folder / "vae", 1), folder / "vae" / RECONSTRUCTIONS):
        write_picture(path, np.zeros((33, 40, 1), np.uint8))
    with pytest.raises(ArtifactError, match="32×32"):
        draw(open_study(folder))


@pytest.mark.parametrize("draw", FIGURES)
def test_models_without_settings_are_not_drawn(make_pictured, draw):
    folder = make_pictured({"vae": (1.0, None)})
    (folder / "vae" / "config.yaml").unlink()
    assert draw(open_study(folder)).figure is None
