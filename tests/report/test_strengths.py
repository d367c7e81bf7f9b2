"""Strengths are told as the numbers have them, and change with them."""

from __future__ import annotations

import re

from latentbench.artifacts.files import read_csv, read_json, write_csv, write_json
from latentbench.artifacts.paths import METRICS, PROVENANCE
from latentbench.report.comparison.strengths import strengths
from latentbench.report.presentation.formatting import NBSP
from latentbench.results.study import open_study
from tests.report.conftest import make_repeats


def portraits(folder) -> dict[str, str]:
    """By model, what it is said to be; the rule stands before them."""
    _, *told = strengths(open_study(folder)).split("\n\n")
    return {text.partition("**")[2].partition("**")[0]: text for text in told}


def test_each_model_is_told_what_it_is_best_and_last_in(make_study):
    told = portraits(make_study())
    assert list(told) == ["vae", "dcgan", "wgan-gp"]
    assert "is best in training time (40" in told["vae"]
    assert (
        "last in FD (classifier) (30.0)"
        in told["vae"].partition("last in")[1] + told["vae"].partition("last in")[2]
    )
    assert (
        "is best in FD (classifier) (12.0), precision (0.083) and recall (0.077)" in told["wgan-gp"]
    )
    assert f"last in training time (2{NBSP}min{NBSP}00{NBSP}s)" in told["wgan-gp"]
    assert "neither best nor last in any of these." in told["dcgan"]
    # The imagined VAE's history has signs of trouble in its first two epochs.
    assert "signs of trouble in 2 of 4 epochs" in told["vae"]
    assert "trouble" not in told["wgan-gp"]


def test_what_was_looked_at_is_said(make_study):
    rule = strengths(open_study(make_study())).partition("\n")[0]
    assert rule.startswith(
        "Looked at: FD (classifier), precision, recall, reconstruction error and training time."
    )
    folder = make_study()
    for path in folder.glob(f"*/{METRICS}"):
        path.write_text(
            re.sub(r"(precision|recall|density|coverage)_classifier", r"\1_other", path.read_text())
        )
    assert strengths(open_study(folder)).startswith(
        "Looked at: FD (classifier), reconstruction error and"
    )


def test_who_cannot_be_told_apart_shares_a_place(make_study):
    told = portraits(make_study({"vae": (30.0, 0.4), "dcgan": (12.3, 0.3), "wgan-gp": (12.0, 0.2)}))
    assert "among the best in FD (classifier) (12.0, with dcgan)" in told["wgan-gp"]
    assert "among the best in FD (classifier) (12.3, with wgan-gp)" in told["dcgan"]
    assert "last in FD (classifier) (30.0)" in told["vae"]


def test_repeats_are_told_apart_by_their_spread_over_trainings(make_study):
    folder = make_study({"vae": (15.0, 0.1), "dcgan": (20.0, 0.1), "wgan-gp": (12.0, 0.1)})
    assert "best in FD (classifier) (12.0)" in portraits(folder)["wgan-gp"]
    # 15 and 20: a spread over trainings of 3.5, which would stand for another training of the third as well.
    make_repeats(folder, "vae", "dcgan")
    assert all("FD (classifier)" not in text for text in portraits(folder).values())


def test_a_last_place_of_many_is_left_out(make_study):
    scores = {
        "vae": (30.0, 0.1),
        "dcgan": (30.0, 0.1),
        "wgan-gp": (12.0, 0.1),
        "conditional-vae": (30.0, 0.1),
    }
    told = portraits(make_study(scores))
    assert "best in FD (classifier) (12.0)" in told["wgan-gp"]
    assert not any("last in FD (classifier)" in text for text in told.values())
    told = portraits(make_study({name: scores[name] for name in ("vae", "dcgan", "wgan-gp")}))
    assert "among the last in FD (classifier) (30.0, with dcgan)" in told["vae"]


def test_what_all_have_alike_is_no_strength(make_study):
    folder = make_study({"dcgan": (20.0, 0.3), "wgan-gp": (20.0, 0.3)})
    for name, seconds in (("dcgan", 40.0), ("wgan-gp", 47.0)):
        write_json(
            folder / name / PROVENANCE, read_json(folder / name / PROVENANCE) | {"seconds": seconds}
        )
    assert all(
        "neither best nor last in any of these." in text for text in portraits(folder).values()
    )


def test_equal_work_is_not_told_apart_by_time(make_study):
    folder = make_study({"dcgan": (20.0, 0.3), "wgan-gp": (12.0, 0.3)})
    assert "best in training time" in portraits(folder)["dcgan"]
    make_repeats(folder, "dcgan", "wgan-gp")
    config = folder / "wgan-gp" / "config.yaml"
    config.write_text(config.read_text().replace("label_smoothing: 0.0", "label_smoothing: 0.1"))
    assert all("training time" not in text for text in portraits(folder).values())


def test_numbers_have_the_decimals_of_the_table(make_study):
    folder = make_study({"dcgan": (243.18, 0.1), "wgan-gp": (35.0, 0.1)})
    for name, recall in (("dcgan", "0.004"), ("wgan-gp", "0.04")):
        rows = read_csv(folder / name / METRICS)
        write_csv(
            folder / name / METRICS,
            [row | {"recall_classifier": recall} for row in rows],
            columns=list(rows[0]),
        )
    told = portraits(folder)
    assert "FD (classifier) (243.2)" in told["dcgan"]
    assert "recall (0.004)" in told["dcgan"]
    assert "FD (classifier) (35.0)" in told["wgan-gp"]


def test_one_model_alone_has_nothing_to_be_better_than(make_study):
    assert strengths(open_study(make_study({"vae": (30.0, 0.4)}))) == ""
