"""Curves and mosaics: what is drawn, what is said where nothing can be."""

from __future__ import annotations

import re
import shutil

import numpy as np
import pytest
from matplotlib.figure import Figure
from matplotlib.text import Text

from latentbench.report import figures, lines, mosaics, paths, tiles
from latentbench.report.results import open_study
from latentbench.report.style import COLOURS, colour_of, marker_of, to_svg
from tests.report.conftest import make_repeats

HISTORIES = (figures.loss_curves, figures.split_curves, figures.gradient_curves)


def test_an_axis_is_logarithmic_where_values_span_orders_of_magnitude():
    def scale(values, **more) -> str:
        axes = Figure().subplots()
        lines.scale_y(axes, values, **more)
        return axes.get_yscale()

    assert scale([1.0, 5.0]) == scale([-600.0, 200.0]) == scale([0.0, 1.0]) == scale([]) == "linear"
    assert scale([1.0, 50.0]) == scale([1.0, 50.0], estimates=True) == "log"
    assert scale([-0.001, 0.02, 1.0], estimates=True) == scale([0.0, 1.0], estimates=True) == "symlog"
    assert scale([-0.5, 1.0], estimates=True) == scale([0.0, 0.0], estimates=True) == "linear"


def test_labels_are_moved_apart_as_little_as_needed():
    assert lines.spread_apart([0.0, 1.0], 0.1) == [0.0, 1.0]
    assert lines.spread_apart([0.5, 0.5, 0.5], 0.1) == pytest.approx([0.4, 0.5, 0.6])
    moved = lines.spread_apart([0.9, 0.1, 0.12, 0.5], 0.1)
    assert moved == pytest.approx([0.9, 0.06, 0.16, 0.5])


def test_tiles_stand_where_they_belong_and_gaps_are_transparent():
    images = np.arange(6, dtype=np.uint8)[:, None, None, None] * np.ones((1, 4, 4, 1), np.uint8)
    mosaic = tiles.tile(images, 3)
    assert mosaic.shape == (9, 14, 4)
    assert (mosaic[:4, :4, :3] == 0).all()
    assert (mosaic[5:, 10:, :3] == 5).all()
    assert (mosaic[4, :, 3] == 0).all()
    assert (mosaic[:4, 4, 3] == 0).all()


def test_colour_images_keep_their_channels():
    images = np.zeros((2, 4, 4, 3), np.uint8)
    images[1, ..., 2] = 255
    assert (tiles.tile(images, 2)[0, 5] == [0, 0, 255, 255]).all()


def test_a_model_keeps_its_colour_in_every_figure(make_study):
    study = open_study(make_study())
    drawings = (figures.metric_curves, *HISTORIES, mosaics.samples, paths.interpolations)
    for draw in drawings:
        svg = to_svg(draw(study).figure)
        assert [colour for colour in COLOURS if colour in svg] == list(COLOURS[:3])


def test_more_models_than_colours_differ_by_marker():
    assert len({(colour_of(index), marker_of(index)) for index in range(2 * len(COLOURS))}) == 2 * len(COLOURS)


def test_same_figure_same_bytes_and_nothing_to_fetch(make_study):
    study = open_study(make_study())
    for draw in (figures.metric_curves, mosaics.reconstructions):
        svg = to_svg(draw(study).figure)
        assert svg == to_svg(draw(study).figure)
        links = re.findall(r'href="([^"]*)"', svg)
        assert all(link.startswith(("#", "data:")) for link in links)
        assert not re.search(r'(?<!xmlns=")(?<!xlink=")https?://', svg)


@pytest.mark.parametrize(
    ("draw", "pattern", "stage"),
    [
        (figures.metric_curves, "metrics.csv", "evaluate"),
        *((draw, "history.csv", "train") for draw in HISTORIES),
        (mosaics.samples, "latent/arrays.npz", "explore"),
        (mosaics.reconstructions, "latent/arrays.npz", "explore"),
        (paths.interpolations, "latent/arrays.npz", "explore"),
    ],
)
def test_what_is_missing_is_said_and_the_rest_is_drawn(make_study, draw, pattern, stage):
    folder = make_study()
    for path in (folder / "dcgan").glob(pattern):
        path.unlink()
    partly = draw(open_study(folder))
    assert partly.notes == [f"There is no {pattern} of dcgan yet; `latentbench {stage}` writes it."]
    assert "dcgan" not in to_svg(partly.figure)
    for path in folder.glob(f"*/{pattern}"):
        path.unlink()
    without = draw(open_study(folder))
    assert without.figure is None
    assert without.notes == [f"There is no {pattern} of vae, dcgan and wgan-gp yet; `latentbench {stage}` writes it."]


def test_experiment_whose_folder_is_gone_is_named_everywhere(make_study):
    folder = make_study()
    shutil.rmtree(folder / "vae")
    study = open_study(folder)
    for draw in (figures.metric_curves, figures.loss_curves, mosaics.samples):
        assert any("of vae yet" in note for note in draw(study).notes)


def test_metrics_without_history_have_no_time_but_an_epoch(make_study):
    folder = make_study()
    for path in folder.glob("*/history.csv"):
        path.unlink()
    assert figures.metric_curves(open_study(folder)).figure is not None


def test_one_colour_experiment_is_drawn(make_study):
    study = open_study(make_study({"vae": (12.0, None)}, channels=3))
    for draw in (figures.metric_curves, figures.loss_curves, mosaics.samples, paths.interpolations):
        assert to_svg(draw(study).figure).startswith("<svg")


def test_loss_term_that_ends_early_is_labelled_where_it_ends(make_study):
    folder = make_study()
    history = folder / "dcgan" / "history.csv"
    *rows, last = history.read_text().splitlines()
    history.write_text("\n".join([*rows, last.rpartition(",")[0] + ","]) + "\n")
    assert "generated" in words_of(figures.split_curves(open_study(folder)))


def test_each_history_draws_its_own_columns(make_study):
    study = open_study(make_study())
    losses, splits, gradients = (words_of(draw(study)) for draw in HISTORIES)
    assert {"reconstruction", "kl", "discriminator", "critic", "gradient penalty"} <= losses
    assert {"bits per dimension", "accuracy", "Wasserstein", "training", "test", "generated"} <= splits
    assert {"all weights", "generator", "critic"} <= gradients
    assert not losses & {"accuracy real", "accuracy", "gradient", "mse"}
    assert "MSE" not in splits  # of a VAE the bound is shown


def test_sample_sizes_run_to_infinity(make_study):
    folder = make_study()
    assert {"FCD", "vae", "dcgan", "∞", "5,000", "1,250"} <= words_of(figures.sample_size_curves(open_study(folder)))
    for path in folder.glob("*/metrics.json"):
        path.write_text(path.read_text().replace("sample_sizes", "other"))
    assert figures.sample_size_curves(open_study(folder)).figure is None


def test_repeats_are_drawn_as_one_line(make_study):
    folder = make_study()
    make_repeats(folder, "dcgan", "wgan-gp")
    study = open_study(folder)
    assert {"vae", "dcgan (2\N{NO-BREAK SPACE}seeds)", "real images"} <= words_of(figures.metric_curves(study))
    assert "wgan-gp" not in words_of(figures.metric_curves(study))
    _, repeats = study.contenders(study.experiments)
    assert [checkpoint.epoch for checkpoint in repeats.checkpoints] == [1, 2, 4]
    assert repeats.checkpoints[-1].scores["fcd"].mean == pytest.approx(16.0)
    assert repeats.checkpoints[-1].scores["fcd"].std == pytest.approx(4 * 2**0.5)
    assert repeats.checkpoints[-1].seconds == pytest.approx(100.0)


def test_long_names_fit_beside_and_over_their_images(make_study):
    folder = make_study()
    long = "a-conditional-dcgan-with-a-name-as-long-as-this"
    (folder / "vae").rename(folder / long)
    for path in (folder / "study.yaml", folder / long / "config.yaml"):
        path.write_text(path.read_text().replace("vae\n", f"{long}\n"))
    study = open_study(folder)
    for draw in (mosaics.samples, mosaics.reconstructions, paths.interpolations):
        figure = draw(study).figure
        figure.draw_without_rendering()
        [*names] = (text for text in figure.findobj(Text) if text.get_text() == long)
        assert names
        extents = [name.get_window_extent() for name in names]
        assert all(extent.x0 >= 0 and extent.x1 <= figure.bbox.x1 for extent in extents)
        assert all(extent.width <= 0.36 * figure.bbox.width for extent in extents)


def words_of(drawing) -> set[str]:
    return {text.get_text() for text in drawing.figure.findobj(Text)}
