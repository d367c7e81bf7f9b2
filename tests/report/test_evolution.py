"""What the report shows of the course of training: pictures that are cut out of files, and curves of many points."""

from __future__ import annotations

import math

import numpy as np
import pytest

from latentbench.artifacts.paths import EVOLUTION, ITERATIONS, RECONSTRUCTIONS, samples_path
from latentbench.report.presentation.style import to_svg
from latentbench.report.training import evolution
from latentbench.results.files import read_picture
from latentbench.results.study import open_study
from tests.report.conftest import (
    CONDITIONAL,
    SIX,
    assert_on_the_page,
    images_drawn,
    words_of,
    write_iterations,
    write_picture,
    write_pictures,
)

PICTURES = (evolution.samples_by_epoch, evolution.reconstructions_by_epoch)
DRAWINGS = (*PICTURES, evolution.iteration_curves)
EPOCHS = [1, 2, 4]


@pytest.fixture
def make_pictured(make_study):
    """A study with pictures, at its checkpoints if not told otherwise; ones of `channels`."""

    def make(scores=SIX, epochs=EPOCHS, channels=1):
        folder = make_study(scores)
        for name in scores:
            columns = 12 if name.startswith(CONDITIONAL) else 8
            write_pictures(folder / name, epochs, columns=columns, channels=channels)
        return folder

    return make


@pytest.mark.parametrize("draw", DRAWINGS)
@pytest.mark.parametrize("channels", [1, 3])
def test_every_figure_is_drawn_and_its_words_stay_on_the_page(make_pictured, draw, channels):
    drawing = draw(open_study(make_pictured(channels=channels)))
    assert drawing.notes == []
    assert to_svg(drawing.figure).startswith("<svg")
    assert_on_the_page(drawing.figure)


def test_samples_stand_over_their_epochs_as_they_are_in_the_files(make_pictured):
    folder = make_pictured({"vae": (1.0, None), "conditional-vae": (1.0, None)})
    drawing = evolution.samples_by_epoch(open_study(folder))
    assert {"vae", "conditional-vae", "epoch 1", "epoch 2", "epoch 4"} <= words_of(drawing)
    drawn = images_drawn(drawing)
    # With the figures' own gaps of 3, instead of the files' of 2.
    assert [each.shape[:2] for each in drawn] == [(277, 277)] * 3 + [(277, 347)] * 3
    whole = read_picture(samples_path(folder / "conditional-vae", 2))
    assert (
        drawn[4][7 * 35 : 7 * 35 + 32, 9 * 35 :, :3]
        == whole[7 * 34 : 7 * 34 + 32, 9 * 34 : 9 * 34 + 32]
    ).all()


def test_of_many_models_there_are_fewer_rows(make_pictured):
    assert {
        each.shape[0]
        for each in images_drawn(evolution.samples_by_epoch(open_study(make_pictured())))
    } == {137}


def test_of_many_epochs_some_are_shown_the_first_and_the_last_among_them(make_pictured):
    assert evolution._evenly(range(1, 21), 5) == [1, 6, 11, 15, 20]
    assert evolution._evenly([3], 5) == [3]
    folder = make_pictured({"vae": (1.0, None)}, epochs=[1, 2, 4, 30])
    drawing = evolution.reconstructions_by_epoch(open_study(folder))
    assert {text for text in words_of(drawing) if text} == {
        *(
            "vae",
            "input",
            "epoch 1",
            "epoch 5",
            "epoch 9",
            "epoch 13",
            "epoch 18",
            "epoch 22",
            "epoch 26",
            "epoch 30",
        )
    }
    [drawn] = images_drawn(drawing)
    whole = read_picture(folder / "vae" / RECONSTRUCTIONS)
    assert (drawn[:32, :32, :3] == whole[:32, :32]).all()
    assert (drawn[-32:, -32:, :3] == whole[-32:, -32:]).all()
    assert (drawn[2 * 35 : 2 * 35 + 32, :32, :3] == whole[5 * 32 : 6 * 32, :32]).all()


def test_files_of_other_settings_are_left_alone(make_pictured):
    """The settings ask for checkpoints at epochs 1, 2 and 4."""
    drawing = evolution.samples_by_epoch(open_study(make_pictured(epochs=[1, 2, 3, 4])))
    assert "epoch 3" not in words_of(drawing)


def test_results_of_before_say_what_is_missing_of_whom(make_study):
    folder = make_study(SIX)
    for path in folder.glob(f"*/{ITERATIONS}"):
        path.unlink()
    study = open_study(folder)
    everyone = "vae, dcgan, wgan-gp, conditional-vae, conditional-dcgan and conditional-wgan-gp"
    expected = {
        evolution.samples_by_epoch: ("samples/epoch-*.png", everyone),
        evolution.reconstructions_by_epoch: (RECONSTRUCTIONS, "vae and conditional-vae"),
        evolution.iteration_curves: (ITERATIONS, everyone),
    }
    for draw, (what, models) in expected.items():
        assert draw(study).figure is None
        assert draw(study).notes == [
            f"There is no {what} of {models} yet; `latentbench train` writes it."
        ]
    found = evolution.animation(study.experiments[0])
    assert found.webp is None
    assert found.notes == [f"There is no {EVOLUTION[1]} of vae yet; `latentbench train` writes it."]


def test_damaged_files_are_named_and_the_others_drawn(make_pictured):
    folder = make_pictured()
    whole = (folder / "vae" / RECONSTRUCTIONS).read_bytes()
    (folder / "vae" / RECONSTRUCTIONS).write_bytes(whole[: len(whole) // 2])
    samples_path(folder / "dcgan", 2).write_bytes(b"damaged")
    (folder / "wgan-gp" / ITERATIONS).write_bytes(b"step,images,critic_loss\n5,320,\xff\x00\n")
    (folder / "vae" / EVOLUTION[1]).write_bytes(b"")
    study = open_study(folder)
    for draw, named in zip(
        DRAWINGS, ("dcgan/samples/epoch-0002.png", "vae/samples/rec", "wgan-gp/iter"), strict=True
    ):
        drawing = draw(study)
        [note] = drawing.notes
        assert named in note
        assert "is damaged" in note
        assert drawing.figure is not None
    assert evolution.animation(study.experiments[0]).webp is None
    assert "is damaged" in evolution.animation(study.experiments[0]).notes[0]
    assert evolution.animation(study.experiments[1]).webp.startswith(b"RIFF")


@pytest.mark.parametrize("draw", PICTURES)
def test_a_picture_of_another_size_is_named(make_pictured, draw):
    folder = make_pictured({"vae": (1.0, None)})
    for path in (samples_path(folder / "vae", 1), folder / "vae" / RECONSTRUCTIONS):
        write_picture(path, np.zeros((33, 40, 1), np.uint8))
    drawing = draw(open_study(folder))
    assert drawing.figure is None
    assert "is no grid of images of 32×32 pixels" in drawing.notes[0]
    (folder / "vae" / "config.yaml").unlink()
    assert len(draw(open_study(folder)).notes) == (draw is evolution.samples_by_epoch)


def test_iterations_with_a_point_or_none_have_no_curve(make_study):
    folder = make_study()
    for name, number in (("vae", 1), ("dcgan", 0)):
        write_iterations(folder / name, number)
    drawing = evolution.iteration_curves(open_study(folder))
    assert len(drawing.figure.axes) == 1
    assert drawing.notes == [
        f"{ITERATIONS} of vae and dcgan has too few points for a curve; lower `training.log_every`."
    ]


def test_a_curve_per_term_its_points_and_their_running_mean(make_study):
    study = open_study(make_study())
    panels = dict(
        zip(("vae", "dcgan", "wgan-gp"), evolution.iteration_curves(study).figure.axes, strict=True)
    )
    assert {text.get_text() for text in panels["wgan-gp"].texts} == {
        *("critic", "wasserstein", "gradient penalty", "generator")
    }
    assert {text.get_text() for text in panels["dcgan"].texts} == {"discriminator", "generator"}
    points, means = panels["vae"].lines[:2]
    assert points.get_xdata().tolist() == means.get_xdata().tolist() == list(range(5, 301, 5))
    values = points.get_ydata()
    assert means.get_ydata()[30] == pytest.approx(values[28:33].mean())


def test_running_means_are_of_what_is_there():
    values = np.array([1.0, 2.0, math.nan, 4.0, 9.0])
    assert evolution.running_mean(values, 3).tolist() == pytest.approx([1.5, 1.5, 3.0, 6.5, 6.5])
    assert evolution.running_mean(values, 1).tolist() == pytest.approx(
        [1, 2, math.nan, 4, 9], nan_ok=True
    )
    holes = evolution.running_mean(np.array([math.nan, math.nan, math.nan, 2.0]), 3)
    assert holes.tolist() == pytest.approx([math.nan, math.nan, 2, 2], nan_ok=True)


def test_many_points_become_means_of_neighbors():
    values = np.arange(10.0)
    assert evolution.thinned(values, 10) is values
    assert evolution.thinned(values, 5).tolist() == [0.5, 2.5, 4.5, 6.5, 8.5]
    assert evolution.thinned(values, 3).tolist() == [1.5, 5.5, 8.5]
    values[[0, 4, 5, 6, 7]] = math.nan
    assert evolution.thinned(values, 3).tolist() == pytest.approx([2.0, math.nan, 8.5], nan_ok=True)
