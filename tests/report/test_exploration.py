"""What exploration leaves: every question to the latent space in pictures, tables and words."""

from __future__ import annotations

import numpy as np
import pytest

from latentbench.artifacts.files import read_arrays, write_arrays
from latentbench.artifacts.paths import LATENT_ARRAYS, LATENT_FACTS
from latentbench.errors import ArtifactError
from latentbench.report.comparison import headline
from latentbench.report.latent import (
    attributes,
    interpolation,
    perturbation,
    projections,
    reconstruction,
    sample_grids,
)
from latentbench.report.presentation.style import to_svg
from latentbench.report.results import columns
from latentbench.report.results.study import open_study
from tests.report.conftest import SIX, assert_on_the_page, change, give_datasets, words_of
from tests.report.synthetic_results import CLASSES
from tests.report.test_columns import column

OF_ALL = (
    *(
        sample_grids.samples,
        sample_grids.reconstructions,
        interpolation.interpolations,
        reconstruction.best_and_worst,
    ),
    *(
        perturbation.truncated,
        perturbation.means,
        perturbation.scaled,
        perturbation.noise_around_mean,
    ),
)
OF_ENCODERS = (projections.maps, projections.usage, perturbation.walks, attributes.walk_curves)
OF_CONDITIONAL = (perturbation.noise_around_labels, perturbation.random_embeddings)
OF_GANS = (reconstruction.inversion_curves,)
DRAWINGS = (*OF_ALL, *OF_ENCODERS, *OF_CONDITIONAL, *OF_GANS)


@pytest.mark.parametrize("draw", DRAWINGS)
def test_every_picture_is_drawn_of_many_color_models_and_words_stay_on_the_page(make_study, draw):
    drawing = draw(open_study(make_study(SIX, channels=3)))
    assert to_svg(drawing.figure).startswith("<svg")
    assert drawing.notes == []
    assert_on_the_page(drawing.figure)


@pytest.mark.parametrize("draw", DRAWINGS)
@pytest.mark.parametrize("name", ["conditional-vae", "conditional-dcgan"])
def test_every_picture_is_drawn_of_one_model_that_can_be_asked(make_study, draw, name):
    drawing = draw(open_study(make_study({name: (12.0, None)})))
    asked = draw in OF_ALL + OF_CONDITIONAL + (
        OF_ENCODERS if name == "conditional-vae" else OF_GANS
    )
    assert (drawing.figure is not None) == asked
    assert drawing.notes == []


@pytest.mark.parametrize("draw", DRAWINGS)
def test_data_without_classes_are_drawn_without_them(make_study, draw):
    drawing = draw(open_study(make_study(classes=[])))
    assert (drawing.figure is not None) == (draw not in OF_CONDITIONAL)
    assert drawing.figure is None or not words_of(drawing) & set(CLASSES)


@pytest.mark.parametrize("draw", DRAWINGS)
def test_what_was_not_explored_is_said_and_what_cannot_be_is_not(make_study, draw):
    folder = make_study(SIX)
    (folder / "conditional-vae" / LATENT_ARRAYS).unlink()
    (folder / "conditional-dcgan" / LATENT_ARRAYS).unlink()
    drawing = draw(open_study(folder))
    missing = "conditional-vae and conditional-dcgan"
    assert drawing.notes == [
        f"There is no {LATENT_ARRAYS} of {missing} yet; `latentbench explore` writes it."
    ]
    for path in folder.glob(f"*/{LATENT_ARRAYS}"):
        write_arrays(path, {"another": np.zeros(1)})
    drawing = draw(open_study(folder))
    assert drawing.figure is None


@pytest.mark.parametrize("draw", DRAWINGS)
def test_damaged_arrays_are_named(make_study, draw):
    folder = make_study({"vae": (12.0, None)})
    (folder / "vae" / LATENT_ARRAYS).write_bytes(b"damaged")
    with pytest.raises(ArtifactError, match=r"vae/latent/arrays\.npz is damaged"):
        draw(open_study(folder))


def test_rows_and_columns_say_what_was_changed(make_study):
    study = open_study(make_study(SIX))
    assert {"plain", "τ = 2", "τ = 0.5"} <= words_of(perturbation.truncated(study))
    assert {"real", "t\N{NO-BREAK SPACE}=\N{NO-BREAK SPACE}0", "1.25"} <= words_of(
        perturbation.scaled(study)
    )
    assert {"σ = 0.1", "σ = 2", "automobile"} <= words_of(perturbation.noise_around_mean(study))
    assert {"zero", "automobile", "dcgan"} <= words_of(perturbation.means(study))
    walks = {
        text.replace("\N{NO-BREAK SPACE}", " ") for text in words_of(perturbation.walks(study))
    }
    assert {
        "Smiling\n90 % (base 60 %)",
        "Wearing Lipstick\n84 % (base 60 %)",
        "−3 σ",
        "0 σ",
        "+3 σ",
    } <= walks


def test_random_embedding_is_named_by_its_nearest_label_and_what_is_seen(make_study):
    folder = make_study({"conditional-dcgan": (12.0, None)})
    study = open_study(folder)
    shown = {
        text.replace("\N{NO-BREAK SPACE}", " ")
        for text in words_of(perturbation.random_embeddings(study))
    }
    assert "near automobile (0.6)\n70 % seen as automobile" in shown
    agreement = perturbation.embedding_agreement(study).replace("\N{NO-BREAK SPACE}", " ")
    assert (
        agreement
        == "The classifier sees the nearest label in 70 % of the images of conditional-dcgan."
    )
    change(folder / "conditional-dcgan" / LATENT_FACTS, embedding_agreement=None)
    assert perturbation.embedding_agreement(open_study(folder)) == ""


def test_paths_show_pairs_within_and_between_classes(make_study):
    folder = make_study()
    drawing = interpolation.interpolations(open_study(folder))
    assert {"airplane to airplane", "deer to truck", "linear path", "spherical path"} <= words_of(
        drawing
    )
    arrays = read_arrays(folder / "vae" / LATENT_ARRAYS)
    arrays["interpolation_linear_distance"][:] = 3.0
    arrays["interpolation_spherical_distance"][:] = np.linspace(
        0, 1.25, arrays["interpolation_linear"].shape[1]
    )
    write_arrays(folder / "vae" / LATENT_ARRAYS, arrays)
    farthest = interpolation.realism(open_study(folder)).markdown
    assert column(farthest, "Linear")["vae"] == "3.00"
    assert column(farthest, "Spherical")["vae"] == "**1.25**"
    for path in folder.glob(f"*/{LATENT_ARRAYS}"):
        kept = {name: array for name, array in read_arrays(path).items() if "distance" not in name}
        write_arrays(
            path, {name: array for name, array in kept.items() if not name.endswith("_classes")}
        )
    study = open_study(folder)
    assert interpolation.realism(study).markdown is None
    assert not {"distance to\nnearest real", "probability\nof the class"} & words_of(
        interpolation.interpolations(study)
    )


def test_reconstruction_errors_are_those_of_the_images_that_all_models_were_given(make_study):
    folder = make_study()
    path = folder / "vae" / LATENT_ARRAYS
    few = np.where(np.arange(1000) < 64, 0.002, 0.5)
    write_arrays(path, read_arrays(path) | {"train_mse": few, "test_ssim": np.full(1000, 0.9)})
    study = open_study(folder)
    table = reconstruction.reconstruction_errors(study).markdown
    assert set(column(table, "Test images").values()) == {"64"}
    assert column(table, "MSE\N{NO-BREAK SPACE}↓, training")["vae"] == "**0.00200**"
    assert column(table, "SSIM\N{NO-BREAK SPACE}↑, test") == {
        "vae": "**0.900**",
        "dcgan": "0.780",
        "wgan-gp": "0.780",
    }
    assert column(columns.summary(study).markdown, "MSE")["dcgan"] == "0.0120"


def test_models_that_encode_are_compared_on_all_that_they_encoded(make_study):
    folder = make_study({"vae": (12.0, None), "conditional-vae": (12.0, None)})
    path = folder / "vae" / LATENT_ARRAYS
    write_arrays(path, read_arrays(path) | {"test_mse": np.arange(1000) / 1000})
    table = reconstruction.reconstruction_errors(open_study(folder)).markdown
    assert column(table, "Test images")["vae"] == "1,000"
    assert "0.49" in column(table, "MSE\N{NO-BREAK SPACE}↓, test")["vae"]


def test_a_study_whose_reconstructions_were_not_measured_says_nothing_of_them(make_study):
    folder = make_study()
    for path in folder.glob(f"*/{LATENT_ARRAYS}"):
        kept = {
            name: array
            for name, array in read_arrays(path).items()
            if not name.startswith(("train_", "test_"))
        }
        write_arrays(path, kept)
    study = open_study(folder)
    assert reconstruction.reconstruction_errors(study).markdown is None
    assert "MSE" not in columns.summary(study).markdown
    assert "reconstructed best" not in headline.headline(study)


def test_best_and_worst_have_their_errors(make_study):
    drawing = reconstruction.best_and_worst(open_study(make_study({"vae": (12.0, None)})))
    assert {"1.0", "2.0", "90", "50", "real", "model", "vae (of 1,000 images)"} <= words_of(drawing)


def test_errors_beside_one_another_have_the_same_decimals(make_study):
    folder = make_study({"vae": (12.0, None)})
    arrays = read_arrays(folder / "vae" / LATENT_ARRAYS)
    write_arrays(
        folder / "vae" / LATENT_ARRAYS,
        arrays | {"best_errors": np.array([0.00996, 0.011, 0.014, 0.2, 0.2, 0.2])},
    )
    drawn = words_of(reconstruction.best_and_worst(open_study(folder)))
    assert {"10.0", "11.0", "14.0", "200.0"} <= drawn


def test_too_few_images_for_a_best_and_a_worst_are_no_picture(make_study):
    folder = make_study({"vae": (12.0, None)})
    arrays = read_arrays(folder / "vae" / LATENT_ARRAYS)
    few = {
        name: array[:0] for name, array in arrays.items() if name.startswith(("best_", "worst_"))
    }
    write_arrays(folder / "vae" / LATENT_ARRAYS, arrays | few)
    assert reconstruction.best_and_worst(open_study(folder)).figure is None


def test_inversion_is_drawn_by_its_median(make_study):
    folder = make_study({"dcgan": (12.0, None)})
    errors = np.stack([np.full(201, value) for value in (0.01, 0.02, 0.9)])
    arrays = read_arrays(folder / "dcgan" / LATENT_ARRAYS)
    write_arrays(folder / "dcgan" / LATENT_ARRAYS, arrays | {"inversion_error": errors})
    [axes] = reconstruction.inversion_curves(open_study(folder)).figure.axes
    assert axes.lines[0].get_ydata()[-1] == pytest.approx(0.02)
    assert axes.lines[0].get_xdata()[-1] == 200


def test_inversions_on_other_datasets_have_a_panel_of_their_own(make_study):
    folder = make_study(
        {"dcgan": (12.0, None), "wgan-gp": (13.0, None), "conditional-dcgan": (14.0, None)}
    )
    [alone] = reconstruction.inversion_curves(open_study(folder)).figure.axes
    assert len(alone.collections) == 3
    assert alone.get_title(loc="left") == ""
    give_datasets(folder, wgan_gp="others")
    panels = reconstruction.inversion_curves(open_study(folder)).figure.axes
    assert {axes.get_title(loc="left"): len(axes.collections) for axes in panels} == {
        "glyphs": 2,
        "others": 1,
    }


def test_the_pairs_that_are_shown_are_counted(make_study):
    folder = make_study()
    assert (
        interpolation.scope(open_study(folder))
        == "2 of 6 pairs are shown, the first and the last among them."
    )
    give_datasets(folder, wgan_gp="others")
    assert "2 of 6 or 3 of 6 pairs of each dataset are shown" in interpolation.scope(
        open_study(folder)
    )


def test_means_of_models_that_have_one_each_stand_in_a_row(make_study):
    [axes] = perturbation.means(
        open_study(make_study({"dcgan": (1.0, None), "wgan-gp": (2.0, None)}))
    ).figure.axes
    assert {text.get_text() for text in axes.texts} == {"dcgan", "wgan-gp", "zero"}


def test_usage_falls_and_is_counted(make_study):
    folder = make_study()
    study = open_study(folder)
    variance, divergence = projections.usage(study).figure.axes
    for axes in (variance, divergence):
        values = axes.lines[0].get_ydata()
        assert (np.diff(values) <= 0).all()
    assert (
        projections.active_units(study) == "Dimensions whose variance exceeds 0.01: vae 19 of 32."
    )
    change(folder / "vae" / LATENT_FACTS, active_units=3)
    assert "vae 3 of 32" in projections.active_units(open_study(folder))
    arrays = read_arrays(folder / "vae" / LATENT_ARRAYS)
    del arrays["kl_per_dimension"]
    write_arrays(folder / "vae" / LATENT_ARRAYS, arrays)
    assert len(projections.usage(open_study(folder)).figure.axes) == 1


def test_maps_name_classes_and_variances(make_study):
    drawing = projections.maps(open_study(make_study()))
    drawn = {text.replace("\N{NO-BREAK SPACE}", " ") for text in words_of(drawing)}
    assert {"1st component (21 %)", "2nd component (12 %)", "t-SNE", *CLASSES} <= drawn
    assert not any(axes.texts for axes in drawing.figure.axes)  # of what the legend says


def test_few_codes_are_drawn_larger_than_many(make_study):
    folder = make_study()
    arrays = read_arrays(folder / "vae" / LATENT_ARRAYS)
    sizes = []
    for number in (2_000, 1_000, 500, 10):
        kept = {
            name: np.resize(array, (number, *array.shape[1:]))
            for name, array in arrays.items()
            if name.startswith("projection_")
        }
        write_arrays(folder / "vae" / LATENT_ARRAYS, arrays | kept)
        sizes.append(
            projections.maps(open_study(folder)).figure.axes[0].collections[0].get_sizes()[0]
        )
    assert sizes[0] == sizes[1] == sizes[2] / 2 == sizes[3] / 4
