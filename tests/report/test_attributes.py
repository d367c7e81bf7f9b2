"""Attributes asked for and walked along: what the tables say of them."""

from __future__ import annotations

from latentbench.artifacts.paths import LAST_METRICS, LATENT_FACTS
from latentbench.report.comparison import captions, conclusions
from latentbench.report.latent import attributes
from latentbench.results.study import open_study
from tests.report.conftest import change, score_labels

MINUS = "\N{MINUS SIGN}"


def asked(folder, name, *, smiling, hat):
    """Say what is seen in samples that were to smile or not, and to wear a hat or not."""
    shares = {"Smiling": smiling, "Wearing_Hat": hat}
    rows = [
        {"name": title, "requested": side == 0, "label_accuracy": share, "label_accuracy_std": 0.01}
        | {"real": 0.9 + side / 20}
        for title, sides in shares.items()
        for side, share in enumerate(sides)
    ]
    change(folder / name / LAST_METRICS, attributes=rows)


def test_attributes_asked_for_are_a_table(make_study):
    folder = make_study(classes=[])
    assert attributes.asked_tables(open_study(folder)) == []
    asked(folder, "vae", smiling=(0.75, 0.5), hat=(None, 1.0))
    asked(folder, "dcgan", smiling=(0.8, 0.5), hat=(0.1, 0.98))
    [(name, table, caption)] = attributes.asked_tables(open_study(folder))
    assert name == "attribute accuracy"
    assert table.markdown.splitlines()[0] == "| Asked for | vae | dcgan | *real images* |"
    assert table.markdown.splitlines()[2:] == [
        "| Smiling | 75.0 ± 1.0 | **80.0** ± 1.0 | 90.0 |",
        "| *not* Smiling | 50.0 ± 1.0 | 50.0 ± 1.0 | 95.0 |",
        "| Wearing Hat | – | 10.0 ± 1.0 | 90.0 |",
        "| *not* Wearing Hat | **100.0** ± 1.0 | 98.0 ± 1.0 | 95.0 |",
    ]
    assert "of real test images that it is right on" in caption


def test_the_summary_says_how_attributes_are_counted(make_study):
    folder = make_study({"conditional-vae": (25.0, 0.2), "conditional-dcgan": (18.0, 0.2)})
    score_labels(folder, {"conditional-vae": "0.5", "conditional-dcgan": "0.7"})
    caption = captions.summary_caption(open_study(folder))
    assert "the class they were asked for" in caption
    assert "averaged over attributes" not in caption
    for name in ("conditional-vae", "conditional-dcgan"):
        asked(folder, name, smiling=(0.75, 0.5), hat=(0.1, 1.0))
    caption = captions.summary_caption(open_study(folder))
    assert "the class they were asked for" not in caption
    assert "As asked is of models asked by attributes, the mean of two shares" in caption
    assert "chance would be 0.500." in conclusions.in_short(open_study(folder))


def test_what_walks_change_is_a_table(make_study):
    folder = make_study()
    lines = attributes.rescored(open_study(folder)).markdown.splitlines()
    assert (
        lines[0]
        == "| Model | Direction | Smiling | Eyeglasses | Male | Wearing Lipstick | Blond Hair | No Beard |"
    )
    assert lines[2] == f"| vae | Smiling | **+80** | {MINUS}6 | +6 | {MINUS}6 | +6 | {MINUS}6 |"
    assert lines[4] == f"|  | Male | +6 | {MINUS}6 | **+80** | {MINUS}6 | +6 | {MINUS}6 |"
    assert len(lines) == 2 + 6


def test_walks_that_no_classifier_has_seen_are_no_table(make_study):
    folder = make_study()
    directions = [{"attribute": "Smiling", "accuracy": 0.9, "base_rate": 0.6}]
    change(folder / "vae" / LATENT_FACTS, directions=directions)
    assert attributes.rescored(open_study(folder)).markdown is None
    assert attributes.walk_curves(open_study(folder)).figure is None


def test_the_caption_says_what_is_walked_from(make_study):
    folder = make_study({"vae": (25.0, 0.2), "conditional-vae": (18.0, 0.2)})
    assert attributes.walk_origins(open_study(folder)) == "Test images"
    change(folder / "vae" / LATENT_FACTS, directions_source="samples")
    assert attributes.walk_origins(open_study(folder)).startswith(
        "Test images, and samples of models that cannot encode,"
    )
    change(folder / "conditional-vae" / LATENT_FACTS, directions_source="samples")
    assert attributes.walk_origins(open_study(folder)).startswith(
        "Samples of models that cannot encode,"
    )


def test_the_end_says_how_far_walks_lead(make_study):
    folder = make_study({"vae": (25.0, 0.2), "conditional-vae": (18.0, 0.2)})
    seen = {"Smiling": [0.1, 0.4, 0.5], "Wearing_Hat": [0.5, 0.5, 0.25]}
    directions = [
        {"attribute": name, "accuracy": 0.9, "base_rate": 0.6, "predicted": seen}
        for name in reversed(seen)
    ]
    change(folder / "vae" / LATENT_FACTS, directions=directions)
    points = conclusions.in_short(open_study(folder))
    start = "a walk along an attribute changes the share of images in which it is seen: "
    assert (
        f"{start}Wearing Hat {MINUS}25 (vae); Smiling +80 (conditional-vae) to +40 (vae); Eyeglasses"
        in points
    )
