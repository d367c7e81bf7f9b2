"""Figures, tables and sentences of the latent space chapter."""

from __future__ import annotations

import numpy as np
import pytest

from latentbench import open_study
from latentbench.artifacts.files import read_arrays, write_arrays
from latentbench.artifacts.paths import LATENT_ARRAYS, LATENT_FACTS
from latentbench.errors import ArtifactError
from latentbench.report.latent import (
    attributes,
    denoising,
    interactive,
    interpolation,
    perturbation,
    projections,
    reconstruction,
    sample_grids,
)
from latentbench.results import RunGroup, latent_space
from latentbench.results.formatting import NBSP
from latentbench.results.quantities import MSE, SECONDS
from latentbench.results.ranking import competing, rank
from latentbench.results.tables import summary
from tests.report.conftest import SIX, assert_on_the_page, change, give_datasets, words_of
from tests.report.synthetic_results import CLASSES
from tests.report.test_tables import column

MODEL_FIGURES = (
    sample_grids.samples,
    sample_grids.reconstructions,
    interpolation.interpolations,
    reconstruction.best_and_worst,
    perturbation.truncated,
    perturbation.means,
    perturbation.scaled,
    perturbation.noise_around_mean,
)
ENCODER_FIGURES = (
    projections.maps,
    projections.usage,
    perturbation.walks,
    attributes.walk_curves,
)
CONDITIONAL_FIGURES = (perturbation.noise_around_labels, perturbation.random_embeddings)
GAN_FIGURES = (reconstruction.inversion_curves,)
FIGURES = (*MODEL_FIGURES, *ENCODER_FIGURES, *CONDITIONAL_FIGURES, *GAN_FIGURES)


def change_arrays(folder, **arrays) -> None:
    """Replace arrays of an experiment; None removes one."""
    changed = read_arrays(folder / LATENT_ARRAYS) | arrays
    kept = {name: array for name, array in changed.items() if array is not None}
    write_arrays(folder / LATENT_ARRAYS, kept)


def plain(texts) -> set[str]:
    """Return texts with ordinary spaces."""
    return {text.replace(NBSP, " ") for text in texts}


def test_figures_of_six_color_models(make_study):
    study = open_study(make_study(SIX, channels=3))
    for draw in FIGURES:
        drawing = draw(study)
        assert list(drawing.notes) == [], draw.__name__
        assert_on_the_page(drawing.figure)


@pytest.mark.parametrize(
    ("name", "own"),
    [("conditional-vae", ENCODER_FIGURES), ("conditional-dcgan", GAN_FIGURES)],
)
def test_single_model_has_the_figures_of_its_kind(make_study, name, own):
    study = open_study(make_study({name: (12.0, None)}))
    for draw in FIGURES:
        drawing = draw(study)
        expected = draw in MODEL_FIGURES + CONDITIONAL_FIGURES + own
        assert (drawing.figure is not None) == expected, draw.__name__
        assert list(drawing.notes) == []


def test_data_without_classes(make_study):
    study = open_study(make_study(classes=[]))
    for draw in FIGURES:
        drawing = draw(study)
        assert (drawing.figure is not None) == (draw not in CONDITIONAL_FIGURES), draw.__name__
        if drawing.figure is not None:
            assert not words_of(drawing) & set(CLASSES)


def test_note_names_models_that_were_not_explored(make_study):
    folder = make_study(SIX)
    for name in ("conditional-vae", "conditional-dcgan"):
        (folder / name / LATENT_ARRAYS).unlink()
    study = open_study(folder)
    for draw in FIGURES:
        [note] = draw(study).notes
        assert "conditional-vae, conditional-dcgan" in note, draw.__name__
        assert LATENT_ARRAYS in note
        assert "wgan-gp" not in note


def test_no_figure_without_its_arrays(make_study):
    folder = make_study()
    for path in folder.glob(f"*/{LATENT_ARRAYS}"):
        write_arrays(path, {"another": np.zeros(1)})
    study = open_study(folder)
    for draw in FIGURES:
        assert draw(study).figure is None, draw.__name__


def test_damaged_arrays(make_study):
    folder = make_study({"vae": (12.0, None)})
    (folder / "vae" / LATENT_ARRAYS).write_bytes(b"damaged")
    for draw in FIGURES:
        with pytest.raises(ArtifactError, match=r"vae/latent/arrays\.npz"):
            draw(open_study(folder))


def test_labels_of_rows_and_columns(make_study):
    study = open_study(make_study(SIX))
    assert {"plain", "τ = 2", "τ = 0.5"} <= words_of(perturbation.truncated(study))
    assert {"real", "t = 0", "1.25"} <= plain(words_of(perturbation.scaled(study)))
    assert {"σ = 0.1", "σ = 2", "automobile"} <= words_of(perturbation.noise_around_mean(study))
    assert {"zero", "automobile", "dcgan"} <= words_of(perturbation.means(study))
    walks = plain(words_of(perturbation.walks(study)))
    assert {"Smiling\n90 % (base 60 %)", "−3 σ", "0 σ", "+3 σ"} <= walks
    assert "Wearing Lipstick\n84 % (base 60 %)" in walks


def test_random_embeddings_have_their_nearest_label(make_study):
    folder = make_study({"conditional-dcgan": (12.0, None)})
    study = open_study(folder)
    labels = plain(words_of(perturbation.random_embeddings(study)))
    assert "near automobile (0.6)\n70 % seen as automobile" in labels
    sentence = perturbation.embedding_agreement(study)
    assert f"70{NBSP}%" in sentence
    assert "conditional-dcgan" in sentence
    change(folder / "conditional-dcgan" / LATENT_FACTS, embedding_agreement=None)
    assert perturbation.embedding_agreement(open_study(folder)) == ""


def test_models_with_one_mean_share_a_row(make_study):
    study = open_study(make_study({"dcgan": (1.0, None), "wgan-gp": (2.0, None)}))
    [axes] = perturbation.means(study).figure.axes
    assert {text.get_text() for text in axes.texts if text.get_text()} == {
        *("dcgan", "wgan-gp", "zero")
    }


def test_pairs_within_and_between_classes(make_study):
    words = words_of(interpolation.interpolations(open_study(make_study())))
    assert {"airplane to airplane", "deer to truck", "linear path", "spherical path"} <= words


def test_paths_without_classes_have_one_plot(make_study):
    study = open_study(make_study(classes=[]))
    words = words_of(interpolation.interpolations(study))
    assert "distance to\nnearest real" in words
    assert "probability\nof the class" not in words


def give_pairs(folder, ends, farthest, middle, mse=0.01) -> None:
    """Replace the facts of an experiment's paths: a number per pair, the same for both kinds."""
    pairs = []
    for numbers in zip(ends, farthest, middle, strict=True):
        path = {"farthest": numbers[1], "middle": numbers[2]}
        facts = {"from": "", "to": "", "mse": mse, "ends": numbers[0]}
        pairs.append(facts | {"linear": path, "spherical": path})
    change(folder / LATENT_FACTS, pairs=pairs)


def test_errors_of_paths_are_spread_over_pairs(make_study):
    folder = make_study()
    give_pairs(folder / "vae", ends=[1, 2, 3], farthest=[2, 2, 3.5], middle=[2, 1.5, 3])
    study = open_study(folder)
    table = interpolation.path_errors(study).markdown
    assert column(table, "MSE of ends")["vae"] == "0.0100 ± 0.0000"
    assert column(table, "Ends")["vae"] == "2.00 ± 1.00"
    assert column(table, "Linear: farthest")["vae"] == "2.50 ± 0.87"
    # The differences are 1, -0.5 and 0: their spread is not that of the two columns.
    assert column(table, "Spherical: middle")["vae"] == "+0.17 ± 0.76"
    give_pairs(folder / "vae", ends=[1], farthest=[2], middle=[0.5])
    table = interpolation.path_errors(open_study(folder)).markdown
    assert column(table, "Linear: middle")["vae"] == "\N{MINUS SIGN}0.50"


def test_paths_are_ranked_by_their_mean_over_pairs(make_study):
    folder = make_study()
    give_pairs(folder / "vae", ends=[0.1, 0.2], farthest=[0.5, 0.7], middle=[0.1, 0.2])
    study = open_study(folder)
    for quantity, mean in zip(latent_space.PATH_DISTANCES, (0.15, 0.6, 0.6), strict=True):
        best, *_ = rank(study, quantity, study.run_groups())
        assert (best.name, best.mean) == ("vae", pytest.approx(mean))


def test_pairs_of_repeats_are_averaged_over_trainings(make_study):
    folder = make_study({"dcgan": (12.0, None), "wgan-gp": (13.0, None)})
    give_pairs(folder / "dcgan", ends=[1, 2], farthest=[2, 4], middle=[2, 2])
    give_pairs(folder / "wgan-gp", ends=[3, 2], farthest=[4, 4], middle=[4, 2])
    study = open_study(folder)
    errors = latent_space.path_errors(RunGroup(study.members))
    assert errors.loc["ends"].tolist() == [2, 0]
    assert errors.loc["linear.farthest"].tolist() == [3.5, pytest.approx(0.5**0.5)]
    assert errors.loc["linear.rise"].tolist() == [0.5, pytest.approx(0.5**0.5)]


def test_no_table_without_errors_of_paths(make_study):
    folder = make_study()
    for name in ("vae", "dcgan", "wgan-gp"):
        change(folder / name / LATENT_FACTS, pairs=[{"from": "a", "to": "b"}])
    assert interpolation.path_errors(open_study(folder)).markdown is None


def test_number_of_shown_pairs(make_study):
    folder = make_study()
    assert interpolation.scope(open_study(folder)).startswith("2 of 6 pairs are")
    give_datasets(folder, wgan_gp="others")
    assert interpolation.scope(open_study(folder)).startswith("2 of 6 or 3 of 6 pairs")


def test_reconstruction_errors_are_over_images_of_all_models(make_study):
    folder = make_study()
    few = np.where(np.arange(1000) < 64, 0.002, 0.5)
    change_arrays(folder / "vae", train_mse=few, test_ssim=np.full(1000, 0.9))
    study = open_study(folder)
    table = reconstruction.reconstruction_errors(study).markdown
    assert set(column(table, "Test images").values()) == {"64"}
    assert column(table, "MSE, training")["vae"] == "**0.00200**"
    ssim = {"vae": "**0.900**", "dcgan": "0.780", "wgan-gp": "0.780"}
    assert column(table, "SSIM, test") == ssim
    assert column(summary(study).markdown, "MSE")["dcgan"] == "0.0120"
    assert " 64 images" in reconstruction.scope(study)


def test_reconstruction_errors_of_encoders_are_over_all_images(make_study):
    folder = make_study({"vae": (12.0, None), "conditional-vae": (12.0, None)})
    change_arrays(folder / "vae", test_mse=np.arange(1000) / 1000)
    table = reconstruction.reconstruction_errors(open_study(folder)).markdown
    assert column(table, "Test images")["vae"] == "1,000"
    assert column(table, "MSE, test")["vae"].startswith("0.49")


def test_study_without_reconstruction_errors(make_study):
    folder = make_study()
    for path in folder.glob(f"*/{LATENT_ARRAYS}"):
        arrays = read_arrays(path)
        names = [name for name in arrays if not name.startswith(("train_", "test_"))]
        write_arrays(path, {name: arrays[name] for name in names})
    study = open_study(folder)
    assert reconstruction.reconstruction_errors(study).markdown is None
    assert reconstruction.scope(study) == ""
    assert sample_grids.reconstructions(study).figure is not None


def test_reconstruction_methods(make_study):
    sentence = reconstruction.methods(open_study(make_study()))
    encoding, inversion = sentence.split("By inversion")
    assert "vae" in encoding
    assert "dcgan and wgan-gp" in inversion
    assert {"200", "512"} <= set(inversion.split())


@pytest.mark.parametrize("smallest", [0.001, 0.00996])
def test_errors_of_best_images_have_equal_decimals(make_study, smallest):
    folder = make_study({"vae": (12.0, None)})
    change_arrays(folder / "vae", best_errors=np.array([smallest, *[0.014] * 4, 0.2]))
    words = words_of(reconstruction.best_and_worst(open_study(folder)))
    assert {f"{1000 * smallest:.1f}", "14.0", "200.0", "real", "model"} <= words
    assert any("1,000" in word for word in words)


def test_too_few_images_for_best_and_worst(make_study):
    folder = make_study({"vae": (12.0, None)})
    arrays = read_arrays(folder / "vae" / LATENT_ARRAYS)
    names = [name for name in arrays if name.startswith(("best_", "worst_"))]
    change_arrays(folder / "vae", **{name: arrays[name][:0] for name in names})
    assert reconstruction.best_and_worst(open_study(folder)).figure is None


def test_inversion_curve_is_the_median(make_study):
    folder = make_study({"dcgan": (12.0, None)})
    errors = np.stack([np.full(201, value) for value in (0.01, 0.02, 0.9)])
    change_arrays(folder / "dcgan", inversion_error=errors)
    [axes] = reconstruction.inversion_curves(open_study(folder)).figure.axes
    assert axes.lines[0].get_ydata()[-1] == pytest.approx(0.02)
    assert axes.lines[0].get_xdata()[-1] == 200


def test_inversion_curves_have_a_panel_per_dataset(make_study):
    scores = {"dcgan": (12.0, None), "wgan-gp": (13.0, None), "conditional-dcgan": (14.0, None)}
    folder = make_study(scores)
    [panel] = reconstruction.inversion_curves(open_study(folder)).figure.axes
    assert len(panel.collections) == 3
    assert panel.get_title(loc="left") == ""
    give_datasets(folder, wgan_gp="others")
    panels = reconstruction.inversion_curves(open_study(folder)).figure.axes
    numbers = {axes.get_title(loc="left"): len(axes.collections) for axes in panels}
    assert numbers == {"glyphs": 2, "others": 1}


def test_usage_of_dimensions(make_study):
    folder = make_study()
    study = open_study(folder)
    panels = projections.usage(study).figure.axes
    assert len(panels) == 2
    for axes in panels:
        assert (np.diff(axes.lines[0].get_ydata()) <= 0).all()
    assert "vae 19 of 32" in projections.active_units(study)
    change(folder / "vae" / LATENT_FACTS, active_units=8)
    study = open_study(folder)
    assert "vae 8 of 32" in projections.active_units(study)
    [ranked] = rank(study, latent_space.ACTIVE_FRACTION, study.run_groups())
    assert ranked.mean == 0.25
    change_arrays(folder / "vae", kl_per_dimension=None)
    study = open_study(folder)
    assert len(projections.usage(study).figure.axes) == 1


def test_maps_have_axes_and_a_legend(make_study):
    drawing = projections.maps(open_study(make_study()))
    words = plain(words_of(drawing))
    assert {"1st component (21 %)", "2nd component (12 %)", "t-SNE", *CLASSES} <= words


def test_a_legend_of_many_classes_leaves_room_for_the_maps(make_study):
    heights = []
    for number in (10, 140):
        classes = [f"class {place}" for place in range(number)]
        figure = projections.maps(open_study(make_study(classes=classes))).figure
        figure.draw_without_rendering()
        heights.append(figure.axes[0].get_position().height * figure.get_figheight())
    assert heights[1] == pytest.approx(heights[0], rel=0.1)


def test_points_of_few_codes_are_larger(make_study):
    folder = make_study()
    arrays = read_arrays(folder / "vae" / LATENT_ARRAYS)
    names = [name for name in arrays if name.startswith("projection_")]
    sizes = []
    for number in (2_000, 1_000, 500, 10):
        for name in names:
            shape = (number, *arrays[name].shape[1:])
            change_arrays(folder / "vae", **{name: np.resize(arrays[name], shape)})
        axes = projections.maps(open_study(folder)).figure.axes[0]
        sizes.append(axes.collections[0].get_sizes()[0])
    assert sizes[0] == sizes[1] == sizes[2] / 2 == sizes[3] / 4


def test_the_error_of_an_ode_is_that_of_its_steps(make_study):
    folder = make_study({"vae": (12.0, 0.1), "diffusion": (9.0, 0.1)})
    study = open_study(folder)
    drawing = reconstruction.ode_curves(study)
    assert "diffusion" in drawing.description
    assert "vae" not in drawing.description
    errors = study["diffusion"].latent_arrays["ode_error"]
    text = reconstruction.ode_errors(study)
    assert f"{np.median(errors[:, 0]):.2g} with 2 steps" in text
    assert f"{np.median(errors[:, -1]):.2g} with 40." in text
    assert "diffusion" in reconstruction.methods(study)
    # What an ODE leaves out is nothing, so it is no rival in reconstruction.
    runs = study.run_groups()
    names = [run.name for run in competing(study, MSE, runs)]
    assert names == ["vae"]
    assert len(competing(study, SECONDS, runs)) == 2


def test_noise_has_no_dimensions_that_are_used_or_not(make_study):
    study = open_study(make_study({"vae": (12.0, 0.1), "diffusion": (9.0, 0.1)}))
    assert "diffusion" not in projections.usage(study).description
    assert "diffusion" not in projections.active_units(study)
    assert "diffusion" in projections.noise(study)
    assert "diffusion" in interactive.plane_of_noise(study)
    without = open_study(make_study({"vae": (12.0, 0.1)}))
    assert not projections.noise(without) + interactive.plane_of_noise(without)


def test_denoising_is_of_diffusion_models(make_study):
    drawing = denoising.steps(open_study(make_study({"vae": (12.0, 0.1), "diffusion": (9.0, 0.1)})))
    words = words_of(drawing)
    assert {"diffusion", "noisy", "expected", "1", "0"} <= words
    assert "vae" not in words
    assert not drawing.notes
    assert denoising.steps(open_study(make_study({"vae": (12.0, 0.1)}))).figure is None
