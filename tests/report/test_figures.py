"""Curves and mosaics: what is drawn, what is said where nothing can be."""

from __future__ import annotations

import re
import shutil
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from matplotlib.figure import Figure
from matplotlib.text import Annotation, Text

from latentbench.artifacts.files import read_csv, write_csv
from latentbench.report import dataset
from latentbench.report.comparison import classes, discriminators, memorization
from latentbench.report.latent import (
    interpolation,
    perturbation,
    projections,
    reconstruction,
    sample_grids,
)
from latentbench.report.presentation import image_grids, line_plots
from latentbench.report.presentation.style import (
    COLORS,
    TALLEST,
    WIDTH,
    color_of,
    dashes_of,
    marker_of,
    pages,
    to_svg,
)
from latentbench.report.training import curves, evolution
from latentbench.results.study import open_study
from tests.report.conftest import (
    CONDITIONAL,
    MANY,
    change,
    figures_of,
    give_datasets,
    make_repeats,
    words_of,
    write_pictures,
)

ROOT = Path(__file__).parents[2]

HISTORIES = (curves.loss_curves, curves.split_curves, curves.gradient_curves)


def test_an_axis_is_logarithmic_where_values_span_orders_of_magnitude():
    def scale(values, **more) -> str:
        axes = Figure().subplots()
        line_plots.scale_y(axes, values, **more)
        return axes.get_yscale()

    assert scale([1.0, 5.0]) == scale([-600.0, 200.0]) == scale([0.0, 1.0]) == scale([]) == "linear"
    assert scale([1.0, 50.0]) == scale([1.0, 50.0], estimates=True) == "log"
    assert (
        scale([-0.001, 0.02, 1.0], estimates=True) == scale([0.0, 1.0], estimates=True) == "symlog"
    )
    assert scale([-0.5, 1.0], estimates=True) == scale([0.0, 0.0], estimates=True) == "linear"


def test_labels_are_moved_apart_as_little_as_needed():
    assert line_plots.spread_apart([0.0, 1.0], 0.1) == [0.0, 1.0]
    assert line_plots.spread_apart([0.5, 0.5, 0.5], 0.1) == pytest.approx([0.4, 0.5, 0.6])
    moved = line_plots.spread_apart([0.9, 0.1, 0.12, 0.5], 0.1)
    assert moved == pytest.approx([0.9, 0.06, 0.16, 0.5])


def test_tiles_stand_where_they_belong_and_gaps_are_transparent():
    images = np.arange(6, dtype=np.uint8)[:, None, None, None] * np.ones((1, 4, 4, 1), np.uint8)
    image_grid = image_grids.tile(images, 3)
    assert image_grid.shape == (9, 14, 4)
    assert (image_grid[:4, :4, :3] == 0).all()
    assert (image_grid[5:, 10:, :3] == 5).all()
    assert (image_grid[4, :, 3] == 0).all()
    assert (image_grid[:4, 4, 3] == 0).all()


def test_color_images_keep_their_channels():
    images = np.zeros((2, 4, 4, 3), np.uint8)
    images[1, ..., 2] = 255
    assert (image_grids.tile(images, 2)[0, 5] == [0, 0, 255, 255]).all()


def test_a_model_keeps_its_color_in_every_figure(make_study):
    study = open_study(make_study())
    drawings = (
        curves.metric_curves,
        *HISTORIES,
        sample_grids.samples,
        interpolation.interpolations,
    )
    for draw in drawings:
        svg = to_svg(draw(study).figure)
        assert [color for color in COLORS if color in svg] == list(COLORS[:3])


def test_more_models_than_colors_differ_by_marker_and_dashes():
    for other in (marker_of, dashes_of):
        assert len(
            {(color_of(index), other(index)) for index in range(2 * len(COLORS))}
        ) == 2 * len(COLORS)


def test_the_page_has_each_color_by_day_and_another_by_night():
    """A line needs a contrast of 3:1 to what it is drawn on; the palest falls a little short of it by day."""
    day, night = (ROOT / "report" / "style.css").read_text().split("prefers-color-scheme: dark")
    papers = [re.findall(r"--paper: (#\w{6})", css)[0] for css in (day, night)]
    inks = [dict(re.findall(r"(--model-\d+): (#\w{6})", css)) for css in (day, night)]
    assert list(inks[0].values()) == list(COLORS)
    assert inks[1].keys() == inks[0].keys()
    for paper, colors, least in zip(papers, inks, (2.8, 4.5), strict=True):
        assert min(contrast(paper, color) for color in colors.values()) > least


def contrast(one: str, other: str) -> float:
    """Of the relative luminances, as WCAG 2 has it."""
    high, low = sorted(map(luminance, (one, other)), reverse=True)
    return (high + 0.05) / (low + 0.05)


def luminance(color: str) -> float:
    shares = np.array([int(color[place : place + 2], 16) / 255 for place in (1, 3, 5)])
    linear = np.where(shares <= 0.04045, shares / 12.92, ((shares + 0.055) / 1.055) ** 2.4)
    return float(linear @ [0.2126, 0.7152, 0.0722])


def test_colors_are_given_dataset_by_dataset(make_study):
    folder = make_study()
    give_datasets(folder, wgan_gp="others")
    assert {e.name: e.index for e in open_study(folder).experiments} == {
        "vae": 0,
        "dcgan": 1,
        "wgan-gp": 0,
    }


def test_pages_are_as_few_as_can_be_and_about_equally_full():
    assert pages([1.0] * 6, tallest=7.0) == [slice(0, 6)]
    assert pages([1.0] * 10, tallest=7.0) == [slice(0, 5), slice(5, 10)]
    assert pages([9.0, 1.0, 1.0], tallest=7.0) == [slice(0, 1), slice(1, 3)]
    assert pages([3.0, 3.0, 4.0], tallest=7.0) == [slice(0, 2), slice(2, 3)]


OF_MANY = (
    *(curves.metric_curves, curves.sample_size_curves, *HISTORIES),
    *(evolution.samples_by_epoch, evolution.reconstructions_by_epoch, evolution.iteration_curves),
    *(
        sample_grids.samples,
        sample_grids.reconstructions,
        reconstruction.best_and_worst,
        reconstruction.inversion_curves,
    ),
    *(
        interpolation.interpolations,
        perturbation.truncated,
        perturbation.means,
        perturbation.scaled,
    ),
    *(
        perturbation.noise_around_mean,
        perturbation.noise_around_labels,
        perturbation.random_embeddings,
    ),
    *(
        perturbation.walks,
        projections.usage,
        memorization.copies,
        classes.samples_by_class,
        discriminators.score_histograms,
    ),
)


@pytest.fixture
def many(make_study):
    """The results of many models, with their pictures."""
    folder = make_study(MANY)
    for name in MANY:
        write_pictures(folder / name, [1, 2, 4], columns=12 if name.startswith(CONDITIONAL) else 8)
    return open_study(folder)


@pytest.mark.slow
def test_of_many_models_no_figure_is_shrunk_to_fit_a_page(many):
    """Figures are set 166 mm wide on paper, which leaves 6.1 of 5.5 points."""
    for draw in (*OF_MANY, dataset.samples):
        drawing = draw(many)
        for figure in figures_of(drawing):
            assert figure.get_size_inches()[0] == WIDTH
            assert figure.get_size_inches()[1] <= TALLEST + 0.1, draw
            texts = [text for text in figure.findobj(Text) if text.get_text()]
            assert min(text.get_fontsize() for text in texts) >= 6.1, draw


def test_figures_together_show_every_model_once(many):
    for draw in (evolution.samples_by_epoch, perturbation.truncated, curves.loss_curves):
        drawing = draw(many)
        titles = [
            text.get_text()
            for figure in figures_of(drawing)
            for text in figure.findobj(Text)
            if text.get_text() in MANY
        ]
        assert len(drawing.continued) >= 1
        assert titles == [name for name in MANY if name in titles] == list(MANY)


def test_same_figure_same_bytes_and_nothing_to_fetch(make_study):
    study = open_study(make_study())
    for draw in (curves.metric_curves, sample_grids.reconstructions):
        svg = to_svg(draw(study).figure)
        assert svg == to_svg(draw(study).figure)
        links = re.findall(r'href="([^"]*)"', svg)
        assert all(link.startswith(("#", "data:")) for link in links)
        assert not re.search(r'(?<!xmlns=")(?<!xlink=")https?://', svg)


@pytest.mark.parametrize(
    ("draw", "pattern", "stage"),
    [
        (curves.metric_curves, "metrics.csv", "evaluate"),
        *((draw, "history.csv", "train") for draw in HISTORIES),
        (sample_grids.samples, "latent/arrays.npz", "explore"),
        (sample_grids.reconstructions, "latent/arrays.npz", "explore"),
        (interpolation.interpolations, "latent/arrays.npz", "explore"),
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
    assert without.notes == [
        f"There is no {pattern} of vae, dcgan and wgan-gp yet; `latentbench {stage}` writes it."
    ]


def test_experiment_whose_folder_is_gone_is_named_everywhere(make_study):
    folder = make_study()
    shutil.rmtree(folder / "vae")
    study = open_study(folder)
    for draw in (curves.metric_curves, curves.loss_curves, sample_grids.samples):
        assert any("of vae yet" in note for note in draw(study).notes)


def test_metrics_without_history_have_no_time_but_an_epoch(make_study):
    folder = make_study()
    for path in folder.glob("*/history.csv"):
        path.unlink()
    assert curves.metric_curves(open_study(folder)).figure is not None


def test_one_color_experiment_is_drawn(make_study):
    study = open_study(make_study({"vae": (12.0, None)}, channels=3))
    for draw in (
        curves.metric_curves,
        curves.loss_curves,
        sample_grids.samples,
        interpolation.interpolations,
    ):
        assert to_svg(draw(study).figure).startswith("<svg")


def test_loss_term_that_ends_early_is_labeled_where_it_ends(make_study):
    folder = make_study()
    history = folder / "dcgan" / "history.csv"
    *rows, last = history.read_text().splitlines()
    history.write_text("\n".join([*rows, last.rpartition(",")[0] + ","]) + "\n")
    assert "generated" in words_of(curves.split_curves(open_study(folder)))


def test_each_history_draws_its_own_columns(make_study):
    study = open_study(make_study())
    losses, splits, gradients = (words_of(draw(study)) for draw in HISTORIES)
    assert {"reconstruction", "kl", "discriminator", "critic", "gradient penalty"} <= losses
    assert {
        "bits per dimension",
        "accuracy",
        "Wasserstein",
        "training",
        "test",
        "generated",
    } <= splits
    assert {"all weights", "generator", "critic"} <= gradients
    assert not losses & {"accuracy real", "accuracy", "gradient", "mse"}
    assert "MSE" not in splits  # of a VAE the bound is shown


def test_sample_sizes_run_to_infinity(make_study):
    folder = make_study()
    assert {"FD (classifier)", "vae", "dcgan", "∞", "5,000", "1,250"} <= words_of(
        curves.sample_size_curves(open_study(folder))
    )
    for path in folder.glob("*/metrics.json"):
        path.write_text(path.read_text().replace("sample_sizes", "other"))
    assert curves.sample_size_curves(open_study(folder)).figure is None


def test_repeats_are_drawn_as_one_line(make_study):
    folder = make_study()
    make_repeats(folder, "dcgan", "wgan-gp")
    study = open_study(folder)
    assert {"vae", "dcgan (2\N{NO-BREAK SPACE}seeds)", "real images"} <= words_of(
        curves.metric_curves(study)
    )
    assert "wgan-gp" not in words_of(curves.metric_curves(study))
    _, repeats = study.run_groups(study.experiments)
    assert [checkpoint.epoch for checkpoint in repeats.checkpoints] == [1, 2, 4]
    assert repeats.checkpoints[-1].scores["fd_classifier"].mean == pytest.approx(16.0)
    assert repeats.checkpoints[-1].scores["fd_classifier"].std == pytest.approx(4 * 2**0.5)
    assert repeats.checkpoints[-1].seconds == pytest.approx(100.0)


def test_long_names_fit_beside_and_over_their_images(make_study):
    folder = make_study()
    long = "a-conditional-dcgan-with-a-name-as-long-as-this"
    (folder / "vae").rename(folder / long)
    for path in (folder / "study.yaml", folder / long / "config.yaml"):
        path.write_text(path.read_text().replace("vae\n", f"{long}\n"))
    study = open_study(folder)
    for draw in (sample_grids.samples, sample_grids.reconstructions, interpolation.interpolations):
        figure = draw(study).figure
        figure.draw_without_rendering()
        [*names] = (text for text in figure.findobj(Text) if text.get_text() == long)
        assert names
        extents = [name.get_window_extent() for name in names]
        assert all(extent.x0 >= 0 and extent.x1 <= figure.bbox.x1 for extent in extents)
        assert all(extent.width <= 0.36 * figure.bbox.width for extent in extents)


def ends_of(axes) -> list[Annotation]:
    return [text for text in axes.texts if isinstance(text, Annotation)]


def test_leaders_end_at_the_left_of_their_names_and_do_not_cross(make_study):
    scores = {name: (20.0 + place / 100, 0.1) for place, name in enumerate(MANY)}
    axes = curves.metric_curves(open_study(make_study(scores))).figure.axes[0]
    ends = sorted(ends_of(axes), key=lambda end: end.xy[1])
    assert len(ends) >= len(MANY)
    assert all(low.xyann[1] < high.xyann[1] for low, high in pairwise(ends))
    assert {end.xy[0] for end in ends} == {1.0}
    assert {end.arrow_patch.get_visible() for end in ends} == {True}
    assert {end._arrow_relpos for end in ends} == {(0, 0.5)}


def test_names_stand_where_curves_end_together(make_study):
    by_epoch, by_time, *_ = curves.metric_curves(open_study(make_study())).figure.axes
    assert {end.get_text() for end in ends_of(by_epoch)} >= {"vae", "dcgan", "wgan-gp"}
    assert ends_of(by_time) == []


def test_a_floor_far_below_all_curves_is_written_at_the_lower_edge(make_study):
    folder = make_study()
    near = curves.metric_curves(open_study(folder)).figure.axes[0]
    assert near.get_ylim()[0] < 1.5
    assert "real images" in {end.get_text() for end in ends_of(near)}
    for path in folder.glob("*/metrics.json"):
        change(
            path,
            test_scores={"fd_classifier": 1e-4},
            train_halves={"fd_classifier": -0.002, "num_images": 5000},
        )
    far = curves.metric_curves(open_study(folder)).figure.axes[0]
    assert far.get_ylim()[0] > 1.5
    written = {text.get_text().replace("\N{NO-BREAK SPACE}", " ") for text in far.texts}
    assert "↓ real images 0.000100, two halves −0.00200" in written


def test_errors_while_training_are_drawn_of_pixels_from_zero_to_one(make_study):
    folder = make_study({"vae": (12.0, None)})
    path = folder / "vae" / "history.csv"
    rows = read_csv(path)
    kept = [
        {key: value for key, value in row.items() if "bits" not in key} | {"test_mse": "0.4"}
        for row in rows
    ]
    write_csv(path, kept, columns=list(kept[0]))
    [axes] = curves.split_curves(open_study(folder)).figure.axes
    assert axes.get_ylabel() == "MSE"
    assert axes.lines[1].get_ydata() == pytest.approx([0.1] * len(rows))


def test_fractions_end_at_one(make_study):
    folder = make_study({"dcgan": (12.0, None)})
    path = folder / "dcgan" / "history.csv"
    rows = [row | {"test_accuracy_fake": "1.0"} for row in read_csv(path)]
    write_csv(path, rows, columns=list(rows[0]))
    [axes] = curves.split_curves(open_study(folder)).figure.axes
    assert axes.get_ylim()[1] == 1.0


def test_what_both_splits_tell_is_said_of_the_kinds_that_there_are(make_study):
    everyone = curves.split_caption(open_study(make_study()))
    for words in ("discriminator", "critic", "VAE", "generated images (dotted)", "up to 1,000"):
        assert words in everyone
    assert "autoencoder" not in everyone
    alone = curves.split_caption(open_study(make_study({"wgan-gp": (12.0, None)})))
    assert "critic" in alone
    assert not {"VAE", "discriminator", "generated"} & set(re.findall(r"\w+", alone))
    folder = make_study()
    for path in folder.glob("*/history.csv"):
        path.unlink()
    assert curves.split_caption(open_study(folder)) == ""


def test_numbers_of_samples_are_halved_from_tick_to_tick(make_study):
    axes = curves.sample_size_curves(open_study(make_study())).figure.axes[0]
    assert [text.get_text() for text in axes.get_xticklabels()] == ["∞", "5,000", "2,500", "1,250"]
