"""The data chapter: images, counts, origin and preparation of each dataset."""

from __future__ import annotations

import ast
import json
import re
from pathlib import Path
from typing import get_args

import pytest

from latentbench import open_study
from latentbench.artifacts.files import read_json, write_json, write_yaml
from latentbench.artifacts.paths import LATENT_ARRAYS, LATENT_FACTS, PROVENANCE
from latentbench.config.datasets import AnyDataset
from latentbench.config.load import read_yaml
from latentbench.report import dataset
from latentbench.report.presentation.style import to_svg
from tests.report.conftest import (
    assert_on_the_page,
    change,
    change_record,
    images_drawn,
    put_on_two_datasets,
    words_of,
)
from tests.report.synthetic_results import CLASSES

FIGURES = (dataset.samples, dataset.means)
TABLES = (dataset.counts, dataset.attributes)
ALPHABET = [chr(ord("a") + place) for place in range(26)]
PREPARED = {
    "image_size": 64,
    "channels": 3,
    "crop": 148,
    "pad": 2,
    "max_train_images": 2_000,
    "test_fraction": 0.125,
    "validation_fraction": 0.05,
}


def rows(table) -> list[list[str]]:
    text = table.markdown.replace("\N{NO-BREAK SPACE}", " ")
    lines = [text.strip("|") for text in text.splitlines()]
    return [[cell.strip(" ") for cell in line.split(" |")] for line in lines]


def described(folder, model):
    return read_json(folder / model / LATENT_FACTS)["data"]


def describe(folder, model="vae", **facts):
    """Change what the exploration of a model wrote about its dataset."""
    change(folder / model / LATENT_FACTS, data=described(folder, model) | facts)


@pytest.mark.parametrize("draw", FIGURES)
@pytest.mark.parametrize("classes", [CLASSES, CLASSES[:3], ALPHABET, [*ALPHABET, "another"]])
def test_classes_are_named_and_at_most_26_drawn(make_study, draw, classes):
    drawing = draw(open_study(make_study(classes=classes)))
    assert to_svg(drawing.figure).startswith("<svg")
    shown = classes if len(classes) <= 26 else classes[:20]
    assert set(classes) & words_of(drawing) == set(shown)
    assert any("20 of 27" in text for text in words_of(drawing)) == (len(classes) == 27)
    assert drawing.notes == []


@pytest.mark.parametrize("draw", FIGURES)
@pytest.mark.parametrize("classes", [CLASSES, CLASSES[:3], ALPHABET, ["x" * 60, *CLASSES], []])
def test_text_stays_on_the_page(make_study, draw, classes):
    assert_on_the_page(draw(open_study(make_study(classes=classes))).figure)


@pytest.mark.parametrize("classes", [CLASSES, CLASSES[:3]])
def test_images_stand_in_the_row_or_column_of_their_class(make_study, classes):
    study = open_study(make_study(classes=classes))
    [grid] = images_drawn(dataset.samples(study))
    images = study["vae"].latent_arrays["data_samples"]
    step = 8 + 1  # pixels of an image and the gap

    def drawn(label, place):
        row, column = (place, label) if len(classes) > 8 else (label, place)
        return grid[row * step : row * step + 8, column * step : column * step + 8]

    for label, place in ((0, 5), (2, 4)):
        assert (drawn(label, place)[..., :3] == images[label, place]).all()
        assert (drawn(label, place)[..., 3] == 255).all()
    assert (drawn(1, 3)[..., 3] == 0).all()  # the second class has three images


def test_images_without_classes_fill_rows(make_study):
    study = open_study(make_study(classes=[]))
    [grid] = images_drawn(dataset.samples(study))
    assert grid.shape == (3 * 9 - 1, 16 * 9 - 1, 4)
    assert (grid[-8:, 7 * 9 : 7 * 9 + 8, 3] == 255).all()
    assert (grid[-8:, 8 * 9 :, 3] == 0).all()
    assert words_of(dataset.samples(study)) & set(CLASSES) == set()
    [mean] = images_drawn(dataset.means(study))
    assert mean.shape == (8, 8, 4)


def test_several_datasets(make_study):
    folder = make_study()
    for path, values in (
        (folder / "study.yaml", {"datasets": ["glyphs", "others"]}),
        (folder / "dcgan" / "config.yaml", {"dataset": "others"}),
    ):
        write_yaml(path, read_yaml(path) | values)
    describe(folder, "dcgan", name="oth|ers")
    study = open_study(folder)
    for draw in FIGURES:
        assert {"glyphs", "others"} <= words_of(draw(study))
    lines = rows(dataset.counts(study))
    assert len(lines) == 2 + 2 * 11
    assert lines[13][0] == "oth\\|ers"
    assert rows(dataset.attributes(study))[2:] == [
        ["glyphs", "Wearing Hat", "25.0", "20.0"],
        ["others", "Wearing Hat", "25.0", "20.0"],
    ]


def test_counts_by_split_and_class(make_study):
    lines = rows(dataset.counts(open_study(make_study())))
    titles = ["Dataset", "Size", "Channels", "Classes", "Training images", "Test images"]
    assert lines[0] == titles
    assert lines[2] == ["glyphs", "8 × 8", "1", "10", "3,603", "500"]
    assert lines[3] == ["&emsp;*airplane*", "", "", "", "400", "50"]
    assert lines[4][-2:] == ["3", "50"]
    assert len(rows(dataset.counts(open_study(make_study(classes=ALPHABET))))) == 3
    [row] = rows(dataset.counts(open_study(make_study(classes=[]))))[2:]
    assert row[-4:] == ["1", "–", "40", "50"]


def test_few_images_come_with_advice(make_study):
    folder = make_study(classes=[])  # with 40 training images
    text = dataset.few_images(open_study(folder))
    assert "40 training images" in text
    assert {"dcgan", "wgan-gp"} <= set(re.findall(r"[a-z-]+", text))
    path = folder / "dcgan" / "config.yaml"
    settings = read_yaml(path)
    settings["model"]["augment"] = ["color"]
    write_yaml(path, settings)
    assert "dcgan" not in dataset.few_images(open_study(folder))
    write_yaml(folder / "study.yaml", read_yaml(folder / "study.yaml") | {"budget": "small"})
    assert "40 training images" in dataset.few_images(open_study(folder))


def test_attributes_are_a_table_if_there_are_any(make_study):
    folder = make_study()
    assert rows(dataset.attributes(open_study(folder)))[2:] == [["Wearing Hat", "25.0", "20.0"]]
    for name in ("vae", "dcgan", "wgan-gp"):
        describe(folder, name, attributes=[])
    assert dataset.attributes(open_study(folder)).markdown is None


def test_any_explored_model_describes_the_dataset(make_study):
    folder = make_study()
    change(folder / "vae" / LATENT_FACTS, data=None)
    study = open_study(folder)
    assert all(draw(study).figure is not None and draw(study).notes == [] for draw in FIGURES)
    assert all(table(study).markdown is not None and table(study).notes == [] for table in TABLES)


def test_missing_explorations_are_named(make_study):
    folder = make_study()
    for path in [*folder.glob(f"*/{LATENT_FACTS}"), *folder.glob(f"*/{LATENT_ARRAYS}")]:
        path.unlink()
    study = open_study(folder)
    for show in (*FIGURES, *TABLES):
        [note] = show(study).notes
        assert "glyphs" in note
    assert all(draw(study).figure is None for draw in FIGURES)
    assert all(table(study).markdown is None for table in TABLES)
    write_json(folder / "vae" / LATENT_FACTS, {"epoch": 4})
    assert dataset.counts(open_study(folder)).markdown is None


def sources_of_the_notebook():
    notebook = json.loads((Path(__file__).parents[2] / "report" / "data.ipynb").read_text())
    for cell in notebook["cells"]:
        sources = "".join(cell["source"]).partition("sources = ")[2]
        if sources:
            return ast.literal_eval(sources.partition("}")[0] + "}")
    return {}


def test_validation_images_have_a_column_where_a_dataset_has_some(make_study):
    folder = make_study()
    assert all("Validation" not in cell for cell in rows(dataset.counts(open_study(folder)))[0])
    put_on_two_datasets(folder)
    facts = described(folder, "vae")
    classes = [row | {"validation": 7} for row in facts["classes"]]
    attributes = [row | {"validation": 0.5} for row in facts["attributes"]]
    images = facts["images"] | {"validation": 70}
    describe(folder, images=images, classes=classes, attributes=attributes)
    table = rows(dataset.counts(open_study(folder)))
    assert table[0][-3:] == ["Training images", "Test images", "Validation images"]
    assert {row[-1] for row in table[2:]} == {"", "7", "70"}
    _, _, *shares = rows(dataset.attributes(open_study(folder)))
    assert {row[-1] for row in shares} == {"", "50.0"}


def test_every_source_has_an_origin(make_study):
    folder = make_study()
    names = []
    for source in get_args(get_args(AnyDataset)[0]):
        names += get_args(source.model_fields["source"].annotation)
    assert len(names) == 7
    sources = sources_of_the_notebook()
    for name in names:
        describe(folder, source=name)
        text = dataset.origins(open_study(folder), sources)
        assert text.startswith("**glyphs**")
        assert ("[@" in text) == (name not in ("glyphs", "folder"))


def test_preparation_gives_the_settings(make_study):
    folder = make_study()
    assert dataset.preparation(open_study(folder)) == ""
    describe(folder, settings=PREPARED)
    text = dataset.preparation(open_study(folder)).replace("\N{NO-BREAK SPACE}", " ")
    for part in ("**glyphs**", "148 × 148", " 2 ", "64 × 64", "in color", "2,000", "12.5 %", "5 %"):
        assert part in text


def test_preparation_without_options(make_study):
    folder = make_study()
    unset = dict.fromkeys(("crop", "max_train_images", "test_fraction", "validation_fraction"))
    describe(folder, settings=PREPARED | unset | {"channels": 1, "pad": 0})
    text = dataset.preparation(open_study(folder)).replace("\N{NO-BREAK SPACE}", " ")
    assert text.count(".") == 1
    for part in ("**glyphs**", "64 × 64", "in gray"):
        assert part in text


def test_identical_datasets_are_named(make_study):
    folder = make_study()
    put_on_two_datasets(folder)
    text = dataset.preparation(open_study(folder))
    assert all(name in text for name in ("**faces**", "**glyphs**"))
    change_record(folder / "vae" / PROVENANCE, data_digest="another")
    assert dataset.preparation(open_study(folder)) == ""
