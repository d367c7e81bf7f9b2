"""The sentences follow the numbers."""

from __future__ import annotations

import pytest

from latentbench.report import captions, words
from latentbench.report.quantities import count, decimals, duration
from latentbench.report.results import open_study
from tests.report.conftest import make_repeats


def headline(make_study, **scores) -> str:
    return words.headline(open_study(make_study({name.replace("_", "-"): score for name, score in scores.items()})))


@pytest.mark.parametrize(("vae", "dcgan", "winner"), [(10.0, 20.0, "vae"), (20.0, 10.0, "dcgan")])
def test_headline_flips_when_the_numbers_flip(make_study, vae, dcgan, winner):
    text = headline(make_study, vae=(vae, 0.1), dcgan=(dcgan, 0.1), wgan_gp=(30.0, 0.1))
    assert text.startswith(f"**{winner}** comes closest")
    assert "is 10.0 (50\N{NO-BREAK SPACE}%) below" in text
    # Twice the standard deviation of the difference: 2 √(0.1² + 0.1²) = 0.283.
    assert "exceeds the spread over the sampling seeds (0.28," in text


def test_difference_within_the_spread_has_no_winner(make_study):
    text = headline(make_study, vae=(10.0, 0.3), dcgan=(10.5, 0.3), wgan_gp=(30.0, 0.1))
    assert "within the spread" in text
    assert "**vae** (10.0 ± 0.3) and **dcgan** (10.5 ± 0.3) cannot be told apart" in text
    assert "comes closest" not in text
    assert "wgan" not in text.partition("\n")[0]


def test_spread_decides_not_the_difference_alone(make_study):
    assert "comes closest" in headline(make_study, vae=(10.0, 0.1), dcgan=(10.5, 0.1))


def test_repeats_are_ranked_as_one(make_study):
    folder = make_study({"vae": (30.0, 0.1), "dcgan": (20.0, 0.1), "wgan-gp": (21.0, 0.1)})
    make_repeats(folder, "dcgan", "wgan-gp")
    text = words.headline(open_study(folder))
    # 20 and 21: mean 20.5, standard deviation 0.707; twice √(0.707² + 0.1²) = 1.43.
    assert text.startswith("**dcgan** comes closest to the real images: its FCD of 20.5 ± 0.7 over 2 trainings is 9.5")
    assert "exceeds the spread over the trainings and the sampling seeds (1.4," in text
    assert "wgan" not in text


def test_one_set_of_samples_has_no_spread_to_compare_with(make_study):
    text = headline(make_study, vae=(10.0, None), dcgan=(20.0, None))
    assert "its spread is unknown" in text
    assert "exceeds" not in text


def test_one_measured_model_is_no_winner(make_study):
    assert "nothing to compare it with" in headline(make_study, vae=(10.0, 0.1))


def test_nothing_measured_is_said(make_study):
    folder = make_study()
    for path in folder.glob("*/metrics.*"):
        path.unlink()
    study = open_study(folder)
    assert "No model has been measured yet" in words.headline(study)
    assert captions.protocol(study) == ""


def test_second_metric_that_disagrees_is_named(make_study):
    folder = make_study({"vae": (10.0, 0.1), "dcgan": (20.0, 0.1)})
    assert "KCD agrees: vae is lowest" in words.headline(open_study(folder))
    metrics = folder / "dcgan" / "metrics.csv"
    metrics.write_text(metrics.read_text().replace("0.02,", "0.001,"))
    assert "By KCD, dcgan comes first instead (0.00100" in words.headline(open_study(folder))


def test_equal_time_looks_at_checkpoints_within_it(make_study):
    # wgan-gp is best at its end, after 80 s; at 40 s, when vae ended, its last checkpoint had 12 · 4/2 = 24.
    text = headline(make_study, vae=(15.0, 0.1), wgan_gp=(12.0, 0.1)).replace("\N{NO-BREAK SPACE}", " ")
    assert text.startswith("**wgan-gp**")
    assert "fastest (vae, 40 s), the lowest FCD at a checkpoint is that of vae (15.0 ± 0.1)" in text
    text = headline(make_study, vae=(25.0, 0.1), wgan_gp=(12.0, 0.1)).replace("\N{NO-BREAK SPACE}", " ")
    assert "at a checkpoint is that of wgan-gp (24.0 ± 0.1)" in text


def test_trouble_is_told_by_model_and_epochs(make_study):
    text = words.troubles(open_study(make_study()))
    assert text == (
        "**vae** showed signs of mode collapse in epochs 1 to 2 of 4. "
        "**vae** showed signs of posterior collapse in epoch 1 of 4."
    )
    assert words.troubles(open_study(make_study({"dcgan": (1.0, 0.1)}))).startswith("No epoch showed signs of mode")


def test_quantities_read_as_written():
    plain = [text.replace("\N{NO-BREAK SPACE}", " ") for text in (duration(48.2), duration(185), duration(7620))]
    assert plain == ["48 s", "3 min 05 s", "2 h 07 min"]
    assert duration(59.7).startswith("1\N{NO-BREAK SPACE}min")
    assert [count(n).replace("\N{NO-BREAK SPACE}", " ") for n in (930, 12_300, 999_700, 121_000_000)] == [
        "930",
        "12.3 k",
        "1.00 M",
        "121 M",
    ]
    assert [decimals([x]) for x in (0.0123, 1.23, 12.3, 123.0, 12345.0, 0.0)] == [4, 2, 1, 0, 0, 2]
