"""Memorization, classes and discriminators: figures, tables and sentences."""

from __future__ import annotations

import numpy as np
import pytest

from latentbench import open_study
from latentbench.artifacts.files import read_arrays, read_json, write_arrays
from latentbench.artifacts.paths import EVALUATION_ARRAYS, LAST_METRICS
from latentbench.errors import ArtifactError
from latentbench.report.comparison import (
    classes,
    discriminators,
    memorization,
)
from latentbench.report.presentation.style import to_svg
from latentbench.results.formatting import NBSP
from tests.report.conftest import (
    SCORES,
    SIX,
    change,
    images_drawn,
    keep_arrays,
    put_on_two_datasets,
    words_of,
)
from tests.report.test_tables import cells, column, table_cells

DRAWINGS = (
    memorization.closest_pairs,
    classes.samples_by_class,
    discriminators.score_histograms,
    discriminators.judged_images,
)


@pytest.mark.parametrize("draw", DRAWINGS)
@pytest.mark.parametrize("channels", [1, 3])
def test_figures_of_one_model_and_of_many(make_study, draw, channels):
    for scores in (SIX, {"dcgan": (20.0, None)}):
        drawing = draw(open_study(make_study(scores, channels=channels)))
        assert to_svg(drawing.figure).startswith("<svg")
        assert list(drawing.notes) == []
        assert any("dcgan" in word for word in words_of(drawing))


@pytest.mark.parametrize("draw", DRAWINGS)
def test_missing_arrays_are_noted_but_not_missing_capabilities(make_study, draw):
    folder = make_study()
    (folder / "dcgan" / EVALUATION_ARRAYS).unlink()
    drawing = draw(open_study(folder))
    assert "dcgan" not in words_of(drawing)
    [note] = drawing.notes
    assert "dcgan" in note
    assert "latentbench evaluate" in note
    folder = make_study()
    for path in folder.glob(f"*/{EVALUATION_ARRAYS}"):
        keep_arrays(path, "another")
        write_arrays(path, {"another": np.zeros(1)})
    drawing = draw(open_study(folder))
    assert drawing.figure is None
    assert list(drawing.notes) == []


@pytest.mark.parametrize("draw", DRAWINGS)
def test_a_damaged_file_of_arrays_is_named(make_study, draw):
    folder = make_study()
    path = folder / "vae" / EVALUATION_ARRAYS
    path.write_bytes(path.read_bytes()[:1000])
    with pytest.raises(ArtifactError, match=r"vae/evaluation/arrays\.npz"):
        draw(open_study(folder))


def test_closeness_is_that_of_the_file(make_study):
    folder = make_study({"vae": (30.0, 0.4), "dcgan": (10.0, 0.4)})
    found = column(memorization.closeness(open_study(folder)).markdown, "Closer")
    assert found == {"vae": "75.0 ± 1.0", "dcgan": "25.0 ± 1.0", "*real images*": "50.0"}
    for path in folder.glob("*/metrics.csv"):
        path.write_text(path.read_text().replace("closer_to_train", "other"))
    assert memorization.closeness(open_study(folder)).markdown is None


def test_models_that_copy_are_named(make_study):
    folder = make_study({"vae": (30.0, 0.4), "dcgan": (10.0, 0.4)})
    text = memorization.verdicts(open_study(folder))
    assert f"at least 50{NBSP}% of them" in text
    assert "**vae**: It copies. **dcgan**: It copies." in text
    assert "5,000 samples" in memorization.scope(open_study(folder))
    assert "10,000 training images" in memorization.scope(open_study(folder))


def test_without_copies_the_largest_share_is_named(make_study):
    folder = make_study({"vae": (30.0, 0.4), "dcgan": (10.0, 0.4)})
    for name, copied in (("vae", 0.12), ("dcgan", 0.06)):
        path = folder / name / LAST_METRICS
        facts = read_json(path)["memorization"]
        change(path, memorization=facts | {"warning": "", "copied": copied})
    text = memorization.verdicts(open_study(folder))
    assert f"12.0{NBSP}%, of vae" in text
    # 75 % of the samples of vae are closer than the median test image, 25 % of those of dcgan.
    assert "The samples of vae are" in text
    for path in folder.glob(f"*/{LAST_METRICS}"):
        change(path, memorization=None)
    assert memorization.verdicts(open_study(folder)) == ""
    assert memorization.scope(open_study(folder)) == ""


def test_the_first_row_has_the_closest_samples(make_study):
    folder = make_study({"vae": (30.0, 0.4)}, side=4)
    path = folder / "vae" / EVALUATION_ARRAYS
    samples = np.zeros((16, 4, 4, 1), np.uint8) + np.arange(16, dtype=np.uint8)[:, None, None, None]
    write_arrays(path, read_arrays(path) | {"memorization_samples": samples})
    figure = memorization.closest_pairs(open_study(folder)).figure
    closest, unselected = (axes.images[0].get_array() for axes in figure.axes)
    assert closest[0, 0, 0] == 0
    assert unselected[0, 0, 0] == 8


def class_rows(folder):
    """Return the study and its rows by class."""
    study = open_study(folder)
    return study, classes.class_rows(study)


def test_class_tables_have_the_numbers_of_the_file(make_study):
    folder = make_study(
        {"vae": (30.0, 0.4), "conditional-vae": (25.0, 0.2), "conditional-dcgan": (18.0, 0.2)}
    )
    path = folder / "conditional-vae" / LAST_METRICS
    first, second, *others = read_json(path)["classes"]
    first, second = first | {"label_accuracy": 0.95}, second | {"label_accuracy": None}
    change(path, classes=[first, second, *others])
    study, rows = class_rows(folder)
    accuracy = classes.accuracy("Class", rows[rows["requested"]]).markdown
    assert cells(accuracy, "airplane") == ["airplane", "**95.0** ± 1.0", "90.0 ± 1.0"]
    assert cells(accuracy, "automobile") == ["automobile", "–", "88.0 ± 1.0"]
    shares = classes.shares(rows[~rows["requested"]], study).markdown
    assert set(column(shares, "*real images*").values()) == {"10.0"}
    own = [float(share) for share in column(shares, "vae").values()]
    assert own[0] == pytest.approx(100 * 400 / 4900, abs=0.05)
    assert sum(own) == pytest.approx(100, abs=0.5)
    diversity = classes.diversity(rows).markdown
    assert cells(diversity, "truck") == ["truck", "7.30", "7.30", "7.30", "12.00"]


def test_a_row_of_equal_accuracies_has_no_best(make_study):
    _, rows = class_rows(
        make_study({"conditional-vae": (25.0, 0.2), "conditional-dcgan": (18.0, 0.2)})
    )
    assert "**" not in classes.accuracy("Class", rows).markdown


def test_diversity_of_few_samples_is_left_out(make_study):
    folder = make_study({"vae": (30.0, 0.4), "dcgan": (20.0, 0.4)})
    path = folder / "vae" / LAST_METRICS
    first, second, *others = read_json(path)["classes"]
    change(path, classes=[first | {"num_samples": 19}, second | {"num_samples": 20}, *others])
    diversity = classes.diversity(class_rows(folder)[1])
    assert cells(diversity.markdown, "airplane") == ["airplane", "–", "10.00", "12.00"]
    assert cells(diversity.markdown, "automobile") == ["automobile", "9.70", "9.70", "12.00"]
    change(folder / "dcgan" / LAST_METRICS, classes=None)
    diversity = classes.diversity(class_rows(folder)[1])
    assert "airplane" not in diversity.markdown


def test_a_study_without_classes_has_no_class_rows(make_study):
    study = open_study(make_study(classes=[]))
    assert classes.class_rows(study).empty
    assert classes.attribute_rows(study).empty


def request_attributes(folder, name: str, *, smiling, hat) -> None:
    """Set the accuracy on samples requested with and without two attributes."""
    rows = []
    for title, accuracies in {"Smiling": smiling, "Wearing_Hat": hat}.items():
        for accuracy, requested, real in zip(accuracies, (True, False), (0.9, 0.95), strict=True):
            row = {"name": title, "requested": requested, "label_accuracy": accuracy}
            rows.append(row | {"label_accuracy_std": 0.01, "real": real})
    change(folder / name / LAST_METRICS, attributes=rows)


def test_attributes_have_the_accuracies_of_the_file(make_study):
    folder = make_study(classes=[])
    request_attributes(folder, "vae", smiling=(0.75, 0.5), hat=(None, 1.0))
    request_attributes(folder, "dcgan", smiling=(0.8, 0.5), hat=(0.1, 0.98))
    rows = classes.attribute_rows(open_study(folder))
    assert table_cells(classes.accuracy("Requested", rows).markdown) == [
        ["Requested", "vae", "dcgan", "*real images*"],
        ["Smiling", "75.0 ± 1.0", "**80.0** ± 1.0", "90.0"],
        ["*not* Smiling", "50.0 ± 1.0", "50.0 ± 1.0", "95.0"],
        ["Wearing Hat", "–", "10.0 ± 1.0", "90.0"],
        ["*not* Wearing Hat", "**100.0** ± 1.0", "98.0 ± 1.0", "95.0"],
    ]


def test_rows_of_several_datasets_name_theirs(make_study):
    folder = make_study()
    assert set(classes.class_rows(open_study(folder))["where"]) == {""}
    put_on_two_datasets(folder)
    rows = classes.class_rows(open_study(folder))
    assert set(rows.loc[rows["experiment"] == "vae", "where"]) == {" on faces"}


def test_a_class_with_few_samples_has_empty_places(make_study):
    study = open_study(make_study({"conditional-dcgan": (18.0, 0.2)}, side=4))
    real, axes = classes.samples_by_class(study).figure.axes
    opaque = axes.images[0].get_array()[..., 3]
    assert (opaque[0, ::5] == 255).all()
    assert (opaque[-1, ::5] == 255).tolist() == [True] * 4 + [False] * 4
    # Rows of real images are level with the rows of samples.
    assert [text.get_text() for text in real.texts][-1] == "real images"
    assert real.images[0].get_array().shape[0] == axes.images[0].get_array().shape[0]


def test_judgments_have_the_numbers_of_the_file(make_study):
    study = open_study(make_study())
    table = discriminators.judgments(study).markdown
    assert cells(table, "dcgan") == ["dcgan", "500", "500", "80.0", "55.0", "15.0", "25.0", "0.0"]
    assert "vae" not in table
    found = {name: table.markdown for name, table, _ in discriminators.judgments_by_class(study)}
    for share, percent in (
        ("accuracy", "74.0"), ("false positives", "21.0"), ("false negatives", "31.0")
    ):  # fmt: skip
        row = cells(found[f"discriminator {share} by class"], "automobile")
        assert row == ["automobile", percent, percent]


def change_classes(folder, name: str, *changes: dict[str, object]) -> None:
    """Change what the discriminator makes of the first classes."""
    path = folder / name / LAST_METRICS
    facts = read_json(path)["discriminator"]
    for row, values in zip(facts["classes"], changes, strict=False):
        row.update(values)
    change(path, discriminator=facts)


def test_classes_without_errors_or_images_are_left_out(make_study):
    folder = make_study()
    none = [{"false_positives": 0.0}] * 10
    for name in ("dcgan", "wgan-gp"):
        change_classes(folder, name, *none)
        change_classes(folder, name, {"false_negatives": 0.0}, {"num_generated": 19})
    found = {each[0]: each[1:] for each in discriminators.judgments_by_class(open_study(folder))}
    accuracy, caption = found["discriminator accuracy by class"]
    assert "left out" in caption
    assert "discriminator false positives by class" not in found
    assert "automobile" not in accuracy.markdown
    negatives, _ = found["discriminator false negatives by class"]
    assert "airplane" not in negatives.markdown
    assert "automobile" in negatives.markdown
    change_classes(folder, "dcgan", {}, {"num_real": 19})
    *_, (_, negatives, _) = discriminators.judgments_by_class(open_study(folder))
    assert cells(negatives.markdown, "automobile") == ["automobile", "–", "31.0"]


def test_one_discriminator_has_one_table_by_class(make_study):
    folder = make_study({"dcgan": (20.0, 0.3)})
    unknown = dict.fromkeys(("accuracy", "predicted_fake", "false_positives"))
    change_classes(folder, "dcgan", {"num_generated": 0, **unknown})
    [(_, table, caption)] = discriminators.judgments_by_class(open_study(folder))
    row = cells(table.markdown, "airplane")
    assert row == ["airplane", "500", "0", "–", "–", "–", "28.0"]
    assert "**dcgan**" in caption


def test_discriminators_with_the_same_verdict_share_a_line(make_study):
    text = discriminators.verdicts(open_study(make_study()))
    assert f"**dcgan** (80.0{NBSP}%) and **wgan-gp** (80.0{NBSP}%)." in text


@pytest.mark.parametrize(
    ("predicted_fake", "accuracy", "positives", "negatives", "expected"),
    [
        (1.0, 0.5, 0.0, 1.0, "Calls nearly everything fake: 100.0 %"),
        (0.05, 0.52, 0.9, 0.0, "Calls nearly everything real: 95.0 %"),
        (0.8, 0.6, 0.1, 0.7, "Calls too many images fake: 80.0 %"),
        (0.5, 0.996, 0.0, 0.107, "Separates, all errors on real images: 99.6 %"),
        (0.5, 0.92, 0.12, 0.04, "Separates, most errors on generated images: 92.0 %"),
        (0.5, 0.92, 0.08, 0.06, "Separates: 92.0 %"),
        (0.5, 0.997, 0.0, 0.004, "Separates: 99.7 %"),  # two of 500 are no pattern
        (0.5, 1.0, 0.0, 0.0, "Separates, without errors: 100.0 %"),
        (0.5, 0.52, 0.5, 0.46, "Hardly separates: 52.0 %"),
    ],
)
def test_verdicts_follow_the_shares(
    make_study, predicted_fake, accuracy, positives, negatives, expected
):
    folder = make_study({"dcgan": (20.0, 0.3)})
    path = folder / "dcgan" / LAST_METRICS
    facts = read_json(path)["discriminator"]
    facts["all"] |= {"predicted_fake": predicted_fake, "accuracy": accuracy}
    facts["all"] |= {"false_positives": positives, "false_negatives": negatives}
    change(path, discriminator=facts)
    line = discriminators.verdicts(open_study(folder)).splitlines()[-1]
    assert all(part in line.replace(NBSP, " ") for part in expected.replace(", ", ": ").split(": "))
    for errors in ("all errors", "most errors", "without errors"):
        assert (errors in line) is (errors in expected)


def test_a_study_without_discriminators_has_no_judgments(make_study):
    study = open_study(make_study({"vae": (30.0, 0.4)}))
    assert discriminators.judgments(study).markdown is None
    assert discriminators.judgments_by_class(study) == []
    assert discriminators.verdicts(study) == ""


def test_equal_scores_are_drawn(make_study):
    folder = make_study({"dcgan": (20.0, 0.3)})
    splits = ("train", "test", "generated")
    arrays = {f"scores_{split}": np.zeros(5, np.float32) for split in splits}
    write_arrays(folder / "dcgan" / EVALUATION_ARRAYS, arrays)
    assert to_svg(discriminators.score_histograms(open_study(folder)).figure)


def test_scores_of_nan_are_not_drawn(make_study):
    folder = make_study({"dcgan": (20.0, 0.3)})
    path = folder / "dcgan" / EVALUATION_ARRAYS
    arrays = read_arrays(path)
    arrays["scores_test"][:10] = np.nan
    write_arrays(path, arrays)
    assert to_svg(discriminators.score_histograms(open_study(folder)).figure)
    write_arrays(path, arrays | {"scores_generated": np.full(9, np.nan)})
    assert discriminators.score_histograms(open_study(folder)).figure is None


def test_judged_images_have_probabilities_or_scores(make_study):
    study = open_study(make_study(SCORES))
    drawing = discriminators.judged_images(study)
    drawn = images_drawn(drawing)
    texts = words_of(drawing)
    assert len(drawn) == 2 * 2 * 3  # GANs, kinds of images, judgments
    for name in ("dcgan", "wgan-gp"):
        assert {f"{name}: real, surest", f"{name}: generated, surest"} <= texts
    # σ(3) is 95.3 %; the critic's score stays as it is. Images that are not wrong are left out.
    assert {"95.3 %", "4.7 %", "3.00", "−3.00"} <= texts
    judged = study["dcgan"].evaluation_arrays["judged_real"]
    side = judged.shape[2]
    assert (drawn[2][:side, :side, :3] == judged[2, 0]).all()
    visible = [int(image[0, :, 3].astype(bool).sum()) // side for image in drawn]
    assert visible == [5, 5, 2] * 4
    scales = discriminators.score_scales(study)
    assert scales.index("dcgan") < scales.index("wgan-gp (threshold 0.00)")


def test_scores_without_bounds_and_without_errors(make_study):
    folder = make_study({"dcgan": (20.0, 0.3)})
    path = folder / "dcgan" / EVALUATION_ARRAYS
    surest = np.array([[900.0] * 5, [800.0] * 5, [700.0] * 5], np.float32)
    sides = {"judged_real_scores": surest, "judged_generated_scores": -2 * surest}
    write_arrays(path, read_arrays(path) | sides)
    texts = words_of(discriminators.judged_images(open_study(folder)))
    assert {"> 99.9 %", "< 0.1 %", "real, none wrong", "generated, none wrong"} <= texts


@pytest.mark.parametrize("along", [0.0, 0.5, 1.0])
def test_names_of_kinds_stay_inside_the_axes_and_apart(along):
    peaks = {"generated": along, "training": along, "test": 1 - along}
    places = discriminators._name_places(peaks, inches=2.0)
    assert all(0.06 < middle < 0.94 for middle, _ in places.values())
    levels = {name: level for name, (_, level) in places.items()}
    assert levels["generated"] != levels["training"]
    assert max(levels.values()) == (2 if along == 0.5 else 1)
