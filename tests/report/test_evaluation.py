"""What evaluation leaves beside its metrics: copies, classes and discriminators, in pictures, tables and words."""

from __future__ import annotations

import numpy as np
import pytest
from matplotlib.text import Text

from latentbench.artifacts.files import read_arrays, read_json, write_arrays
from latentbench.artifacts.paths import EVALUATION_ARRAYS, LAST_METRICS
from latentbench.errors import ArtifactError
from latentbench.report.comparison import (
    classes,
    discriminator_findings,
    discriminators,
    memorization,
)
from latentbench.report.presentation.formatting import NBSP
from latentbench.report.presentation.style import to_svg
from latentbench.report.training import curves
from latentbench.results.study import open_study
from tests.report.conftest import SIX, change, keep_arrays
from tests.report.test_columns import cells, column

DRAWINGS = (memorization.copies, classes.samples_by_class, discriminators.score_histograms)


def words_of(drawing) -> set[str]:
    return {text.get_text() for text in drawing.figure.findobj(Text)}


@pytest.mark.parametrize("draw", DRAWINGS)
@pytest.mark.parametrize("channels", [1, 3])
def test_every_picture_is_drawn_of_one_model_and_of_many(make_study, draw, channels):
    for scores in (SIX, {"dcgan": (20.0, None)}):
        drawing = draw(open_study(make_study(scores, channels=channels)))
        assert to_svg(drawing.figure).startswith("<svg")
        assert drawing.notes == []
        assert "dcgan" in words_of(drawing)


@pytest.mark.parametrize("draw", DRAWINGS)
def test_what_was_not_examined_is_said_and_what_cannot_be_is_not(make_study, draw):
    folder = make_study()
    (folder / "dcgan" / EVALUATION_ARRAYS).unlink()
    drawing = draw(open_study(folder))
    assert "dcgan" not in words_of(drawing)
    assert drawing.notes == [
        f"There is no {EVALUATION_ARRAYS} of dcgan yet; `latentbench evaluate` writes it."
    ]
    folder = make_study()
    for path in folder.glob(f"*/{EVALUATION_ARRAYS}"):
        keep_arrays(path, "another")
        write_arrays(path, {"another": np.zeros(1)})
    drawing = draw(open_study(folder))
    assert drawing.figure is None
    assert drawing.notes == []


@pytest.mark.parametrize("draw", DRAWINGS)
def test_damaged_arrays_are_named(make_study, draw):
    folder = make_study()
    path = folder / "vae" / EVALUATION_ARRAYS
    path.write_bytes(path.read_bytes()[:1000])
    with pytest.raises(ArtifactError, match=r"vae/evaluation/arrays\.npz is damaged"):
        draw(open_study(folder))


def test_arrays_are_read_once(make_study):
    folder = make_study()
    experiment = open_study(folder).experiments[0]
    first = experiment.examined
    (folder / "vae" / EVALUATION_ARRAYS).unlink()
    assert experiment.examined is first


def test_fraction_nearer_than_unseen_images_is_that_of_the_file(make_study):
    folder = make_study({"vae": (30.0, 0.4), "dcgan": (10.0, 0.4)})
    table = memorization.nearness(open_study(folder)).markdown
    assert column(table, "Nearer") == {
        "vae": "75.0 ± 1.0",
        "dcgan": "25.0 ± 1.0",
        "*real images*": "50.0",
    }
    for path in folder.glob("*/metrics.csv"):
        path.write_text(path.read_text().replace("closer_to_train", "other"))
    assert memorization.nearness(open_study(folder)).markdown is None


def test_copies_are_named_where_there_are_any(make_study):
    folder = make_study({"vae": (30.0, 0.4), "dcgan": (10.0, 0.4)})
    criterion = (
        f"Samples count as copies where at least 50{NBSP}% of them are nearer to a training image than all but "
        f"5{NBSP}% of the real test images are."
    )
    assert (
        memorization.verdicts(open_study(folder))
        == f"{criterion} **vae**: It copies. **dcgan**: It copies."
    )
    assert memorization.scope(open_study(folder)).startswith(
        "5,000 samples of each sampling seed were held against 10,000"
    )
    for name in ("vae", "dcgan"):
        path = folder / name / LAST_METRICS
        copied = {"vae": 0.12, "dcgan": 0.06}[name]
        change(
            path, memorization=read_json(path)["memorization"] | {"warning": "", "copied": copied}
        )
    said = f"{criterion} Those of no model do: the largest share is 12.0{NBSP}%, of vae."
    # Of vae 75 % are nearer than half of the unseen images, of dcgan 25 %.
    typical = (
        "So the samples of vae, nearer than unseen images, are the most typical images, not copies."
    )
    assert memorization.verdicts(open_study(folder)) == f"{said} {typical}"
    for path in folder.glob(f"*/{LAST_METRICS}"):
        change(path, memorization=None)
    assert memorization.verdicts(open_study(folder)) == memorization.scope(open_study(folder)) == ""


def test_first_rows_are_the_closest_then_those_nobody_selected(make_study):
    folder = make_study({"vae": (30.0, 0.4)}, side=4)
    samples = np.zeros((16, 4, 4, 1), np.uint8) + np.arange(16, dtype=np.uint8)[:, None, None, None]
    arrays = read_arrays(folder / "vae" / EVALUATION_ARRAYS)
    write_arrays(folder / "vae" / EVALUATION_ARRAYS, arrays | {"memorization_samples": samples})
    closest, unselected = (
        axes.images[0].get_array() for axes in memorization.copies(open_study(folder)).figure.axes
    )
    assert closest[0, 0, 0] == 0
    assert unselected[0, 0, 0] == 8


def class_table(study, name):
    return next(table.markdown for title, table, _ in classes.class_tables(study) if title == name)


def class_caption(folder, name):
    return next(
        caption for title, _, caption in classes.class_tables(open_study(folder)) if title == name
    )


def test_class_tables_hold_what_was_measured(make_study):
    folder = make_study(
        {"vae": (30.0, 0.4), "conditional-vae": (25.0, 0.2), "conditional-dcgan": (18.0, 0.2)}
    )
    path = folder / "conditional-vae" / LAST_METRICS
    rows = read_json(path)["classes"]
    change(
        path,
        classes=[rows[0] | {"label_accuracy": 0.95}, rows[1] | {"label_accuracy": None}, *rows[2:]],
    )
    study = open_study(folder)
    accuracy = class_table(study, "class accuracy")
    assert cells(accuracy, "airplane") == ["airplane", "**95.0** ± 1.0", "90.0 ± 1.0"]
    # What nothing is to be held against is not the best.
    assert cells(accuracy, "automobile") == ["automobile", "–", "88.0 ± 1.0"]
    shares = [float(share) for share in column(class_table(study, "class shares"), "vae").values()]
    assert set(column(class_table(study, "class shares"), "*real images*").values()) == {"10.0"}
    assert shares[0] == pytest.approx(100 * 400 / 4900, abs=0.05)
    assert sum(shares) == pytest.approx(100, abs=0.5)
    assert cells(class_table(study, "class diversity"), "truck") == [
        "truck",
        "7.30",
        "7.30",
        "7.30",
        "12.00",
    ]


def test_a_row_in_which_all_are_alike_has_no_best(make_study):
    folder = make_study({"conditional-vae": (25.0, 0.2), "conditional-dcgan": (18.0, 0.2)})
    assert "**" not in class_table(open_study(folder), "class accuracy")


def test_what_is_told_of_few_samples_is_left_out(make_study):
    folder = make_study({"vae": (30.0, 0.4), "dcgan": (20.0, 0.4)})
    path = folder / "vae" / LAST_METRICS
    rows = read_json(path)["classes"]
    change(path, classes=[rows[0] | {"num_samples": 19}, rows[1] | {"num_samples": 20}, *rows[2:]])
    diversity = class_table(open_study(folder), "class diversity")
    assert cells(diversity, "airplane") == ["airplane", "–", "10.00", "12.00"]
    assert cells(diversity, "automobile") == ["automobile", "9.70", "9.70", "12.00"]
    assert "– stands where there are fewer than 20 images of a class" in class_caption(
        folder, "class diversity"
    )
    change(folder / "dcgan" / LAST_METRICS, classes=None)
    assert "airplane" not in class_table(open_study(folder), "class diversity"), (
        "of which no model has enough"
    )
    assert "stands where" not in class_caption(folder, "class diversity")


def test_captions_say_how_often_the_classifier_is_right(make_study):
    folder = make_study({"vae": (30.0, 0.4), "conditional-dcgan": (18.0, 0.2)})
    captions = {name: caption for name, _, caption in classes.class_tables(open_study(folder))}
    assert f"(of real test images 95.0{NBSP}% are recognized)" in captions["class shares"]
    assert f"(of real test images 95.0{NBSP}% are recognized)" in captions["class accuracy"]
    assert "bold" not in captions["class accuracy"], "one model alone is not best"
    for path in folder.glob(f"*/{LAST_METRICS}"):
        change(path, test_scores={})
    assert all(
        "are recognized)" not in caption
        for _, _, caption in classes.class_tables(open_study(folder))
    )


def test_study_without_classes_has_no_class_tables(make_study):
    assert classes.class_tables(open_study(make_study(classes=[]))) == []


def test_class_with_few_samples_has_empty_places(make_study):
    drawing = classes.samples_by_class(
        open_study(make_study({"conditional-dcgan": (18.0, 0.2)}, side=4))
    )
    reals, axes = drawing.figure.axes
    opaque = axes.images[0].get_array()[..., 3]
    assert (opaque[0, ::5] == 255).all()
    assert (opaque[-1, ::5] == 255).tolist() == [True] * 4 + [False] * 4
    # Real images stand beside the samples, row by row.
    assert [text.get_text() for text in reals.texts][-1] == "real images"
    assert reals.images[0].get_array().shape[0] == axes.images[0].get_array().shape[0]


def test_judgments_hold_what_was_measured(make_study):
    study = open_study(make_study())
    table = discriminators.judgments(study).markdown
    assert cells(table, "dcgan") == ["dcgan", "500", "500", "80.0", "55.0", "15.0", "25.0"]
    assert "vae" not in table
    assert [name for name, *_ in discriminators.judgments_by_class(study)] == [
        f"discriminator {what} by class"
        for what in ("accuracy", "false positives", "false negatives")
    ]
    accuracy, positives, negatives = (
        table.markdown for _, table, _ in discriminators.judgments_by_class(study)
    )
    assert cells(accuracy, "automobile") == ["automobile", "74.0", "74.0"]
    assert cells(positives, "automobile") == ["automobile", "21.0", "21.0"]
    assert cells(negatives, "automobile") == ["automobile", "31.0", "31.0"]
    captions = [caption for *_, caption in discriminators.judgments_by_class(study)]
    assert captions[0].startswith(
        "Share (%) of images on which each discriminator is right, by class."
    )
    assert captions[1].startswith(
        "Share (%) of generated images that each discriminator calls real, by class."
    )


def test_classes_without_errors_or_images_are_left_out(make_study):
    folder = make_study()
    for name in ("dcgan", "wgan-gp"):
        path = folder / name / LAST_METRICS
        judged = read_json(path)["discriminator"]
        judged["classes"] = [row | {"false_positives": 0.0} for row in judged["classes"]]
        judged["classes"][0] |= {"false_negatives": 0.0}
        judged["classes"][1] |= {"num_generated": 19}
        change(path, discriminator=judged)
    found = {
        name: (table.markdown, caption)
        for name, table, caption in discriminators.judgments_by_class(open_study(folder))
    }
    assert list(found) == [
        "discriminator accuracy by class",
        "discriminator false negatives by class",
    ]
    accuracy, negatives = found.values()
    assert "automobile" not in accuracy[0]
    assert "Classes without enough images are left out." in accuracy[1]
    assert "airplane" not in negatives[0]
    assert "automobile" in negatives[0]
    assert negatives[1].endswith("by class. Classes without any are left out.")
    path = folder / "dcgan" / LAST_METRICS
    judged = read_json(path)["discriminator"]
    judged["classes"][1] |= {"num_real": 19}
    change(path, discriminator=judged)
    [*_, (_, table, caption)] = discriminators.judgments_by_class(open_study(folder))
    assert cells(table.markdown, "automobile") == ["automobile", "–", "31.0"]
    assert caption.endswith("– stands where there are fewer than 20 images of a kind.")


def test_one_discriminator_has_one_table_by_class(make_study):
    folder = make_study({"dcgan": (20.0, 0.3)})
    path = folder / "dcgan" / LAST_METRICS
    judged = read_json(path)["discriminator"]
    judged["classes"][0] |= {
        "num_generated": 0,
        "accuracy": None,
        "predicted_fake": None,
        "false_positives": None,
    }
    change(path, discriminator=judged)
    [(_, table, caption)] = discriminators.judgments_by_class(open_study(folder))
    assert cells(table.markdown, "airplane") == ["airplane", "500", "0", "–", "–", "–", "28.0"]
    assert "**dcgan**" in caption


def judge(folder, name: str, **shares) -> None:
    """Set what a discriminator makes of all images."""
    path = folder / name / LAST_METRICS
    judged = read_json(path)["discriminator"]
    change(path, discriminator=judged | {"all": judged["all"] | shares})


def test_each_kind_of_discriminator_has_its_rule(make_study):
    folder = make_study()
    text = discriminator_findings.verdicts(open_study(folder))
    assert (
        "called real by dcgan where its score is above 0, halfway between what the loss asks"
        in text
    )
    assert "best tells 1,000 training images from as many generated ones: 0.0 for wgan-gp." in text
    text = discriminator_findings.verdicts(open_study(make_study({"dcgan": (20.0, 0.3)})))
    assert text.startswith(
        "An image is called real where its score is above 0, halfway between what the loss asks of"
    )


def test_smoothed_labels_have_another_middle(make_study):
    folder = make_study({"dcgan": (20.0, 0.3), "conditional-dcgan": (18.0, 0.2)})
    config = folder / "dcgan" / "config.yaml"
    smoothed = config.read_text().replace("label_smoothing: 0.0", "label_smoothing: 0.1")
    config.write_text(smoothed)
    assert (
        "with the smoothed labels of dcgan, halfway would be a little lower"
        in discriminator_findings.verdicts(open_study(folder))
    )
    other = folder / "conditional-dcgan" / "config.yaml"
    other.write_text(other.read_text().replace("label_smoothing: 0.0", "label_smoothing: 0.1"))
    assert "halfway" not in discriminator_findings.verdicts(open_study(folder))


def test_discriminators_that_are_alike_are_told_together(make_study):
    text = discriminator_findings.verdicts(open_study(make_study()))
    assert (
        f"- Tells most real from generated images: **dcgan** (80.0{NBSP}%) and **wgan-gp** (80.0{NBSP}%)."
        in text
    )


@pytest.mark.parametrize(
    ("predicted_fake", "accuracy", "positives", "negatives", "said"),
    [
        (
            1.0,
            0.5,
            0.0,
            1.0,
            "Calls nearly everything fake (the share of a set of which half is): **dcgan** (100.0 %)",
        ),
        (
            0.05,
            0.52,
            0.9,
            0.0,
            "Calls nearly everything real (the share of a set of which half is): **dcgan** (95.0 %)",
        ),
        (
            0.8,
            0.6,
            0.1,
            0.7,
            "Calls too much fake (the share of a set of which half is): **dcgan** (80.0 %)",
        ),
        (
            0.5,
            0.996,
            0.0,
            0.107,
            "Tells real from generated images and errs only on real images: **dcgan** (99.6 %)",
        ),
        (
            0.5,
            0.92,
            0.12,
            0.04,
            "Tells real from generated images and errs mostly on generated images: **dcgan**",
        ),
        (0.5, 0.92, 0.08, 0.06, "Tells real from generated images: **dcgan** (92.0 %)"),
        # One or two of 500 are no pattern.
        (0.5, 0.997, 0.0, 0.004, "Tells real from generated images: **dcgan** (99.7 %)"),
        (
            0.5,
            1.0,
            0.0,
            0.0,
            "Tells real from generated images and errs on none: **dcgan** (100.0 %)",
        ),
        (
            0.5,
            0.52,
            0.5,
            0.46,
            "Hardly tells real from generated images, where guessing gets half: **dcgan** (52.0 %)",
        ),
    ],
)
def test_what_a_discriminator_amounts_to(
    make_study, predicted_fake, accuracy, positives, negatives, said
):
    folder = make_study({"dcgan": (20.0, 0.3)})
    shares = {"false_positives": positives, "false_negatives": negatives}
    judge(folder, "dcgan", predicted_fake=predicted_fake, accuracy=accuracy, **shares)
    assert f"- {said}" in discriminator_findings.verdicts(open_study(folder)).replace(NBSP, " ")


def test_study_without_discriminators_says_nothing_of_them(make_study):
    study = open_study(make_study({"vae": (30.0, 0.4)}))
    assert discriminators.judgments(study).markdown is None
    assert discriminators.judgments_by_class(study) == []
    assert discriminator_findings.verdicts(study) == ""


def test_scores_that_are_all_the_same_are_drawn(make_study):
    folder = make_study({"dcgan": (20.0, 0.3)})
    same = {
        f"scores_{split}": np.full(5, 0.0, np.float32) for split in ("train", "test", "generated")
    }
    write_arrays(folder / "dcgan" / EVALUATION_ARRAYS, same)
    assert to_svg(discriminators.score_histograms(open_study(folder)).figure)


@pytest.mark.parametrize("along", [0.0, 0.5, 1.0])
def test_names_of_kinds_stay_inside_the_axes_and_apart(along):
    peaks = {"generated": along, "training": along, "test": 1 - along}
    places = discriminators._names_over(peaks, inches=2.0)
    assert all(0.06 < middle < 0.94 for middle, _ in places.values())
    levels = {name: level for name, (_, level) in places.items()}
    assert levels["generated"] != levels["training"]
    assert max(levels.values()) == (2 if along == 0.5 else 1)


def test_two_halves_have_a_line_with_its_name(make_study):
    folder = make_study()
    assert {"real images", "two halves"} <= words_of(curves.metric_curves(open_study(folder)))
    for path in folder.glob(f"*/{LAST_METRICS}"):
        change(path, train_halves=None)
    assert "two halves" not in words_of(curves.metric_curves(open_study(folder)))


def test_scores_that_are_no_numbers_are_not_drawn(make_study):
    folder = make_study({"dcgan": (20.0, 0.3)})
    path = folder / "dcgan" / EVALUATION_ARRAYS
    arrays = read_arrays(path)
    arrays["scores_test"][:10] = np.nan
    write_arrays(path, arrays)
    assert to_svg(discriminators.score_histograms(open_study(folder)).figure)
    write_arrays(path, arrays | {"scores_generated": np.full(9, np.nan)})
    assert discriminators.score_histograms(open_study(folder)).figure is None
