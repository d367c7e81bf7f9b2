"""Curves of metrics, losses and gradients: what is drawn, named and left out."""

from __future__ import annotations

import math
from itertools import pairwise

import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure
from matplotlib.text import Annotation

from latentbench import open_study
from latentbench.artifacts.files import read_csv, write_csv
from latentbench.artifacts.paths import ITERATIONS
from latentbench.report.comparison import captions
from latentbench.report.comparison.curves import metric_curves, sample_size_curves
from latentbench.report.presentation import line_plots
from latentbench.report.training import noise_levels
from latentbench.report.training.curves import (
    augmentation_curves,
    gradient_curves,
    iteration_curves,
    loss_curves,
    split_curves,
    thin,
)
from tests.report.conftest import MANY, change, make_repeats, words_of, write_iterations


def labels_of(axes) -> list[Annotation]:
    return [text for text in axes.texts if isinstance(text, Annotation)]


def test_axes_are_logarithmic_over_orders_of_magnitude():
    def scale(values, **more) -> str:
        axes = Figure().subplots()
        line_plots.scale_y(axes, values, **more)
        return axes.get_yscale()

    assert scale([1.0, 5.0]) == scale([-600.0, 200.0]) == scale([0.0, 1.0]) == scale([]) == "linear"
    assert scale([1.0, 50.0]) == scale([1.0, 50.0], estimates=True) == "log"
    assert scale([-0.001, 0.02, 1.0], estimates=True) == scale([0.0, 1.0], estimates=True)
    assert scale([0.0, 1.0], estimates=True) == "symlog"
    assert scale([-0.5, 1.0], estimates=True) == scale([0.0, 0.0], estimates=True) == "linear"


def test_labels_are_moved_apart_as_little_as_needed():
    assert list(line_plots.spread_apart([0.0, 1.0], 0.1)) == pytest.approx([0.0, 1.0])
    assert list(line_plots.spread_apart([0.5] * 3, 0.1)) == pytest.approx([0.4, 0.5, 0.6])
    moved = line_plots.spread_apart([0.9, 0.1, 0.12, 0.5], 0.1)
    assert list(moved) == pytest.approx([0.9, 0.06, 0.16, 0.5])


def test_each_figure_of_history_draws_its_own_columns(make_study):
    study = open_study(make_study())
    drawings = (loss_curves(study), split_curves(study), gradient_curves(study))
    losses, splits, gradients = map(words_of, drawings)
    assert {"reconstruction", "kl", "discriminator", "critic", "gradient penalty"} <= losses
    assert {"bits per dimension", "accuracy", "Wasserstein"} <= splits
    assert {"training", "test", "generated"} <= splits
    assert {"all weights", "generator", "critic"} <= gradients
    assert not losses & {"accuracy real", "accuracy", "gradient", "mse"}
    assert "MSE" not in splits  # a VAE shows its bound


def test_line_that_ends_early_is_labeled(make_study):
    folder = make_study()
    history = folder / "dcgan" / "history.csv"
    *rows, last = history.read_text().splitlines()
    history.write_text("\n".join([*rows, last.rpartition(",")[0] + ","]) + "\n")
    assert "generated" in words_of(split_curves(open_study(folder)))


def test_errors_are_scaled_to_pixels_from_zero_to_one(make_study):
    folder = make_study({"vae": (12.0, None)})
    path = folder / "vae" / "history.csv"
    rows = pd.read_csv(path)
    rows = rows.drop(columns=[column for column in rows if "bits" in column])
    rows.assign(test_mse=0.4).to_csv(path, index=False)
    [axes] = split_curves(open_study(folder)).figure.axes
    assert axes.get_ylabel() == "MSE"
    assert axes.lines[1].get_ydata() == pytest.approx([0.1] * len(rows))


def test_adaptive_augmentation_is_no_loss(make_study):
    folder = make_study()
    path = folder / "dcgan" / "history.csv"
    rows = pd.read_csv(path).assign(augment_probability=0.3)
    rows.to_csv(path, index=False)
    study = open_study(folder)
    [axes] = augmentation_curves(study).figure.axes
    assert "dcgan" in words_of(augmentation_curves(study))
    assert axes.lines[0].get_ydata() == pytest.approx([0.3] * len(rows))
    assert "augment probability" not in words_of(loss_curves(study))


def test_accuracies_end_at_one(make_study):
    folder = make_study({"dcgan": (12.0, None)})
    path = folder / "dcgan" / "history.csv"
    rows = [row | {"test_accuracy_fake": "1.0"} for row in read_csv(path)]
    write_csv(path, rows, columns=list(rows[0]))
    [axes] = split_curves(open_study(folder)).figure.axes
    assert axes.get_ylim()[1] == 1.0


def test_iterations_are_drawn_with_their_running_mean(make_study):
    study = open_study(make_study())
    axes = dict(zip(("vae", "dcgan", "wgan-gp"), iteration_curves(study).figure.axes, strict=True))
    terms = {text.get_text() for text in axes["wgan-gp"].texts}
    assert terms == {"critic", "wasserstein", "gradient penalty", "generator"}
    assert {text.get_text() for text in axes["dcgan"].texts} == {"discriminator", "generator"}
    points, means = axes["vae"].lines[:2]
    assert points.get_xdata().tolist() == means.get_xdata().tolist() == list(range(5, 301, 5))
    assert means.get_ydata()[30] == pytest.approx(points.get_ydata()[28:33].mean())


def test_running_mean_skips_missing_values(make_study):
    """The generator has no loss at the first step."""
    study = open_study(make_study({"dcgan": (12.0, None)}))
    points, means = iteration_curves(study).figure.axes[0].lines[2:4]
    assert math.isnan(points.get_ydata()[0])
    assert means.get_ydata()[0] == pytest.approx(points.get_ydata()[1:3].mean())


def test_experiments_with_too_few_iterations_are_named(make_study):
    folder = make_study()
    for name, number in (("vae", 1), ("dcgan", 0)):
        write_iterations(folder / name, number)
    drawing = iteration_curves(open_study(folder))
    assert len(drawing.figure.axes) == 1
    [note] = drawing.notes
    assert all(part in note for part in ("vae, dcgan", ITERATIONS, "training.log_every"))


def test_many_points_are_thinned_to_means():
    lines = pd.DataFrame({"step": np.arange(10), "loss": np.arange(10.0)}).set_index("step")
    assert thin(lines, 10)["loss"].tolist() == lines["loss"].tolist()
    assert thin(lines, 5)["loss"].tolist() == [0.5, 2.5, 4.5, 6.5, 8.5]
    assert thin(lines, 3).index.tolist() == [1.5, 5.5, 8.5]
    lines.loc[[0, 4, 5, 6, 7]] = math.nan
    assert thin(lines, 3)["loss"].tolist() == pytest.approx([2.0, math.nan, 8.5], nan_ok=True)


def test_metrics_are_drawn_without_history(make_study):
    folder = make_study()
    for path in folder.glob("*/history.csv"):
        path.unlink()
    assert metric_curves(open_study(folder)).figure is not None


def test_repeats_are_drawn_as_one_line(make_study):
    folder = make_study()
    make_repeats(folder, "dcgan", "wgan-gp")
    study = open_study(folder)
    words = words_of(metric_curves(study))
    assert {"vae", "dcgan (2\N{NO-BREAK SPACE}seeds)", "real images"} <= words
    assert "wgan-gp" not in words
    _, repeats = study.run_groups()
    checkpoints = study.checkpoints(repeats, "fd_classifier")
    assert checkpoints["epoch"].tolist() == [1, 2, 4]
    last = checkpoints.iloc[-1]
    assert last["mean"] == pytest.approx(16.0)
    assert last["std"] == pytest.approx(4 * 2**0.5)
    assert last["seconds"] == pytest.approx(100.0)


def test_leaders_end_at_their_names_and_do_not_cross(make_study):
    scores = {name: (20.0 + place / 100, 0.1) for place, name in enumerate(MANY)}
    axes = metric_curves(open_study(make_study(scores))).figure.axes[0]
    labels = sorted(labels_of(axes), key=lambda label: label.xy[1])
    assert len(labels) >= len(MANY)
    assert all(low.xyann[1] < high.xyann[1] for low, high in pairwise(labels))
    for label in labels:
        assert label.xy[0] == 1.0
        assert label.arrow_patch.get_visible()
        assert label._arrow_relpos == (0, 0.5)


def test_names_stand_at_the_curves_over_epochs(make_study):
    by_epoch, by_time, *_ = metric_curves(open_study(make_study())).figure.axes
    names = {label.get_text() for label in labels_of(by_epoch)}
    assert names >= {"vae", "dcgan", "wgan-gp"}
    assert labels_of(by_time) == []


def test_distances_far_below_all_curves_are_printed(make_study):
    folder = make_study()
    near = metric_curves(open_study(folder)).figure.axes[0]
    assert near.get_ylim()[0] < 1.5
    assert "real images" in {label.get_text() for label in labels_of(near)}
    bands = sorted((band.get_y(), band.get_height()) for band in near.patches)
    assert bands == [pytest.approx((0.6, 0.2)), pytest.approx((1.3, 0.4))]
    for path in folder.glob("*/metrics.json"):
        halves = {"fd_classifier": -0.002, "num_images": 5000}
        scores = {"fd_classifier": 1e-4, "fd_classifier_std": 2e-5}
        change(path, test_scores=scores, train_halves=halves)
    far = metric_curves(open_study(folder)).figure.axes[0]
    assert far.get_ylim()[0] > 1.5
    [printed] = [text.get_text() for text in far.texts if "real images" in text.get_text()]
    assert all(number in printed for number in ("0.00010 ± 0.00002", "−0.00200"))


def test_sample_sizes_extrapolate_to_infinity(make_study):
    folder = make_study()
    drawing = sample_size_curves(open_study(folder))
    assert {"FD (classifier)", "vae", "dcgan"} <= words_of(drawing)
    ticks = [text.get_text() for text in drawing.figure.axes[0].get_xticklabels()]
    assert ticks == ["∞", "5,000", "2,500", "1,250"]
    # Points, a line and a leader to the name.
    assert len(drawing.figure.axes[0].lines) == 3 * len(open_study(folder).members)
    # Without a line, the points remain.
    sizes = {"num_samples": [250, 1000], "distances": [9.0, 8.0]}
    for path in folder.glob("*/metrics.json"):
        few = sizes | {"fitted_from": 3072, "infinite": None}
        change(path, sample_sizes={"fd_classifier": few})
    study = open_study(folder)
    assert len(sample_size_curves(study).figure.axes[0].lines) == 2 * len(study.members)
    assert "3,072" in captions.sample_sizes(study)
    for path in folder.glob("*/metrics.json"):
        change(path, sample_sizes=None)
    assert "four" not in captions.sample_sizes(open_study(folder))
    assert sample_size_curves(open_study(folder)).figure is None


def test_losses_of_diffusion_by_time(make_study):
    study = open_study(make_study({"vae": (12.0, 0.1), "diffusion": (9.0, 0.1)}))
    losses = study.interval_losses
    assert set(losses["experiment"]) == {"diffusion"}
    assert set(losses["split"]) == {"train", "test"}
    last = losses.query("epoch == 4 and split == 'test'").set_index(["start", "end"])["loss"]
    history = study.history.query("experiment == 'diffusion' and epoch == 4").iloc[0]
    assert last[0, 0.25] == history["test_loss_0_25"]
    assert last[0.25, 0.5] == history["test_loss_25_50"]
    words = words_of(noise_levels.curves(study))
    assert {"diffusion", "0 to 0.25", "0.25 to 0.5", "epoch 1", "epoch 4", "time t"} <= words
    assert "vae" not in words
    assert {"loss", "training", "test"} <= words_of(split_curves(study))


def test_losses_by_time_need_diffusion_but_no_exploration(make_study):
    folder = make_study({"vae": (12.0, 0.1), "diffusion": (9.0, 0.1)})
    (folder / "diffusion" / "latent" / "explore.json").unlink()
    assert noise_levels.curves(open_study(folder)).figure is not None
    study = open_study(make_study({"vae": (12.0, 0.1)}))
    assert noise_levels.curves(study).figure is None
    assert study.interval_losses.empty
