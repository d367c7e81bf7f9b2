"""Captions follow the results."""

from __future__ import annotations

import pytest

from latentbench import open_study
from latentbench.report.comparison import captions
from latentbench.results import tables
from tests.report.conftest import change, make_repeats, put_on_two_datasets, score_labels
from tests.report.synthetic_results import CLASSES


def test_the_protocol_has_the_numbers_of_images_and_the_extractor(make_study):
    text = captions.protocol(open_study(make_study()))
    assert "3 × 5,000 generated images" in text
    assert "10,000 real images" in text
    assert "FD (classifier) and KD (classifier):" in text
    assert "10 sets of 5,000 test images" in text
    assert "4,000 for precision" in text


def test_the_protocol_explains_the_spread_over_trainings(make_study):
    folder = make_study()
    assert "trained once" in captions.protocol(open_study(folder))
    make_repeats(folder, "vae", "dcgan", "wgan-gp")
    assert "over trainings" in captions.protocol(open_study(folder))


def test_the_protocol_has_once_what_datasets_share(make_study):
    folder = make_study()
    for name, (dataset, width) in {"vae": ("a", 1), "dcgan": ("b", 2), "wgan-gp": ("b", 2)}.items():
        protocols = {"classifier": f"width {width} for {dataset}; subsets; neighbors"}
        change(folder / name / "metrics.json", protocols=protocols)
    text = captions.protocol(open_study(folder))
    assert "\n\n- width 1 for a\n- width 2 for b\n\nSubsets; neighbors.\n\n" in text


@pytest.mark.parametrize(("number", "word"), [(400, "lower"), (5_000, "about"), (10_000, "higher")])
def test_the_distance_of_test_images_has_their_number(make_study, number, word):
    folder = make_study()
    for path in folder.glob("*/metrics.json"):
        change(path, num_test_images=number)
    caption = captions.reference_lines(open_study(folder))
    assert f"{number:,} real test images" in caption
    assert word in caption
    assert "10 sets" in caption


def test_the_distance_of_two_halves_is_explained_where_it_was_measured(make_study):
    folder = make_study()
    caption = captions.reference_lines(open_study(folder))
    assert "5,000 each" in caption
    assert "20 random splits" in caption
    for path in folder.glob("*/metrics.json"):
        change(path, train_halves=None)
    assert "halves" not in captions.reference_lines(open_study(folder))


def test_real_images_have_the_name_of_their_dataset_among_several(make_study):
    folder = make_study()
    assert "Real images are 10 sets" in captions.protocol(open_study(folder))
    put_on_two_datasets(folder)
    study = open_study(folder)
    assert "Real images of faces are 10 sets" in captions.protocol(study)
    assert "training images of faces, 5,000 each" in captions.reference_lines(study)


def test_the_summary_explains_its_columns(make_study):
    folder = make_study()
    caption = captions.summary_caption(open_study(folder))
    assert "the Fréchet classifier distance" in caption
    assert "in bold" in caption
    assert "FD of class shares" in caption
    assert "As requested" not in caption
    assert "bold" not in captions.summary_caption(open_study(make_study({"vae": (30.0, 0.4)})))


def test_the_summary_explains_what_is_as_requested(make_study):
    folder = make_study({"conditional-vae": (25.0, 0.2), "conditional-dcgan": (18.0, 0.2)})
    score_labels(folder, {"conditional-vae": "0.5", "conditional-dcgan": "0.7"})
    caption = captions.summary_caption(open_study(folder))
    assert "As requested" in caption


def test_bold_marks_repeats_as_one(make_study):
    folder = make_study()
    assert "repeats" not in tables.best_in_bold(open_study(folder))
    make_repeats(folder, "vae", "dcgan")
    assert "repeats as one" in tables.best_in_bold(open_study(folder))


@pytest.mark.parametrize(
    ("name", "classes", "expected"),
    [
        ("dcgan", CLASSES, [True, False, False]),
        ("vae", CLASSES, [True, False, True]),
        ("vae", [], [False, False, False]),
        ("conditional-vae", CLASSES, [True, True, False]),
    ],
)
def test_captions_depend_on_the_kinds_of_models(make_study, name, classes, expected):
    study = open_study(make_study({name: (1.0, None)}, classes=classes))
    assert [study.has_classes, study.has_conditional, study.has_class_means] == expected
