"""The first sentences of a report follow the numbers."""

from __future__ import annotations

import pytest

from latentbench import open_study
from latentbench.artifacts.files import read_csv, write_csv, write_yaml
from latentbench.config.load import read_yaml
from latentbench.report.comparison import captions, headline
from tests.report.conftest import change, make_repeats


def describe(folder) -> str:
    return headline.describe(open_study(folder)).replace("\N{NO-BREAK SPACE}", " ")


def set_metric(folder, name: str, **values: str) -> None:
    """Replace columns of an experiment's metrics.csv."""
    path = folder / name / "metrics.csv"
    rows = [row | values for row in read_csv(path)]
    write_csv(path, rows, columns=list(rows[0]))


@pytest.mark.parametrize(("vae", "dcgan", "best"), [(10.0, 20.0, "vae"), (20.0, 10.0, "dcgan")])
def test_the_best_model_follows_the_numbers(make_study, vae, dcgan, best):
    folder = make_study({"vae": (vae, 0.1), "dcgan": (dcgan, 0.1), "wgan-gp": (30.0, 0.1)})
    text = describe(folder)
    second = "dcgan" if best == "vae" else "vae"
    assert f"**{best}** is best: 10.0 ± 0.1" in text
    assert f"10.0 (50 %) below {second} (20.0 ± 0.1)" in text
    # Twice the standard deviation of the difference: 2 √(0.1² + 0.1²) = 0.283.
    assert "exceeds the margin of 0.28" in text


def test_models_within_the_margin_are_tied(make_study):
    folder = make_study({"vae": (10.0, 0.3), "dcgan": (10.5, 0.3), "wgan-gp": (30.0, 0.1)})
    text = describe(folder)
    assert "**vae** (10.0 ± 0.3) and **dcgan** (10.5 ± 0.3) are tied" in text
    assert "is best:" not in text
    assert "wgan" not in text.partition("\n")[0]


def test_the_spread_decides_not_the_difference_alone(make_study):
    assert "**vae** is best" in describe(make_study({"vae": (10.0, 0.1), "dcgan": (10.5, 0.1)}))


def test_repeats_are_ranked_as_one(make_study):
    folder = make_study({"vae": (30.0, 0.1), "dcgan": (20.0, 0.1), "wgan-gp": (21.0, 0.1)})
    make_repeats(folder, "dcgan", "wgan-gp")
    text = describe(folder)
    # 20 and 21: mean 20.5, standard deviation 0.707.
    assert "**dcgan (2 seeds)** is best: 20.5 ± 0.7" in text
    assert "9.5 (32 %) below vae (30.0 ± 0.1)" in text
    # The spread of the two trainings counts for vae, too: twice √(0.707² + 0.707²) = 2.0.
    assert "margin of 2.0" in text
    assert "over the trainings" in text
    assert "wgan" not in text


def test_a_single_set_of_samples_has_no_margin(make_study):
    text = describe(make_study({"vae": (10.0, None), "dcgan": (20.0, None)}))
    assert "margin is unknown" in text
    assert "exceeds" not in text


def test_one_measured_model_is_not_called_best(make_study):
    text = describe(make_study({"vae": (10.0, 0.1)}))
    assert "vae" in text
    assert "10.0 ± 0.1" in text
    assert "best" not in text


def test_without_measurements_the_command_is_named(make_study):
    folder = make_study()
    for path in folder.glob("*/metrics.*"):
        path.unlink()
    assert "latentbench evaluate" in describe(folder)
    assert captions.protocol(open_study(folder)) == ""


def test_other_metrics_agree_or_disagree(make_study):
    folder = make_study({"vae": (10.0, 0.1), "dcgan": (20.0, 0.1)})
    assert "KD (classifier), vae is also best" in describe(folder)
    set_metric(folder, "vae", kd_classifier_std="0.02")
    assert "within the margin of dcgan" in describe(folder)
    set_metric(folder, "vae", kd_classifier_std="0.0001")
    set_metric(folder, "dcgan", kd_classifier="0.001")
    assert "dcgan is best instead (0.0010" in describe(folder)


def test_weaknesses_of_the_best_model_are_named(make_study):
    folder = make_study({"vae": (10.0, 0.1), "dcgan": (20.0, 0.1)})
    assert "is behind" not in describe(folder)
    set_metric(folder, "vae", precision_classifier="0.01")
    assert "precision (0.010 against 0.050)" in describe(folder)


def test_equal_time_counts_only_the_checkpoints_within_it(make_study):
    # wgan-gp is best after 80 s. After 40 s, when vae has ended, its checkpoint has 12 · 4/2 = 24.
    text = describe(make_study({"vae": (15.0, 0.1), "wgan-gp": (12.0, 0.1)}))
    assert "**wgan-gp** is best" in text
    assert "(vae, 40 s), vae reaches" in text
    assert "15.0 ± 0.1." in text
    text = describe(make_study({"vae": (25.0, 0.1), "wgan-gp": (12.0, 0.1)}))
    assert "wgan-gp reaches" in text
    assert "24.0 ± 0.1." in text


def test_models_of_equal_work_are_not_compared_in_time(make_study):
    folder = make_study({"dcgan": (10.0, 0.1), "wgan-gp": (20.0, 0.1)})
    assert "training time" in describe(folder)
    make_repeats(folder, "dcgan", "wgan-gp")
    path = folder / "wgan-gp" / "config.yaml"
    settings = read_yaml(path)
    write_yaml(path, settings | {"model": settings["model"] | {"learning_rate": 0.1}})
    assert "training time" not in describe(folder)


def test_a_first_look_has_no_best_model_in_bold(make_study):
    folder = make_study({"vae": (10.0, 0.1), "dcgan": (20.0, 0.1)})
    assert "budget" not in headline.head(open_study(folder))
    study = folder / "study.yaml"
    study.write_text(study.read_text().replace("budget: full", "budget: small"))
    text = describe(folder)
    assert "in this run: 10.0" in text
    assert "**" not in text
    assert "first look" in headline.head(open_study(folder))["budget"]


def test_a_warning_of_several_models_appears_once(make_study):
    folder = make_study()
    for name in ("vae", "dcgan"):
        change(folder / name / "metrics.json", warnings=["few images: 5% of them."])
    text = describe(folder)
    assert text.count("**Warning**") == 1
    assert "(vae and dcgan): few images: 5 %" in text


def test_differences_are_those_of_the_printed_numbers(make_study):
    # Unrounded they differ by 1.02, which prints as 1.0.
    text = describe(make_study({"vae": (10.04, 0.1), "dcgan": (11.06, 0.1)}))
    assert "10.0 ± 0.1, 1.1 (10 %) below dcgan (11.1 ± 0.1)" in text
