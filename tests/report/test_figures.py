"""What holds for the figures of all chapters: colors, sizes, notes on what is missing."""

from __future__ import annotations

import base64
import io
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
from matplotlib.figure import Figure
from matplotlib.text import Text
from PIL import Image

from latentbench import open_study
from latentbench.report import dataset
from latentbench.report.comparison import classes, discriminators, memorization
from latentbench.report.comparison import curves as metrics
from latentbench.report.latent import (
    interpolation,
    perturbation,
    projections,
    reconstruction,
    sample_grids,
)
from latentbench.report.presentation import image_grids
from latentbench.report.presentation.style import (
    COLORS,
    TALLEST,
    WIDTH,
    color_of,
    dashes_of,
    image_bytes,
    marker_of,
    pages,
    to_svg,
    with_smaller_images,
)
from latentbench.report.training import curves, evolution
from tests.report.conftest import CONDITIONAL, MANY, figures_of, give_datasets, write_pictures

ROOT = Path(__file__).parents[2]

HISTORIES = (curves.loss_curves, curves.split_curves, curves.gradient_curves)
FIGURES = (
    *HISTORIES,
    curves.iteration_curves,
    evolution.samples_by_epoch,
    evolution.reconstructions_by_epoch,
    metrics.metric_curves,
    metrics.sample_size_curves,
    memorization.closest_pairs,
    classes.samples_by_class,
    discriminators.score_histograms,
    discriminators.judged_images,
    sample_grids.samples,
    sample_grids.reconstructions,
    reconstruction.best_and_worst,
    reconstruction.inversion_curves,
    interpolation.interpolations,
    perturbation.truncated,
    perturbation.means,
    perturbation.scaled,
    perturbation.noise_around_mean,
    perturbation.noise_around_labels,
    perturbation.random_embeddings,
    perturbation.walks,
    projections.usage,
    dataset.samples,
)


def test_tiles_stand_at_their_places_with_transparent_gaps():
    images = np.arange(6, dtype=np.uint8)[:, None, None, None] * np.ones((1, 4, 4, 1), np.uint8)
    grid = image_grids.tile(images, 3)
    assert grid.shape == (9, 14, 4)
    assert (grid[:4, :4, :3] == 0).all()
    assert (grid[5:, 10:, :3] == 5).all()
    assert (grid[4, :, 3] == 0).all()
    assert (grid[:4, 4, 3] == 0).all()


def test_color_images_keep_their_channels():
    images = np.zeros((2, 4, 4, 3), np.uint8)
    images[1, ..., 2] = 255
    assert (image_grids.tile(images, 2)[0, 5] == [0, 0, 255, 255]).all()


def decoded(svg: str, kind: str) -> np.ndarray:
    """Return the pixels of the only image of a kind in an SVG."""
    (content,) = re.findall(f"data:image/{kind};base64,([\\w+/=]+)", svg)
    with Image.open(io.BytesIO(base64.b64decode(content))) as image:
        return np.asarray(image.convert("RGBA")).astype(int)


def test_smaller_images_differ_by_a_few_levels():
    smooth = np.linspace(0, 150, 64)[:, None, None] + np.linspace(0, 90, 64)[:, None]
    noise = np.random.default_rng(0).normal(0, 4, (6, 64, 64, 3))
    grid = image_grids.tile((smooth + noise).clip(0, 255).astype(np.uint8), 3)
    figure = Figure(figsize=(3, 2))
    image_grids.draw(figure, grid, (0, 0, 3, 2))
    exact = to_svg(figure)
    smaller = with_smaller_images(exact)
    assert image_bytes(exact) > 3 * len("".join(re.findall('avif;base64,([^"]+)', smaller)))
    before, after = decoded(exact, "webp"), decoded(smaller, "avif")
    visible = before[..., 3] > 0
    errors = abs(after - before)[visible]
    assert errors[:, :3].mean() < 4
    assert np.quantile(errors[:, :3], 0.99) < 16
    assert errors[:, 3].max() <= 8
    assert after[~visible][:, 3].max() <= 8


@pytest.mark.parametrize("channels", [1, 3])
def test_images_on_the_page_keep_their_pixels_in_the_bytes_of_a_lossless_webp(channels):
    smooth = np.linspace(0, 150, 64)[:, None, None] + np.linspace(0, 90, 64)[:, None]
    noise = np.random.default_rng(0).integers(0, 8, (6, 64, 64, channels))
    grid = image_grids.tile((smooth + noise).astype(np.uint8), 3)
    figure = Figure(figsize=(3, 2))
    image_grids.draw(figure, grid, (0, 0, 3, 2))
    svg = to_svg(figure)
    shown = decoded(svg, "webp")
    visible = grid[..., 3] > 0
    assert (shown[..., 3] == grid[..., 3]).all()
    assert (shown[visible] == grid[visible]).all()
    # Three bits of noise per value; a PNG takes 1.8 and 2.3 bytes per pixel.
    assert image_bytes(svg) < (1.1 * channels) * 6 * 64 * 64 * 4 / 3


def test_pages_are_few_and_about_equally_full():
    assert pages([1.0] * 6, tallest=7.0) == [slice(0, 6)]
    assert pages([1.0] * 10, tallest=7.0) == [slice(0, 5), slice(5, 10)]
    assert pages([9.0, 1.0, 1.0], tallest=7.0) == [slice(0, 1), slice(1, 3)]
    assert pages([3.0, 3.0, 4.0], tallest=7.0) == [slice(0, 2), slice(2, 3)]


def test_models_have_the_same_color_in_every_figure(make_study):
    study = open_study(make_study())
    for draw in (
        metrics.metric_curves,
        *HISTORIES,
        sample_grids.samples,
        interpolation.interpolations,
    ):
        svg = to_svg(draw(study).figure)
        assert [color for color in COLORS if color in svg] == list(COLORS[:3])


def test_models_beyond_the_colors_differ_by_marker_and_dashes():
    number = 2 * len(COLORS)
    for other in (marker_of, dashes_of):
        assert len({(color_of(index), other(index)) for index in range(number)}) == number


def test_colors_start_anew_for_each_dataset(make_study):
    folder = make_study()
    give_datasets(folder, wgan_gp="others")
    assert [experiment.index for experiment in open_study(folder)] == [0, 1, 0]


def test_page_has_light_and_dark_colors_of_enough_contrast():
    """A line needs a contrast of 3:1 to the page; the palest is a little below in the light."""
    light, dark = (ROOT / "report" / "style.css").read_text().split("prefers-color-scheme: dark")
    papers = [re.findall(r"--paper: (#\w{6})", css)[0] for css in (light, dark)]
    inks = [dict(re.findall(r"(--model-\d+): (#\w{6})", css)) for css in (light, dark)]
    assert list(inks[0].values()) == list(COLORS)
    assert inks[1].keys() == inks[0].keys()
    for paper, colors, least in zip(papers, inks, (2.8, 4.5), strict=True):
        assert min(contrast(paper, color) for color in colors.values()) > least


def contrast(one: str, other: str) -> float:
    """Return the contrast ratio of WCAG 2."""
    high, low = sorted(map(luminance, (one, other)), reverse=True)
    return (high + 0.05) / (low + 0.05)


def luminance(color: str) -> float:
    values = np.array([int(color[place : place + 2], 16) / 255 for place in (1, 3, 5)])
    linear = np.where(values <= 0.04045, values / 12.92, ((values + 0.055) / 1.055) ** 2.4)
    return float(linear @ [0.2126, 0.7152, 0.0722])


@pytest.fixture
def many(make_study):
    """Return a study of many models with their pictures."""
    folder = make_study(MANY)
    for name in MANY:
        write_pictures(folder / name, [1, 2, 4], columns=12 if name.startswith(CONDITIONAL) else 8)
    return open_study(folder)


@pytest.mark.slow
def test_figures_of_many_models_fit_on_pages(many):
    """Figures are set 166 mm wide on paper, which makes 5.5 points of 6.1."""
    for draw in FIGURES:
        for figure in figures_of(draw(many)):
            width, height = figure.get_size_inches()
            assert width == WIDTH
            assert height <= TALLEST + 0.1, draw
            sizes = [text.get_fontsize() for text in figure.findobj(Text) if text.get_text()]
            assert min(sizes) >= 6.1, draw


def test_continued_figures_show_every_model_once(many):
    for draw in (evolution.samples_by_epoch, perturbation.truncated, curves.loss_curves):
        drawing = draw(many)
        titles = []
        for figure in figures_of(drawing):
            titles += [text.get_text() for text in figure.findobj(Text)]
        assert len(drawing.continued) >= 1
        assert [title for title in titles if title in MANY] == list(MANY)


def test_figures_are_reproducible_and_link_to_nothing(make_study):
    study = open_study(make_study())
    for draw in (metrics.metric_curves, sample_grids.reconstructions):
        svg = to_svg(draw(study).figure)
        assert svg == to_svg(draw(study).figure)
        links = re.findall(r'href="([^"]*)"', svg)
        assert all(link.startswith(("#", "data:")) for link in links)
        assert not re.search(r'(?<!xmlns=")(?<!xlink=")https?://', svg)


@pytest.mark.parametrize(
    ("draw", "file"),
    [
        (metrics.metric_curves, "metrics.csv"),
        (curves.loss_curves, "history.csv"),
        (curves.split_curves, "history.csv"),
        (curves.gradient_curves, "history.csv"),
        (sample_grids.samples, "latent/arrays.npz"),
        (sample_grids.reconstructions, "latent/arrays.npz"),
        (interpolation.interpolations, "latent/arrays.npz"),
    ],
)
def test_missing_files_are_named_and_the_rest_drawn(make_study, draw, file):
    folder = make_study()
    (folder / "dcgan" / file).unlink()
    partly = draw(open_study(folder))
    [note] = partly.notes
    assert "dcgan" in note
    assert file in note
    assert "vae" not in note
    assert "dcgan" not in to_svg(partly.figure)
    for path in folder.glob(f"*/{file}"):
        path.unlink()
    without = draw(open_study(folder))
    assert without.figure is None
    assert all(name in without.notes[0] for name in ("vae", "dcgan", "wgan-gp", file))


def test_experiments_without_results_are_named(make_study):
    folder = make_study()
    shutil.rmtree(folder / "vae")
    study = open_study(folder)
    for draw in (metrics.metric_curves, curves.loss_curves, sample_grids.samples):
        assert any("vae" in note for note in draw(study).notes)


def test_one_experiment_in_color(make_study):
    study = open_study(make_study({"vae": (12.0, None)}, channels=3))
    for draw in (
        metrics.metric_curves,
        curves.loss_curves,
        sample_grids.samples,
        interpolation.interpolations,
    ):
        assert to_svg(draw(study).figure).startswith("<svg")


def test_long_names_fit_next_to_their_images(make_study):
    folder = make_study()
    long = "a-conditional-dcgan-with-a-name-as-long-as-this"
    (folder / "vae").rename(folder / long)
    for path in (folder / "study.yaml", folder / long / "config.yaml"):
        path.write_text(path.read_text().replace("vae\n", f"{long}\n"))
    study = open_study(folder)
    for draw in (sample_grids.samples, sample_grids.reconstructions, interpolation.interpolations):
        figure = draw(study).figure
        figure.draw_without_rendering()
        names = [text for text in figure.findobj(Text) if text.get_text() == long]
        assert names
        for extent in (name.get_window_extent() for name in names):
            assert extent.x0 >= 0
            assert extent.x1 <= figure.bbox.x1
            assert extent.width <= 0.36 * figure.bbox.width
