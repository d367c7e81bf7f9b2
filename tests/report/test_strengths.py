"""What models are best and last in follows the numbers."""

from __future__ import annotations

import re

from latentbench import open_study
from latentbench.artifacts.files import read_csv, write_csv
from latentbench.artifacts.paths import METRICS, PROVENANCE
from latentbench.report.comparison.strengths import strengths
from latentbench.results.formatting import NBSP
from tests.report.conftest import change_record, make_repeats, make_trainings

FD = "FD (classifier)"


def portraits(folder) -> dict[str, str]:
    """Return the sentence on each model."""
    paragraphs = strengths(open_study(folder)).split("\n\n")
    return {text.split("**")[1]: text for text in paragraphs}


def places(portrait: str) -> dict[str, str]:
    """Return the criteria by place: best, worst, first, last, not distinguished from the best."""
    if "neither first nor last" in portrait:
        return {}
    parts = re.split(
        r"\b(not distinguished from the best|(?<!the )(?:best|worst|first|last)) in ", portrait
    )
    return dict(zip(parts[1::2], parts[2::2], strict=True))


def test_single_trainings_are_first_and_last_in_what_the_numbers_say(make_study):
    found = portraits(make_study())
    assert list(found) == ["vae", "dcgan", "wgan-gp"]
    assert "training time (40" in places(found["vae"])["first"]
    assert f"{FD} (30.0)" in places(found["vae"])["last"]
    best = places(found["wgan-gp"])["first"]
    assert f"{FD} (12.0), precision (0.083) and recall (0.077)" in best
    assert f"training time (2{NBSP}min{NBSP}00{NBSP}s)" in places(found["wgan-gp"])["last"]
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


def test_single_trainings_within_the_spread_over_samples_are_not_first(make_study):
    found = portraits(
        make_study({"vae": (30.0, 0.4), "dcgan": (12.3, 0.3), "wgan-gp": (12.0, 0.2)})
    )
    assert not any(f"first in {FD}" in text for text in found.values())
    assert f"{FD} (30.0)" in places(found["vae"])["last"]


def test_repeated_trainings_are_best_and_worst_by_their_tests(make_study):
    scores = {"vae": [30.0, 30.3, 30.6], "dcgan": [12.0, 12.3, 12.6], "wgan": [1.0, 1.1, 1.2]}
    found = portraits(make_trainings(make_study, **scores))
    assert list(found) == [f"{name} (3{NBSP}seeds)" for name in ("vae", "dcgan", "wgan-gp")]
    vae, dcgan, wgan = found.values()
    assert f"{FD} (1.10)" in places(wgan)["best"]
    assert f"{FD} (30.30)" in places(vae)["worst"]
    assert FD not in dcgan


def test_models_that_trainings_do_not_distinguish_from_the_best_are_named(make_study):
    scores = {"vae": [30.0, 30.3, 30.6], "dcgan": [12.0, 12.3, 12.6], "wgan": [12.2, 12.1, 12.3]}
    vae, dcgan, wgan = portraits(make_trainings(make_study, **scores)).values()
    assert f"{FD} (12.3)" in places(dcgan)["not distinguished from the best"]
    assert f"{FD} (12.2)" in places(wgan)["not distinguished from the best"]
    assert f"{FD} (30.3)" in places(vae)["worst"]


def test_trainings_that_distinguish_no_models_give_no_places(make_study):
    scores = {"vae": [12.0, 19.0], "dcgan": [13.0, 22.0], "wgan": [14.0, 31.0]}
    found = portraits(make_trainings(make_study, **scores))
    assert not any(FD in text for text in found.values())


def test_what_all_have_in_common_is_no_strength(make_study):
    folder = make_study({"dcgan": (20.0, 0.3), "wgan-gp": (20.0, 0.3)})
    for name, seconds in (("dcgan", 40.0), ("wgan-gp", 47.0)):
        change_record(folder / name / PROVENANCE, seconds=seconds)
    assert all(places(text) == {} for text in portraits(folder).values())


def test_equal_work_is_not_compared_by_time(make_study):
    folder = make_study({"dcgan": (20.0, 0.3), "wgan-gp": (12.0, 0.3)})
    assert "first in training time" in portraits(folder)["dcgan"]
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
