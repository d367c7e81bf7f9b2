"""Ablations and conclusions follow the numbers."""

from __future__ import annotations

import pytest

from latentbench import open_study
from latentbench.artifacts.files import (
    read_csv,
    read_json,
    write_csv,
    write_yaml,
)
from latentbench.artifacts.paths import (
    ARCHITECTURE,
    HISTORY,
    LAST_METRICS,
    LATENT_ARRAYS,
    LATENT_FACTS,
    METRICS,
    PROVENANCE,
)
from latentbench.config.load import read_yaml
from latentbench.report.comparison import ablations, conclusions
from latentbench.results.changes import find_changes
from latentbench.results.formatting import NBSP
from tests.report.conftest import change, change_record, make_repeats, make_trainings, score_labels
from tests.report.test_search import add_search

FD = "FD (classifier)"


def derive(folder, first: str, other: str, **model) -> None:
    """Give the other experiment the settings of the first, with some of its model changed."""
    settings = read_yaml(folder / first / "config.yaml")
    changed = settings | {"name": other, "model": settings["model"] | model}
    write_yaml(folder / other / "config.yaml", changed)


def set_column(path, **values: str) -> None:
    rows = [row | values for row in read_csv(path)]
    write_csv(path, rows, columns=list(rows[0]))


def describe(folder) -> str:
    return ablations.describe(open_study(folder))


def paragraphs(folder) -> dict[str, str]:
    """Return the paragraph on each changed model."""
    parts = [text for text in describe(folder).split("\n\n") if text.startswith("**")]
    return {text.split("**")[1]: text for text in parts}


def points(folder) -> list[str]:
    """Return the items of the conclusions."""
    lines = conclusions.summarize(open_study(folder)).splitlines()
    return [line.removeprefix("- ") for line in lines if line.startswith("- ")]


@pytest.fixture
def pair(make_study):
    """A study of two GANs, the second of which is better and half as fast."""
    return make_study({"dcgan": (20.0, 0.3), "wgan-gp": (18.0, 0.2)})


def test_a_change_has_its_paper_and_no_verdict_after_single_trainings(pair):
    derive(pair, "dcgan", "wgan-gp", label_smoothing=0.1)
    rule, text = describe(pair).split("\n\n")
    assert "sets of samples" in rule
    assert "**wgan-gp**, `label_smoothing` 0.1 instead of 0.0 [@salimans2016]:" in text
    assert f"In these trainings, {FD} is 18.0 ± 0.2, 2.0 below dcgan (20.0 ± 0.3)." in text
    assert "CI" not in text
    assert "2.0 times as long" in text


def change_with_repeats(make_study, *distances: float):
    """Write a study of three trainings of a GAN and of the same GAN with smoothed labels."""
    folder = make_trainings(make_study, dcgan=[20.0, 20.3, 20.6], wgan=list(distances))
    derive(folder, "dcgan", "wgan-gp", label_smoothing=0.1)
    make_repeats(folder, "wgan-gp", "wgan-gp_1", "wgan-gp_2")
    return folder


def test_a_change_that_repeated_trainings_show(make_study):
    folder = change_with_repeats(make_study, 12.0, 12.3, 12.6)
    [text] = describe(folder).split("\n\n")
    # Both have a standard deviation of 0.3: 8 ± 4.303 · 0.3 · √(2 / 3), and t = 32.7.
    assert f"8.0 below dcgan (3{NBSP}seeds, 20.3 ± 0.3)" in text
    assert f"(95{NBSP}% CI 6.9 to 9.1, p{NBSP}<{NBSP}0.001)." in text
    [found] = [point for point in points(folder) if "`label_smoothing`" in point]
    assert found.startswith("Lower")
    assert f"12.3 against 20.3, p{NBSP}<{NBSP}0.001" in found


def test_a_change_that_repeated_trainings_do_not_show(make_study):
    folder = change_with_repeats(make_study, 20.1, 20.4, 20.7)
    text = describe(folder)
    assert "do not distinguish" in text
    assert f"CI −1.0 to 1.2, p{NBSP}=" in text
    assert not any(point.startswith(("Lower FD", "Higher")) for point in points(folder))
    assert any("do not distinguish" in point and "smoothing" in point for point in points(folder))


def test_one_training_of_the_changed_model_has_no_test(make_study):
    folder = make_study(
        {"dcgan": (20.0, 0.3), "wgan-gp": (21.0, 0.3), "conditional-dcgan": (19.0, 0.01)}
    )
    make_repeats(folder, "dcgan", "wgan-gp")
    derive(folder, "dcgan", "conditional-dcgan", width=32)
    text = paragraphs(folder)["conditional-dcgan"]
    assert f"19.0 ± 0.0, 1.5 below dcgan (2{NBSP}seeds, 20.5 ± 0.7)" in text
    assert "In these trainings" in text
    assert "CI" not in text


def test_a_model_is_compared_with_the_most_similar_one(make_study):
    folder = make_study(
        {"dcgan": (20.0, 0.3), "wgan-gp": (18.0, 0.2), "conditional-dcgan": (16.0, 0.2)}
    )
    derive(folder, "dcgan", "wgan-gp", width=32)
    derive(folder, "wgan-gp", "conditional-dcgan", ema_decay=0.5)
    text = paragraphs(folder)["conditional-dcgan"]
    assert "`ema_decay` 0.5 instead of 0.999 [@yazici2019]:" in text
    assert "below wgan-gp (18.0 ± 0.2)" in text


def test_values_that_the_same_search_selected_are_no_change(pair):
    derive(pair, "dcgan", "wgan-gp", label_smoothing=0.1, learning_rate=0.001)
    for name in ("dcgan", "wgan-gp"):
        add_search(pair, name, [5.0, 3.0, 4.0])
    [changed] = find_changes(open_study(pair), open_study(pair).run_groups())
    assert (list(changed.keys), list(changed.searched)) == (["label_smoothing"], ["learning_rate"])
    intro = paragraphs(pair)["wgan-gp"].partition(":")[0]
    assert "instead of" not in intro.partition("label_smoothing` 0.1 instead of 0.0")[2]
    assert "0.001 and 0.0002" in intro
    # Only one of the two was searched, or the two searched other values: the rate is a change.
    add_search(pair, "wgan-gp", [5.0, 3.0])
    [changed] = find_changes(open_study(pair), open_study(pair).run_groups())
    assert set(changed.keys) == {"label_smoothing", "learning_rate"}
    assert not changed.searched


def test_the_epoch_that_reaches_the_other_model_is_named(make_study):
    folder = make_study({"dcgan": (20.0, 0.3), "wgan-gp": (12.0, 0.2)})
    derive(folder, "dcgan", "wgan-gp", width=32)
    # 24 at epoch 2 and 12 at epoch 4, the last.
    assert "by epoch" not in describe(folder)
    path = folder / "wgan-gp" / METRICS
    rows = read_csv(path)
    rows[1]["fd_classifier"] = "19.0"
    write_csv(path, rows, columns=list(rows[0]))
    assert "by epoch 2 of 4" in describe(folder)


def test_an_equal_pace_is_left_out(pair):
    derive(pair, "dcgan", "wgan-gp", width=32)
    change_record(pair / "wgan-gp" / PROVENANCE, images_per_second=0.9 * 640)
    assert "An epoch takes" not in describe(pair)


@pytest.mark.parametrize(
    ("setting", "expected"),
    [
        ({"initialization": "xavier"}, "`initialization` xavier instead of dcgan [@glorot2010]:"),
        ({"initialization": "orthogonal"}, "orthogonal instead of dcgan [@saxe2014]:"),
        ({"initialization": "default"}, "`initialization` default instead of dcgan:"),
        (
            {"discriminator_learning_rate": 4e-4},
            "0.0004 instead of 0.0002, the generator's [@heusel2017]:",
        ),
        ({"spectral_norm": True}, "`spectral_norm` yes instead of no [@miyato2018]:"),
        ({"loss": "hinge"}, "`loss` hinge instead of non_saturating [@lim2017]:"),
    ],
)
def test_settings_have_the_paper_of_their_value(pair, setting, expected):
    derive(pair, "dcgan", "wgan-gp", **setting)
    assert expected in describe(pair)


def test_papers_on_networks_are_cited_for_gans_only(make_study):
    folder = make_study(
        {
            "dcgan": (20.0, 0.3),
            "wgan-gp": (12.0, 0.2),
            "vae": (30.0, 0.1),
            "conditional-vae": (9.0, 0.1),
        }
    )
    derive(folder, "dcgan", "wgan-gp", architecture="residual")
    derive(folder, "vae", "conditional-vae", architecture="residual", condition=None)
    text = describe(folder)
    assert text.count("`architecture` residual instead of convolutional") == 2
    assert text.count("@gulrajani2017") == 1


def test_lost_batch_normalization_is_named(pair):
    derive(pair, "dcgan", "wgan-gp", spectral_norm=True)
    assert "batch normalization" not in describe(pair)
    path = pair / "dcgan" / ARCHITECTURE
    rows = read_csv(path)
    for row in rows:
        row["kind"] = row["kind"].replace("ReLU", "BatchNorm2d")
    write_csv(path, rows, columns=list(rows[0]))
    assert "batch normalization in the encoder" in describe(pair)


def test_generator_steps_follow_from_the_critics(pair):
    derive(pair, "dcgan", "wgan-gp", n_critic=5)
    assert read_csv(pair / "dcgan" / HISTORY)[-1]["step"] == "400"
    assert "80 steps instead of 400" in describe(pair)


@pytest.fixture
def autoencoders(make_study):
    """An autoencoder named vae, and a VAE with the same settings otherwise."""
    folder = make_study({"vae": (30.0, 0.4), "conditional-vae": (20.0, 0.3)})
    settings = read_yaml(folder / "vae" / "config.yaml")
    settings["model"]["prior"] = "standard"
    write_yaml(folder / "conditional-vae" / "config.yaml", settings | {"name": "conditional-vae"})
    for key in ("kl_weight", "kl_warmup_steps", "likelihood", "decoder_std"):
        del settings["model"][key]
    settings["model"]["name"] = "autoencoder"
    write_yaml(folder / "vae" / "config.yaml", settings)
    return folder


def test_kinds_of_models_are_compared_if_the_rest_agrees(autoencoders):
    text = paragraphs(autoencoders)["conditional-vae"]
    assert "`name` vae instead of autoencoder" in text
    assert "`kl_weight` 1.0," in text
    assert f"{FD} is 20.0 ± 0.3, against vae (30.0 ± 0.4)" in text
    assert "does not judge vae" in text
    assert "MSE 0.0120 against 0.0120 and SSIM 0.780 against 0.780" in text
    assert "margin" not in text
    assert points(autoencoders)[-1].startswith("conditional-vae, with `name` vae")
    path = autoencoders / "vae" / "config.yaml"
    settings = read_yaml(path)
    write_yaml(path, settings | {"model": settings["model"] | {"width": 8}})
    assert describe(autoencoders) == ""


def test_other_kinds_and_unmeasured_models_are_no_ablations(make_study):
    folder = make_study()
    assert describe(folder) == ""
    derive(folder, "dcgan", "wgan-gp", width=32)
    assert "width" in describe(folder)
    (folder / "wgan-gp" / METRICS).unlink()
    (folder / "wgan-gp" / LAST_METRICS).unlink()
    assert describe(folder) == ""


@pytest.mark.parametrize("distance", ["12.0", "40.0", "20.1"])
def test_conclusions_have_no_effects_of_settings_from_single_trainings(pair, distance):
    derive(pair, "dcgan", "wgan-gp", width=32)
    set_column(pair / "wgan-gp" / METRICS, fd_classifier=distance)
    [found] = [point for point in points(pair) if "`width`" in point]
    assert found.startswith("In single trainings")
    assert f"`width` 32 instead of 64 (wgan-gp: {distance} against 20.0)" in found


def test_conclusions_compare_settings_with_the_spread_over_seeds(make_study):
    scores = {
        "dcgan": (20.0, 0.3),
        "wgan-gp": (21.0, 0.3),
        "conditional-dcgan": (19.0, 0.1),
        "vae": (40.0, 0.1),
    }
    folder = make_study(scores)
    make_repeats(folder, "dcgan", "wgan-gp")
    derive(folder, "dcgan", "conditional-dcgan", width=32)
    derive(folder, "dcgan", "vae", width=8)
    [found] = [point for point in points(folder) if "seeds:" in point]
    assert f"dcgan (2{NBSP}seeds) has {FD} 20.5 ± 0.7" in found
    assert "19.5" in found
    assert "Of 2 such differences, 0 could be tested" in found


def test_conclusions_compare_requested_labels_with_real_images_and_chance(make_study):
    folder = make_study({"conditional-vae": (25.0, 0.2), "conditional-dcgan": (18.0, 0.2)})
    assert not any("as requested" in point for point in points(folder))
    score_labels(folder, {"conditional-vae": "0.5", "conditional-dcgan": "0.7"})
    [found] = [point for point in points(folder) if "as requested" in point]
    assert "conditional-dcgan (0.700 ± 0.010)" in found
    assert "0.950" in found
    assert "chance: 0.100" in found
    for name in ("conditional-vae", "conditional-dcgan"):
        change(folder / name / LAST_METRICS, test_scores={"fd_classifier": 1.5})
    assert not any("0.950" in point for point in points(folder))


def test_conclusions_have_the_ranges_of_the_latent_chapter(make_study):
    folder = make_study()
    for name, farthest in (("vae", 1.25), ("dcgan", 3.0), ("wgan-gp", 2.0)):
        pair = {"from": "", "to": "", "mse": 0.01, "ends": farthest - 0.25}
        for kind, times in (("linear", 1), ("spherical", 2)):
            pair[kind] = {"middle": 0.5, "farthest": times * farthest}
        change(folder / name / LATENT_FACTS, pairs=[pair, pair])
    change(folder / "vae" / LATENT_FACTS, active_units=24)
    *_, paths, dimensions, _ = points(folder)
    assert "1.00 (vae) to 2.75 (dcgan)" in paths
    assert "1.25 (vae) to 3.00 (dcgan)" in paths
    assert "2.50 (vae) to 6.00 (dcgan)" in paths
    assert f"75{NBSP}% (vae)" in dimensions
    for name in ("dcgan", "wgan-gp"):
        change(
            folder / name / LATENT_FACTS, pairs=read_json(folder / "vae" / LATENT_FACTS)["pairs"]
        )
    assert "1.25 (all)" in points(folder)[-3]
    for path in [*folder.glob(f"*/{LATENT_ARRAYS}"), *folder.glob(f"*/{LATENT_FACTS}")]:
        path.unlink()
    assert not any("aths" in point or "imensions" in point for point in points(folder))


def test_unmeasured_studies_have_no_conclusions(make_study):
    folder = make_study({"vae": (30.0, 0.4)})
    for name in (LATENT_ARRAYS, LATENT_FACTS):
        (folder / "vae" / name).unlink()
    assert conclusions.summarize(open_study(folder)) == ""
