"""Strengths and changes are told as the numbers have them, and change with them."""

from __future__ import annotations

from latentbench.artifacts.files import read_csv, read_json, write_csv, write_json, write_yaml
from latentbench.artifacts.layout import LAST_METRICS, METRICS, PROVENANCE
from latentbench.config.load import read_yaml
from latentbench.report.quantities import NBSP
from latentbench.report.results import open_study
from latentbench.report.verdicts import changes, strengths


def give(folder, first: str, other: str, **model) -> None:
    """Make an experiment of the kind of the first, with these settings of its model changed."""
    settings = read_yaml(folder / first / "config.yaml")
    write_yaml(folder / other / "config.yaml", settings | {"name": other, "model": settings["model"] | model})


def test_each_model_is_told_what_it_is_best_and_last_in(make_study):
    told = strengths(open_study(make_study())).split("\n\n")
    assert [text.partition("**")[2].partition("**")[0] for text in told] == ["vae", "dcgan", "wgan-gp"]
    vae, dcgan, wgan_gp = told
    assert f"training time, 40{NBSP}s" in vae.partition("last in")[0]
    assert "distance to the real images (FCD), 30" in vae.partition("last in")[2]
    assert "best in distance to the real images (FCD), 12" in wgan_gp
    assert "neither best nor last" in dcgan
    # The imagined VAE's history has signs of trouble in its first two epochs.
    assert "signs of trouble in 2 of 4 epochs" in vae
    assert "trouble" not in wgan_gp


def test_what_all_have_alike_is_no_strength(make_study):
    folder = make_study({"dcgan": (20.0, 0.3), "wgan-gp": (20.0, 0.3)})
    for name in ("dcgan", "wgan-gp"):
        write_json(folder / name / PROVENANCE, read_json(folder / name / PROVENANCE) | {"seconds": 40.0})
    assert "FCD" not in strengths(open_study(folder))
    assert "time" not in strengths(open_study(folder))


def test_one_model_alone_has_nothing_to_be_better_than(make_study):
    study = open_study(make_study({"vae": (30.0, 0.4)}))
    assert (strengths(study), changes(study)) == ("", "")


def test_a_change_is_told_with_its_paper_its_effect_and_its_spread(make_study):
    folder = make_study({"dcgan": (20.0, 0.3), "wgan-gp": (18.0, 0.2)})
    give(folder, "dcgan", "wgan-gp", label_smoothing=0.1)
    told = changes(open_study(folder))
    assert told.startswith(
        "**wgan-gp** (`label_smoothing` 0.1 instead of 0.0 [@salimans2016]): FCD 18.0 ± 0.2 against 20.0 ± 0.3 of "
        "dcgan, lower by 2.0, more than the spread (0.72)."
    )
    # Twice the time for as many images.
    assert "An epoch takes 2.00 times as long." in told


def test_a_change_within_the_spread_is_called_that(make_study):
    folder = make_study({"dcgan": (20.0, 0.3), "wgan-gp": (20.3, 0.2)})
    give(folder, "dcgan", "wgan-gp", learning_rate=1e-3)
    assert "higher by 0.30, not more than the spread (0.72)" in changes(open_study(folder))


def test_when_it_had_come_as_far_is_told(make_study):
    folder = make_study({"dcgan": (20.0, 0.3), "wgan-gp": (12.0, 0.2)})
    give(folder, "dcgan", "wgan-gp", width=32)
    rows = read_csv(folder / "wgan-gp" / METRICS)
    goal = next(int(row["epoch"]) for row in rows if float(row["fcd"]) <= 20.0)
    assert f"by epoch {goal} of {rows[-1]['epoch']}" in changes(open_study(folder))
    write_csv(folder / "wgan-gp" / METRICS, [row | {"fcd": "21.0"} for row in rows], columns=list(rows[0]))
    assert "had come as close" not in changes(open_study(folder))


def test_models_of_another_kind_are_no_changes_and_unmeasured_ones_are_left_out(make_study):
    folder = make_study()
    assert changes(open_study(folder)) == ""
    give(folder, "dcgan", "wgan-gp", width=32)
    assert "width" in changes(open_study(folder))
    (folder / "wgan-gp" / METRICS).unlink()
    (folder / "wgan-gp" / LAST_METRICS).unlink()
    assert changes(open_study(folder)) == ""
