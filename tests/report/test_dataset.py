"""The data that the models learned from, in pictures and tables."""

from __future__ import annotations

from typing import get_args

import pytest

from latentbench.artifacts.files import read_json, write_json, write_yaml
from latentbench.artifacts.paths import LATENT_ARRAYS, LATENT_FACTS, PROVENANCE
from latentbench.config.datasets import AnyDataset
from latentbench.config.load import read_yaml
from latentbench.report import dataset
from latentbench.report.presentation.style import to_svg
from latentbench.results.study import open_study
from tests.report.conftest import (
    assert_on_the_page,
    change,
    images_drawn,
    keep_arrays,
    put_on_two_datasets,
    words_of,
)
from tests.report.synthetic_results import CLASSES

DRAWINGS = (dataset.samples, dataset.means)
TABLES = (dataset.counts, dataset.attributes)
ALPHABET = [chr(ord("a") + place) for place in range(26)]


@pytest.mark.parametrize("draw", DRAWINGS)
@pytest.mark.parametrize("classes", [CLASSES, CLASSES[:3], ALPHABET, [*ALPHABET, "another"]])
def test_every_class_is_named_and_of_too_many_the_first(make_study, draw, classes):
    drawing = draw(open_study(make_study(classes=classes)))
    assert to_svg(drawing.figure).startswith("<svg")
    shown = classes if len(classes) <= 26 else classes[:20]
    assert set(classes) & words_of(drawing) == set(shown)
    assert ("the first 20 of 27 classes" in words_of(drawing)) == (len(classes) == 27)
    assert drawing.notes == []


@pytest.mark.parametrize("draw", DRAWINGS)
@pytest.mark.parametrize("classes", [CLASSES, CLASSES[:3], ALPHABET, ["x" * 60, *CLASSES], []])
def test_words_stay_on_the_page(make_study, draw, classes):
    assert_on_the_page(draw(open_study(make_study(classes=classes))).figure)


@pytest.mark.parametrize("classes", [CLASSES, CLASSES[:3]])
def test_the_images_are_those_of_the_classes_and_missing_ones_stay_empty(make_study, classes):
    study = open_study(make_study(classes=classes))
    [image_grid] = images_drawn(dataset.samples(study))
    images = study.experiments[0].explored["data_samples"]
    in_columns = len(classes) > 8
    step = 8 + 1  # pixels of an image and the gap
    for label, place in ((0, 7), (2, 4)):
        row, column = (place, label) if in_columns else (label, place)
        drawn = image_grid[row * step : row * step + 8, column * step : column * step + 8]
        assert (drawn[..., :3] == images[label, place]).all()
        assert (drawn[..., 3] == 255).all()
    row, column = (3, 1) if in_columns else (1, 3)
    assert (
        image_grid[row * step : row * step + 8, column * step : column * step + 8, 3] == 0
    ).all()


def test_without_classes_there_are_rows_of_images_and_one_mean(make_study):
    study = open_study(make_study(classes=[]))
    [image_grid] = images_drawn(dataset.samples(study))
    assert image_grid.shape == (3 * 9 - 1, 16 * 9 - 1, 4)
    assert (image_grid[-8:, 7 * 9 : 7 * 9 + 8, 3] == 255).all()
    assert (image_grid[-8:, 8 * 9 :, 3] == 0).all()
    assert words_of(dataset.samples(study)) & set(CLASSES) == set()
    [mean] = images_drawn(dataset.means(study))
    assert mean.shape == (8, 8, 4)


def test_datasets_of_a_study_stand_under_one_another(make_study):
    folder = make_study()
    changed = {
        "study.yaml": {"datasets": ["glyphs", "others"]},
        "dcgan/config.yaml": {"dataset": "others"},
    }
    for name, values in changed.items():
        write_yaml(folder / name, read_yaml(folder / name) | values)
    facts = read_json(folder / "dcgan" / LATENT_FACTS)
    change(folder / "dcgan" / LATENT_FACTS, data=facts["data"] | {"name": "oth|ers"})
    study = open_study(folder)
    for draw in DRAWINGS:
        assert {"glyphs", "others"} <= words_of(draw(study))
    lines = dataset.counts(study).markdown.splitlines()
    assert len(lines) == 2 + 2 * 11
    assert lines[13].startswith("| oth\\|ers | 8")
    assert dataset.attributes(study).markdown.splitlines()[2:] == [
        "| glyphs | Wearing Hat | 25.0 | 20.0 |",
        "| others | Wearing Hat | 25.0 | 20.0 |",
    ]


def test_counts_are_told_of_each_split_and_of_few_classes(make_study):
    lines = (
        dataset.counts(open_study(make_study()))
        .markdown.replace("\N{NO-BREAK SPACE}", " ")
        .splitlines()
    )
    assert lines[0] == "| Dataset | Size | Channels | Classes | Training images | Test images |"
    assert lines[2] == "| glyphs | 8 × 8 | 1 | 10 | 3,603 | 500 |"
    assert lines[3:5] == [
        "| \N{EM SPACE}*airplane* |  |  |  | 400 | 50 |",
        "| \N{EM SPACE}*automobile* |  |  |  | 3 | 50 |",
    ]
    assert len(dataset.counts(open_study(make_study(classes=ALPHABET))).markdown.splitlines()) == 3
    [row] = dataset.counts(open_study(make_study(classes=[]))).markdown.splitlines()[2:]
    assert row.endswith("| 1 | – | 40 | 50 |")


def test_attributes_are_a_table_where_there_are_any(make_study):
    folder = make_study()
    assert dataset.attributes(open_study(folder)).markdown.splitlines()[2:] == [
        "| Wearing Hat | 25.0 | 20.0 |"
    ]
    for name in ("vae", "dcgan", "wgan-gp"):
        facts = read_json(folder / name / LATENT_FACTS)["data"] | {"attributes": []}
        change(folder / name / LATENT_FACTS, data=facts)
    assert dataset.attributes(open_study(folder)).markdown is None


def test_any_explored_model_tells_of_the_data_and_results_of_before_say_that_none_does(make_study):
    folder = make_study()
    change(folder / "vae" / LATENT_FACTS, data=None)
    keep_arrays(folder / "vae" / LATENT_ARRAYS, "samples")
    study = open_study(folder)
    assert all(draw(study).figure is not None and draw(study).notes == [] for draw in DRAWINGS)
    assert all(table(study).markdown is not None and table(study).notes == [] for table in TABLES)
    for name in ("dcgan", "wgan-gp"):
        change(folder / name / LATENT_FACTS, data=None)
    (folder / "dcgan" / LATENT_ARRAYS).unlink()
    study = open_study(folder)
    missing = "There are no {} of glyphs in latent/{} yet; `latentbench explore` writes them."
    for draw in DRAWINGS:
        assert draw(study).figure is None
        assert draw(study).notes == [missing.format("images", "arrays.npz")]
    for table in TABLES:
        assert table(study).markdown is None
        assert table(study).notes == [missing.format("counts of the images", "explore.json")]


def test_a_study_without_explorations_says_the_same(make_study):
    folder = make_study()
    for path in [*folder.glob(f"*/{LATENT_FACTS}"), *folder.glob(f"*/{LATENT_ARRAYS}")]:
        path.unlink()
    study = open_study(folder)
    assert all(draw(study).figure is None and len(draw(study).notes) == 1 for draw in DRAWINGS)
    write_json(folder / "vae" / LATENT_FACTS, {"epoch": 4})
    assert dataset.counts(open_study(folder)).markdown is None


def test_every_source_says_where_it_comes_from(make_study):
    folder = make_study()
    sources = get_args(get_args(AnyDataset)[0])
    names = [
        name for source in sources for name in get_args(source.model_fields["source"].annotation)
    ]
    assert len(names) == 7
    for name in names:
        facts = read_json(folder / "vae" / LATENT_FACTS)["data"]
        change(folder / "vae" / LATENT_FACTS, data=facts | {"source": name})
        text = dataset.origins(open_study(folder))
        assert text.startswith("**")
        assert ("[@" in text) == (name not in ("glyphs", "folder"))


def test_preparation_is_told_as_far_as_the_results_know_it(make_study):
    folder = make_study()
    assert dataset.preparation(open_study(folder)) == ""
    facts = read_json(folder / "vae" / LATENT_FACTS)["data"]
    prepared = {
        "image_size": 64,
        "channels": 3,
        "crop": 148,
        "pad": 2,
        "max_train_images": 2_000,
        "test_fraction": 0.1,
    }
    change(folder / "vae" / LATENT_FACTS, data=facts | {"settings": prepared})
    assert dataset.preparation(open_study(folder)).replace("\N{NO-BREAK SPACE}", " ") == (
        "Pictures of **glyphs** were cut to the central square of 148 pixels, given 2 black pixels on each side and "
        "brought to 64 × 64 pixels in color. Of those for training 2,000 at most are used, chosen by the seed. "
        "Without a test folder 10 % are held out for testing."
    )
    whole = prepared | {
        "channels": 1,
        "crop": None,
        "pad": 0,
        "max_train_images": None,
        "test_fraction": None,
    }
    change(folder / "vae" / LATENT_FACTS, data=facts | {"settings": whole})
    assert dataset.preparation(open_study(folder)).replace("\N{NO-BREAK SPACE}", " ") == (
        "Pictures of **glyphs** were cut to their largest central square and brought to 64 × 64 pixels in gray."
    )


def test_datasets_of_the_same_pictures_are_named(make_study):
    folder = make_study()
    put_on_two_datasets(folder)
    assert (
        dataset.preparation(open_study(folder))
        == "**faces** and **glyphs** hold the same pictures and labels."
    )
    change(folder / "vae" / PROVENANCE, data_digest="another")
    assert dataset.preparation(open_study(folder)) == ""
