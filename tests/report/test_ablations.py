"""What changes of settings did follows the numbers, and so does the end of a report that sums them up."""

from __future__ import annotations

import pytest

from latentbench.artifacts.files import (
    read_arrays,
    read_csv,
    read_json,
    write_arrays,
    write_csv,
    write_json,
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
from latentbench.report.comparison.ablations import told
from latentbench.report.comparison.conclusions import in_short
from latentbench.report.presentation.formatting import NBSP
from latentbench.results.study import open_study
from tests.report.conftest import change, make_repeats, score_labels


def give(folder, first: str, other: str, **model) -> None:
    """Make an experiment of the kind of the first, with these settings of its model changed."""
    settings = read_yaml(folder / first / "config.yaml")
    write_yaml(
        folder / other / "config.yaml",
        settings | {"name": other, "model": settings["model"] | model},
    )


def test_a_change_is_told_with_its_paper_its_effect_and_its_spread(make_study):
    folder = make_study({"dcgan": (20.0, 0.3), "wgan-gp": (18.0, 0.2)})
    give(folder, "dcgan", "wgan-gp", label_smoothing=0.1)
    rule, text = told(open_study(folder)).split("\n\n")
    assert "over sampling seeds only" in rule
    assert text.startswith(
        "**wgan-gp**, `label_smoothing` 0.1 instead of 0.0 [@salimans2016]: FD (classifier) 18.0 ± 0.2 against 20.0 ± 0.3 of "
        "dcgan, lower by 2.0, more than the margin over 3 sampling seeds (0.72)."
    )
    # Twice the time for as many images.
    assert "An epoch takes 2.0 times as long." in text


def test_a_change_within_the_spread_is_called_that(make_study):
    folder = make_study({"dcgan": (20.0, 0.3), "wgan-gp": (20.3, 0.2)})
    give(folder, "dcgan", "wgan-gp", learning_rate=1e-3)
    assert "higher by 0.3, less than the margin over 3 sampling seeds (0.72)" in told(
        open_study(folder)
    )


def test_the_spread_over_trainings_stands_for_both_sides(make_study):
    folder = make_study(
        {"dcgan": (20.0, 0.3), "wgan-gp": (21.0, 0.3), "conditional-dcgan": (19.0, 0.01)}
    )
    make_repeats(folder, "dcgan", "wgan-gp")
    give(folder, "dcgan", "conditional-dcgan", width=32)
    rule, text = told(open_study(folder)).split("\n\n")
    # 20 and 21: a standard deviation of 0.707 on either side, twice √(0.707² + 0.707²) = 2.0.
    assert (
        f"19.0 ± 0.0 against 20.5 ± 0.7 of dcgan (2{NBSP}seeds), lower by 1.5, less than the margin"
        in text
    )
    assert "over 2 trainings (2.0)" in text
    assert f"Beside dcgan (2{NBSP}seeds) it is over trainings" in rule
    assert "sampling seeds" not in rule


def test_each_is_held_against_the_one_that_differs_least(make_study):
    folder = make_study(
        {"dcgan": (20.0, 0.3), "wgan-gp": (18.0, 0.2), "conditional-dcgan": (16.0, 0.2)}
    )
    give(folder, "dcgan", "wgan-gp", width=32)
    give(folder, "wgan-gp", "conditional-dcgan", ema_decay=0.5)
    assert (
        "**conditional-dcgan**, `ema_decay` 0.5 instead of 0.999 [@yazici2019]: FD (classifier) 16.0 ± 0.2 against 18.0"
        in told(open_study(folder))
    )


def test_when_it_had_come_as_far_is_told_if_before_its_end(make_study):
    folder = make_study({"dcgan": (20.0, 0.3), "wgan-gp": (12.0, 0.2)})
    give(folder, "dcgan", "wgan-gp", width=32)
    assert "had come as close" not in told(open_study(folder)), (
        "24 at epoch 2 and 12 at the last, epoch 4"
    )
    path = folder / "wgan-gp" / METRICS
    rows = read_csv(path)
    write_csv(
        path,
        [row | {"fd_classifier": "19.0"} if row["epoch"] == "2" else row for row in rows],
        columns=list(rows[0]),
    )
    assert "had come as close as dcgan does in the end by epoch 2 of 4" in told(open_study(folder))


def test_an_equal_pace_is_not_told(make_study):
    folder = make_study({"dcgan": (20.0, 0.3), "wgan-gp": (12.0, 0.2)})
    give(folder, "dcgan", "wgan-gp", width=32)
    path = folder / "wgan-gp" / PROVENANCE
    write_json(path, read_json(path) | {"images_per_second": 0.9 * 640})
    assert "An epoch takes" not in told(open_study(folder))


@pytest.mark.parametrize(
    ("setting", "said"),
    [
        ({"initialization": "xavier"}, "`initialization` xavier instead of dcgan [@glorot2010]:"),
        (
            {"initialization": "orthogonal"},
            "`initialization` orthogonal instead of dcgan [@saxe2014]:",
        ),
        ({"initialization": "default"}, "`initialization` default instead of dcgan:"),
        (
            {"discriminator_learning_rate": 4e-4},
            "0.0004 instead of 0.0002, the generator's [@heusel2017]:",
        ),
        ({"spectral_norm": True}, "`spectral_norm` yes instead of no [@miyato2018]:"),
        ({"loss": "hinge"}, "`loss` hinge instead of non-saturating [@lim2017]:"),
    ],
)
def test_settings_read_as_they_stand_with_the_paper_of_their_value(make_study, setting, said):
    folder = make_study({"dcgan": (20.0, 0.3), "wgan-gp": (12.0, 0.2)})
    give(folder, "dcgan", "wgan-gp", **setting)
    assert said in told(open_study(folder))


def test_networks_are_cited_of_gans_alone(make_study):
    folder = make_study(
        {
            "dcgan": (20.0, 0.3),
            "wgan-gp": (12.0, 0.2),
            "vae": (30.0, 0.1),
            "conditional-vae": (9.0, 0.1),
        }
    )
    give(folder, "dcgan", "wgan-gp", architecture="residual")
    give(folder, "vae", "conditional-vae", architecture="residual", condition=None)
    text = told(open_study(folder))
    assert text.count("`architecture` residual instead of convolutional") == 2
    assert text.count("@gulrajani2017") == 1


def test_what_takes_the_place_of_batch_normalization_is_said(make_study):
    folder = make_study({"dcgan": (20.0, 0.3), "wgan-gp": (12.0, 0.2)})
    give(folder, "dcgan", "wgan-gp", spectral_norm=True)
    assert "batch normalization" not in told(open_study(folder))
    rows = read_csv(folder / "dcgan" / ARCHITECTURE)
    normalized = [row | {"kind": row["kind"].replace("ReLU", "BatchNorm2d")} for row in rows]
    write_csv(folder / "dcgan" / ARCHITECTURE, normalized, columns=list(rows[0]))
    assert "It takes the place of batch normalization in the encoder." in told(open_study(folder))


def test_steps_of_the_generator_are_told_where_its_turns_changed(make_study):
    folder = make_study({"dcgan": (20.0, 0.3), "wgan-gp": (12.0, 0.2)})
    give(folder, "dcgan", "wgan-gp", n_critic=5)
    last = read_csv(folder / "dcgan" / HISTORY)[-1]["step"]
    assert last == "400"
    assert "The generator took 80 steps instead of 400." in told(open_study(folder))


def autoencoders(make_study):
    """An autoencoder, and a VAE that is like it otherwise."""
    folder = make_study({"vae": (30.0, 0.4), "conditional-vae": (20.0, 0.3)})
    settings = read_yaml(folder / "vae" / "config.yaml")
    own = ("kl_weight", "kl_warmup_steps", "likelihood", "decoder_std")
    model = {key: value for key, value in settings["model"].items() if key not in own} | {
        "name": "autoencoder"
    }
    write_yaml(folder / "vae" / "config.yaml", settings | {"model": model})
    write_yaml(folder / "conditional-vae" / "config.yaml", settings | {"name": "conditional-vae"})
    return folder


def test_objectives_are_compared_where_the_rest_is_alike(make_study):
    folder = autoencoders(make_study)
    text = told(open_study(folder))
    assert "**conditional-vae**, `name` vae instead of autoencoder, with `kl_weight` 1.0," in text
    assert (
        "FD (classifier) 20.0 ± 0.3 against 30.0 ± 0.4 of vae, which does not judge vae, not trained to make samples."
        in text
    )
    assert (
        "reconstructed with MSE 0.0120 against 0.0120 and SSIM 0.780 against 0.780 of vae" in text
    )
    assert "margin" not in text
    assert (
        "conditional-vae, with `name` vae instead of autoencoder: FD (classifier) 20.0"
        in in_short(open_study(folder))
    )
    settings = read_yaml(folder / "vae" / "config.yaml")
    write_yaml(
        folder / "vae" / "config.yaml", settings | {"model": settings["model"] | {"width": 8}}
    )
    assert told(open_study(folder)) == ""


def test_models_of_another_kind_are_no_changes_and_unmeasured_ones_are_left_out(make_study):
    folder = make_study()
    assert told(open_study(folder)) == ""
    give(folder, "dcgan", "wgan-gp", width=32)
    assert "width" in told(open_study(folder))
    (folder / "wgan-gp" / METRICS).unlink()
    (folder / "wgan-gp" / LAST_METRICS).unlink()
    assert told(open_study(folder)) == ""


def points(folder) -> list[str]:
    return [
        line.removeprefix("- ")
        for line in in_short(open_study(folder)).splitlines()
        if line.startswith("- ")
    ]


def test_the_end_answers_with_the_best_and_the_worst(make_study):
    folder = make_study({"vae": (30.0, 0.4), "dcgan": (12.3, 0.3), "wgan-gp": (12.0, 0.2)})
    assert in_short(open_study(folder)).startswith(r"*Which is best\?*")
    assert (
        "Closest to the real images, by FD (classifier): wgan-gp (12.0 ± 0.2), not told apart from dcgan; "
        "farthest: vae (30.0 ± 0.4)."
    ) in points(folder)
    assert (
        f"Discriminators are right on 80.0{NBSP}% of real and generated images in the end; guessing gets half."
        in (points(folder))
    )


def test_the_end_tells_what_helped_and_what_hurt(make_study):
    folder = make_study({"dcgan": (20.0, 0.3), "wgan-gp": (12.0, 0.2)})
    give(folder, "dcgan", "wgan-gp", width=32)
    limit = "by FD (classifier), beyond the spread over the sampling seeds: `width` 32 instead of 64 (wgan-gp:"
    assert f"What helped, {limit} 12.0 against 20.0)." in points(folder)
    rows = read_csv(folder / "wgan-gp" / METRICS)
    for fd_classifier, what in (("40.0", "hurt"), ("20.1", "made no difference")):
        write_csv(
            folder / "wgan-gp" / METRICS,
            [row | {"fd_classifier": fd_classifier} for row in rows],
            columns=list(rows[0]),
        )
        assert f"What {what}, {limit} {fd_classifier} against 20.0)." in points(folder)


def test_the_end_holds_settings_against_the_luck_of_the_seed(make_study):
    scores = {
        "dcgan": (20.0, 0.3),
        "wgan-gp": (21.0, 0.3),
        "conditional-dcgan": (19.0, 0.1),
        "vae": (40.0, 0.1),
    }
    folder = make_study(scores)
    make_repeats(folder, "dcgan", "wgan-gp")
    give(folder, "dcgan", "conditional-dcgan", width=32)
    give(folder, "dcgan", "vae", width=8)
    [luck] = [point for point in points(folder) if point.startswith("The luck of the seed")]
    assert (
        f"dcgan (2{NBSP}seeds) has FD (classifier) 20.5 ± 0.7 over its trainings. Of 2 models with another setting, 1 differs"
        in (luck)
    )
    assert "the largest difference is 19.5" in luck


def test_the_end_holds_the_class_asked_for_against_real_images_and_chance(make_study):
    folder = make_study({"conditional-vae": (25.0, 0.2), "conditional-dcgan": (18.0, 0.2)})
    assert not any("was asked for" in point for point in points(folder))
    score_labels(folder, {"conditional-vae": "0.5", "conditional-dcgan": "0.7"})
    assert (
        "Best at drawing what was asked for, by the share that is recognized: conditional-dcgan (0.700 ± 0.010); "
        "of real test images 0.950 are; chance would be 0.100."
    ) in points(folder)
    for name in ("conditional-vae", "conditional-dcgan"):
        change(folder / name / LAST_METRICS, test_scores={"fd_classifier": 1.5})
    assert any("(0.700 ± 0.010); chance would be" in point for point in points(folder))


def test_the_end_tells_what_lies_in_the_latent_spaces(make_study):
    folder = make_study()
    for name, farthest in (("vae", 1.25), ("dcgan", 3.0), ("wgan-gp", 2.0)):
        arrays = read_arrays(folder / name / LATENT_ARRAYS)
        for kind, times in (("linear", 1), ("spherical", 2)):
            arrays[f"interpolation_{kind}_distance"][:] = 0.5
            arrays[f"interpolation_{kind}_distance"][:, 2] = times * farthest
        write_arrays(folder / name / LATENT_ARRAYS, arrays)
    change(folder / "vae" / LATENT_FACTS, active_units=24)
    assert (
        "linear paths 1.25 (vae) to 3.00 (dcgan); spherical paths 2.50 (vae) to 6.00 (dcgan)."
        in points(folder)[-3]
    )
    assert points(folder)[-2] == f"Dimensions of the codes that are in use: 75{NBSP}% (vae)."
    for name in ("dcgan", "wgan-gp"):
        (folder / name / LATENT_ARRAYS).write_bytes((folder / "vae" / LATENT_ARRAYS).read_bytes())
    assert "linear paths 1.25 (all);" in points(folder)[-3]
    for path in folder.glob(f"*/{LATENT_ARRAYS}"):
        path.unlink()
    assert not any("paths" in point or "code" in point for point in points(folder))


def test_nothing_measured_has_no_end(make_study):
    folder = make_study({"vae": (30.0, 0.4)})
    (folder / "vae" / LATENT_ARRAYS).unlink()
    assert points(folder) == [
        "FD (classifier) to the real images: vae (30.0 ± 0.4), which alone was measured."
    ]
    for path in folder.glob("*/metrics.*"):
        path.unlink()
    assert in_short(open_study(folder)) == ""
