"""The sentences follow the numbers."""

from __future__ import annotations

import pytest

from latentbench.artifacts import thresholds
from latentbench.artifacts.files import read_csv, write_csv, write_yaml
from latentbench.config.load import read_yaml
from latentbench.report.comparison import captions, headline
from latentbench.report.presentation.formatting import count, decimals, duration
from latentbench.report.training import warnings
from latentbench.results.study import open_study
from tests.report.conftest import change, make_repeats
from tests.report.test_columns import cells


def headline_of(make_study, **scores) -> str:
    return headline.headline(
        open_study(make_study({name.replace("_", "-"): score for name, score in scores.items()}))
    )


@pytest.mark.parametrize(("vae", "dcgan", "winner"), [(10.0, 20.0, "vae"), (20.0, 10.0, "dcgan")])
def test_headline_flips_when_the_numbers_flip(make_study, vae, dcgan, winner):
    text = headline_of(make_study, vae=(vae, 0.1), dcgan=(dcgan, 0.1), wgan_gp=(30.0, 0.1))
    assert text.startswith(f"By FD (classifier), **{winner}** comes closest")
    assert "its 10.0 ± 0.1 is 10.0 (50\N{NO-BREAK SPACE}%) below the 20.0 ± 0.1 of" in text
    # Twice the standard deviation of the difference: 2 √(0.1² + 0.1²) = 0.283.
    assert "exceeds the spread over the sampling seeds (0.28," in text


def test_difference_within_the_spread_has_no_winner(make_study):
    text = headline_of(make_study, vae=(10.0, 0.3), dcgan=(10.5, 0.3), wgan_gp=(30.0, 0.1))
    assert "within the spread" in text
    assert "**vae** (10.0 ± 0.3) and **dcgan** (10.5 ± 0.3) cannot be told apart" in text
    assert "comes closest" not in text
    assert "wgan" not in text.partition("\n")[0]


def test_spread_decides_not_the_difference_alone(make_study):
    assert "comes closest" in headline_of(make_study, vae=(10.0, 0.1), dcgan=(10.5, 0.1))


def test_repeats_are_ranked_as_one(make_study):
    folder = make_study({"vae": (30.0, 0.1), "dcgan": (20.0, 0.1), "wgan-gp": (21.0, 0.1)})
    make_repeats(folder, "dcgan", "wgan-gp")
    text = headline.headline(open_study(folder))
    # 20 and 21: mean 20.5, standard deviation 0.707; twice √(0.707² + 0.707²) = 2.0.
    assert text.startswith(
        "By FD (classifier), **dcgan (2\N{NO-BREAK SPACE}seeds)** comes closest to the real images: its 20.5 ± 0.7 is"
    )
    assert "9.5 (32\N{NO-BREAK SPACE}%) below the 30.0 ± 0.1 of vae" in text
    # What training vae again would do is not known: the spread of the two stands for both.
    assert "exceeds the spread over the trainings (2.0," in text
    assert "wgan" not in text


def test_one_set_of_samples_has_no_spread_to_compare_with(make_study):
    text = headline_of(make_study, vae=(10.0, None), dcgan=(20.0, None))
    assert "its spread is unknown" in text
    assert "exceeds" not in text


def test_one_measured_model_is_no_winner(make_study):
    assert "nothing compares with it" in headline_of(make_study, vae=(10.0, 0.1))


def test_nothing_measured_is_said(make_study):
    folder = make_study()
    for path in folder.glob("*/metrics.*"):
        path.unlink()
    study = open_study(folder)
    assert "No model has been measured yet" in headline.headline(study)
    assert captions.protocol(study) == ""


def test_second_metric_that_disagrees_is_named(make_study):
    folder = make_study({"vae": (10.0, 0.1), "dcgan": (20.0, 0.1)})
    assert "KD (classifier) agrees: vae is lowest" in headline.headline(open_study(folder))
    metrics = folder / "dcgan" / "metrics.csv"
    metrics.write_text(metrics.read_text().replace("0.02,", "0.001,"))
    assert "By KD (classifier), dcgan comes first instead (0.0010" in headline.headline(
        open_study(folder)
    )


def test_equal_time_looks_at_checkpoints_within_it(make_study):
    # wgan-gp is best at its end, after 80 s; at 40 s, when vae ended, its last checkpoint had 12 · 4/2 = 24.
    text = headline_of(make_study, vae=(15.0, 0.1), wgan_gp=(12.0, 0.1)).replace(
        "\N{NO-BREAK SPACE}", " "
    )
    assert text.startswith("By FD (classifier), **wgan-gp**")
    assert (
        "fastest (vae, 40 s), the lowest FD (classifier) at a checkpoint is that of vae (15.0 ± 0.1)"
        in text
    )
    text = headline_of(make_study, vae=(25.0, 0.1), wgan_gp=(12.0, 0.1)).replace(
        "\N{NO-BREAK SPACE}", " "
    )
    assert "at a checkpoint is that of wgan-gp (24.0 ± 0.1)" in text


def test_trouble_is_told_by_model_and_epochs(make_study):
    study = open_study(make_study())
    assert cells(warnings.table(study).markdown, "vae") == ["vae", "4", "1 and 2", "1"]
    assert "dcgan" not in warnings.table(study).markdown
    assert warnings.verdict(study).startswith(
        "No epoch of dcgan and wgan-gp showed signs of trouble."
    )
    healthy = open_study(make_study({"dcgan": (1.0, 0.1)}))
    assert warnings.table(healthy).markdown is None
    assert warnings.verdict(healthy).startswith(
        "No epoch showed signs of trouble. Signs, by the numbers"
    )


def test_criteria_of_trouble_are_those_of_training(make_study):
    text = warnings.verdict(open_study(make_study())).replace("\N{NO-BREAK SPACE}", " ")
    assert (
        f"by less than {100 * thresholds.LOW_DIVERSITY:.0f} % of what real images differ by" in text
    )
    assert f"fewer than {100 * thresholds.MIN_ACTIVE_FRACTION:.0f} % of the latent units" in text


def test_epochs_are_listed_in_runs():
    assert warnings.epochs_listed([3]) == "3"
    assert warnings.epochs_listed([2, 1]) == "1 and 2"
    assert warnings.epochs_listed([1, 2, 3, 4, 7]) == "1 to 4 and 7"
    assert warnings.epochs_listed([]) == ""


def test_a_first_look_has_no_winner_in_bold(make_study):
    folder = make_study({"vae": (10.0, 0.1), "dcgan": (20.0, 0.1)})
    study = folder / "study.yaml"
    study.write_text(study.read_text().replace("budget: full", "budget: small"))
    text = headline.headline(open_study(folder))
    assert text.startswith(
        "By FD (classifier), vae came closest to the real images in this run: its 10.0 ± 0.1"
    )
    assert "**" not in text


def test_another_metric_agrees_beyond_its_spread_only(make_study):
    text = headline_of(make_study, vae=(10.0, 0.1), dcgan=(20.0, 0.1))
    assert "KD (classifier) agrees: vae is lowest." in text
    folder = make_study({"vae": (10.0, 0.1), "dcgan": (20.0, 0.1)})
    metrics = folder / "vae" / "metrics.csv"
    rows = read_csv(metrics)
    write_csv(metrics, [row | {"kd_classifier_std": "0.02"} for row in rows], columns=list(rows[0]))
    assert "KD (classifier) puts vae first too, within its spread." in headline.headline(
        open_study(folder)
    )


def test_what_the_winner_is_behind_in_is_said(make_study):
    folder = make_study({"vae": (10.0, 0.1), "dcgan": (20.0, 0.1)})
    assert "is behind" not in headline.headline(open_study(folder))
    metrics = folder / "vae" / "metrics.csv"
    rows = read_csv(metrics)
    write_csv(
        metrics, [row | {"precision_classifier": "0.01"} for row in rows], columns=list(rows[0])
    )
    assert "In precision (0.010 against 0.050) vae is behind dcgan." in headline.headline(
        open_study(folder)
    )


def test_what_is_to_be_minded_of_several_models_is_said_once(make_study):
    folder = make_study()
    for name in ("vae", "dcgan"):
        change(folder / name / "metrics.json", warnings=["few images: 5% of them."])
    told = headline.headline(open_study(folder))
    assert told.count("**Mind**") == 1
    assert "**Mind** (vae and dcgan): few images: 5\N{NO-BREAK SPACE}% of them." in told


def test_differences_are_those_of_the_printed_numbers(make_study):
    # Unrounded they differ by 1.02, 1.0 to one decimal.
    text = headline_of(make_study, vae=(10.04, 0.1), dcgan=(11.06, 0.1))
    assert "its 10.0 ± 0.1 is 1.1 (10\N{NO-BREAK SPACE}%) below the 11.1 ± 0.1" in text


def test_models_of_equal_work_are_not_compared_in_time(make_study):
    folder = make_study({"dcgan": (10.0, 0.1), "wgan-gp": (20.0, 0.1)})
    assert "training time of the fastest" in headline.headline(open_study(folder))
    make_repeats(folder, "dcgan", "wgan-gp")
    settings = read_yaml(folder / "wgan-gp" / "config.yaml")
    write_yaml(
        folder / "wgan-gp" / "config.yaml",
        settings | {"model": settings["model"] | {"learning_rate": 0.1}},
    )
    assert "training time of the fastest" not in headline.headline(open_study(folder))


def test_quantities_read_as_written():
    times = (duration(3.24), duration(48.2), duration(185), duration(7620))
    assert [text.replace("\N{NO-BREAK SPACE}", " ") for text in times] == [
        "3.2 s",
        "48 s",
        "3 min 05 s",
        "2 h 07 min",
    ]
    assert duration(9.96) == "10\N{NO-BREAK SPACE}s"
    assert duration(59.7).startswith("1\N{NO-BREAK SPACE}min")
    assert [
        count(n).replace("\N{NO-BREAK SPACE}", " ") for n in (930, 12_300, 999_700, 121_000_000)
    ] == [
        "930",
        "12.3 k",
        "1.00 M",
        "121 M",
    ]
    assert [decimals([x]) for x in (0.0123, 1.23, 12.3, 123.0, 12345.0, 0.0)] == [4, 2, 1, 0, 0, 2]
