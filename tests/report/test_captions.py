"""What stands beside tables and figures follows the results."""

from __future__ import annotations

from latentbench.report.comparison import captions
from latentbench.results.study import open_study
from tests.report.conftest import CONDITIONAL, change
from tests.report.synthetic_results import CLASSES


def test_protocol_names_samples_seeds_and_reference(make_study):
    text = captions.protocol(open_study(make_study()))
    assert "5,000 generated images for each of 3 sampling seeds, against 10,000 real images" in text
    assert (
        "FD (classifier) and KD (classifier): features of the classifier trained on glyphs" in text
    )


def test_protocol_says_once_what_is_the_same_on_every_dataset(make_study):
    folder = make_study()
    for name, (dataset, width) in {"vae": ("a", 1), "dcgan": ("b", 2), "wgan-gp": ("b", 2)}.items():
        protocols = {
            "classifier": f"width {width} for {dataset}; KD (classifier) of subsets; precision of neighbors"
        }
        change(folder / name / "metrics.json", protocols=protocols)
    text = captions.protocol(open_study(folder))
    assert (
        "\n\n- width 1 for a\n- width 2 for b\n\nKD (classifier) of subsets; precision of neighbors.\n\n"
        in text
    )


def test_the_floor_says_of_how_many_images_it_is_and_what_that_does_to_it(make_study):
    folder = make_study()
    for number, worth in (
        (400, "; so good samples, 5,000 as they are measured, would score lower."),
        (5_000, ", about what a perfect model would score."),
        (10_000, "; so good samples, 5,000 as they are measured, would score higher."),
    ):
        for path in folder.glob("*/metrics.json"):
            change(path, num_test_images=number)
        caption = captions.curves_caption(open_study(folder))
        assert f"of {number:,} real test images, which no model saw{worth}" in caption


def test_the_distance_of_two_halves_is_explained_where_it_was_measured(make_study):
    folder = make_study()
    assert "two halves of the training images, 5,000 each" in captions.curves_caption(
        open_study(folder)
    )
    for path in folder.glob("*/metrics.json"):
        path.write_text(path.read_text().replace("train_halves", "other"))
    assert "halves" not in captions.curves_caption(open_study(folder))


def test_reconstruction_says_by_what_way_and_of_how_many(make_study):
    study = open_study(make_study())
    # The inversion is said once for all that were inverted in the same way.
    assert captions.reconstruction_ways(study) == (
        "By encoding: vae; by inversion: dcgan, wgan-gp. "
        "Inversion is 200 steps of Adam on the latent, from the nearest of 512 random ones."
    )
    assert (
        "means over 64 images in [0, 1], the same for all models"
        in captions.reconstruction_scope(study)
    )


def test_the_summary_says_what_its_columns_are(make_study):
    folder = make_study()
    caption = captions.summary_caption(open_study(folder))
    assert (
        "FD (classifier) is the Fréchet classifier distance and KD (classifier) is the kernel classifier distance, to real images."
        in caption
    )
    assert caption.endswith("The best of each column is in bold.")
    assert "As asked" not in caption
    assert "bold" not in captions.summary_caption(open_study(make_study({"vae": (30.0, 0.4)})))


def test_samples_above_real_images_are_called_typical_where_there_are_any(make_study):
    folder = make_study({"vae": (30.0, 0.4), "dcgan": (20.0, 0.4)})
    assert "more typical" not in captions.overlap_caption(open_study(folder))
    change(
        folder / "dcgan" / "metrics.json",
        test_scores={"precision_classifier": 0.01, "density_classifier": 0.9},
    )
    assert (
        "Where precision is above that of real images, samples are more typical"
        in captions.overlap_caption(open_study(folder))
    )


def test_what_a_study_lacks_is_not_spoken_of(make_study):
    asked = (
        captions.has_classes,
        captions.has_conditional,
        captions.has_class_means,
        captions.lacks_prior,
    )
    for scores, classes, answers in (
        ({"dcgan": (1.0, None)}, CLASSES, [True, False, False, False]),
        ({"vae": (1.0, None)}, CLASSES, [True, False, True, False]),
        ({"vae": (1.0, None)}, [], [False, False, False, False]),
        ({f"{CONDITIONAL}vae": (1.0, None)}, CLASSES, [True, True, False, False]),
    ):
        study = open_study(make_study(scores, classes=classes))
        assert [ask(study) for ask in asked] == answers
