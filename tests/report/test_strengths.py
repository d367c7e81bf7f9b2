"""What models are best and last in follows the numbers."""

from __future__ import annotations

import re

from latentbench import open_study
from latentbench.artifacts.files import read_csv, write_csv
from latentbench.artifacts.paths import METRICS, PROVENANCE
from latentbench.report.comparison.strengths import strengths
from latentbench.results.formatting import NBSP
from tests.report.conftest import change_record, make_repeats

FD = "FD (classifier)"


def portraits(folder) -> dict[str, str]:
    """Return the sentence on each model."""
    paragraphs = strengths(open_study(folder)).split("\n\n")
    return {text.split("**")[1]: text for text in paragraphs}


def places(portrait: str) -> dict[str, str]:
    """Return the criteria by place: best in, among the best in, last in, among the last in."""
    if "neither best nor last" in portrait:
        return {}
    parts = re.split(r"\b((?:among the )?(?:best|last) in) ", portrait)
    return dict(zip(parts[1::2], parts[2::2], strict=True))


def test_each_model_is_best_and_last_in_what_the_numbers_say(make_study):
    found = portraits(make_study())
    assert list(found) == ["vae", "dcgan", "wgan-gp"]
    assert "training time (40" in places(found["vae"])["best in"]
    assert f"{FD} (30.0)" in places(found["vae"])["last in"]
    best = places(found["wgan-gp"])["best in"]
    assert f"{FD} (12.0), precision (0.083) and recall (0.077)" in best
    assert f"training time (2{NBSP}min{NBSP}00{NBSP}s)" in places(found["wgan-gp"])["last in"]
    assert places(found["dcgan"]) == {}
    # The synthetic history of the VAE has warning signs in its first two epochs.
    assert "2 of 4 epochs" in found["vae"]
    assert "epochs" not in found["wgan-gp"]


def test_unmeasured_criteria_are_left_out(make_study):
    folder = make_study()
    assert "precision" in portraits(folder)["wgan-gp"]
    for path in folder.glob(f"*/{METRICS}"):
        path.write_text(re.sub("(precision|recall)_classifier", r"\1_other", path.read_text()))
    assert "precision" not in portraits(folder)["wgan-gp"]


def test_tied_models_share_a_place(make_study):
    found = portraits(
        make_study({"vae": (30.0, 0.4), "dcgan": (12.3, 0.3), "wgan-gp": (12.0, 0.2)})
    )
    assert f"{FD} (12.0, with dcgan)" in places(found["wgan-gp"])["among the best in"]
    assert f"{FD} (12.3, with wgan-gp)" in places(found["dcgan"])["among the best in"]
    assert f"{FD} (30.0)" in places(found["vae"])["last in"]


def test_repeats_are_compared_by_their_spread_over_trainings(make_study):
    folder = make_study({"vae": (15.0, 0.1), "dcgan": (20.0, 0.1), "wgan-gp": (12.0, 0.1)})
    assert f"best in {FD} (12.0)" in portraits(folder)["wgan-gp"]
    # 15 and 20: their standard deviation of 3.5 counts for the third model, too.
    make_repeats(folder, "vae", "dcgan")
    assert all(FD not in text for text in portraits(folder).values())


def test_a_last_place_shared_by_many_is_left_out(make_study):
    scores = {"vae": (30.0, 0.1), "dcgan": (30.0, 0.1), "wgan-gp": (12.0, 0.1)}
    found = portraits(make_study(scores))
    assert f"{FD} (30.0, with dcgan)" in places(found["vae"])["among the last in"]
    found = portraits(make_study(scores | {"conditional-vae": (30.0, 0.1)}))
    assert f"best in {FD} (12.0)" in found["wgan-gp"]
    assert not any(f"last in {FD}" in text for text in found.values())


def test_what_all_have_in_common_is_no_strength(make_study):
    folder = make_study({"dcgan": (20.0, 0.3), "wgan-gp": (20.0, 0.3)})
    for name, seconds in (("dcgan", 40.0), ("wgan-gp", 47.0)):
        change_record(folder / name / PROVENANCE, seconds=seconds)
    assert all(places(text) == {} for text in portraits(folder).values())


def test_equal_work_is_not_compared_by_time(make_study):
    folder = make_study({"dcgan": (20.0, 0.3), "wgan-gp": (12.0, 0.3)})
    assert "best in training time" in portraits(folder)["dcgan"]
    make_repeats(folder, "dcgan", "wgan-gp")
    config = folder / "wgan-gp" / "config.yaml"
    config.write_text(config.read_text().replace("label_smoothing: 0.0", "label_smoothing: 0.1"))
    assert all("training time" not in text for text in portraits(folder).values())


def test_numbers_have_the_decimals_of_the_table(make_study):
    folder = make_study({"dcgan": (243.18, 0.1), "wgan-gp": (35.0, 0.1)})
    for name, recall in (("dcgan", "0.004"), ("wgan-gp", "0.04")):
        rows = [row | {"recall_classifier": recall} for row in read_csv(folder / name / METRICS)]
        write_csv(folder / name / METRICS, rows, columns=list(rows[0]))
    found = portraits(folder)
    assert f"{FD} (243.2)" in found["dcgan"]
    assert "recall (0.004)" in found["dcgan"]
    assert f"{FD} (35.0)" in found["wgan-gp"]


def test_one_model_alone_has_no_strengths(make_study):
    assert strengths(open_study(make_study({"vae": (30.0, 0.4)}))) == ""
