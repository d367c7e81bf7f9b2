"""params.yaml: defaults are merged, values are checked, and errors name key, value and remedy."""

from __future__ import annotations

import copy
import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner

from latentbench.artifacts.dependencies import (
    OF_EXPERIMENTS,
    OF_REPEATS,
    config_files,
    settings_of,
)
from latentbench.artifacts.paths import CONFIG, stage_config
from latentbench.cli import main
from latentbench.config.experiments import ExperimentConfig
from latentbench.config.load import parse_params, read_config, read_params, read_yaml
from latentbench.config.params import KINDS, Params
from latentbench.config.renamed import RENAMED_KEYS
from latentbench.errors import ConfigError

PARAMS: dict[str, Any] = {
    "studies": {"demo": {"title": "Demo"}},
    "datasets": {"glyphs": {"source": "glyphs", "image_size": 64, "validation_fraction": 0.1}},
    "defaults": {"seed": 3, "training": {"epochs": 5, "batch_size": 16}},
    "experiments": {
        "small": {
            "study": "demo",
            "dataset": "glyphs",
            "model": {"name": "dcgan"},
            "training": {"epochs": 2},
        },
        "plain": {"study": "demo", "dataset": "glyphs", "model": {"name": "vae"}},
    },
}


@pytest.mark.parametrize(
    ("model", "initialization"),
    [
        ({"name": "dcgan"}, "dcgan"),
        ({"name": "dcgan", "architecture": "residual"}, "xavier"),
        ({"name": "dcgan", "architecture": "residual", "initialization": "dcgan"}, "dcgan"),
        ({"name": "vae", "architecture": "residual"}, "dcgan"),
        ({"name": "vae", "architecture": "resnet"}, "xavier"),
        ({"name": "cgan"}, "default"),
        ({"name": "wgan_gp", "architecture": "fully_connected"}, "xavier"),
    ],
)
def test_resolved_config_has_the_default_of_its_architecture(
    model: dict[str, Any], initialization: str, tmp_path: Path
) -> None:
    params = copy.deepcopy(PARAMS)
    params["experiments"]["small"]["model"] = model
    (tmp_path / "params.yaml").write_text(yaml.safe_dump(params))
    arguments = ["configure", "--params", str(tmp_path / "params.yaml"), "--experiment", "small"]
    result = CliRunner().invoke(main, [*arguments, "--output", str(tmp_path / "results")])
    assert result.exit_code == 0, result.output
    written = read_yaml(tmp_path / "results" / CONFIG)
    assert written["model"]["initialization"] == initialization
    excerpt = parse_params(params, where="p").excerpt("experiment", "small")
    assert excerpt["experiments"]["small"]["model"]["initialization"] == initialization


def test_faulty_architecture_is_one_error() -> None:
    """Defaults that depend on it are not further errors."""
    params = copy.deepcopy(PARAMS)
    params["experiments"]["small"]["model"] = {"name": "dcgan", "architecture": "flat"}
    with pytest.raises(ConfigError, match="architecture") as error:
        parse_params(params, where="p")
    assert "more errors" not in str(error.value)


def test_experiments_override_defaults_key_by_key() -> None:
    small = parse_params(copy.deepcopy(PARAMS), where="params.yaml").experiment("small")
    assert (small.seed, small.training.epochs, small.training.batch_size) == (3, 2, 16)
    assert (small.image_size, small.channels) == (64, 1)


def test_each_model_has_the_optimizer_of_its_paper() -> None:
    params = copy.deepcopy(PARAMS)
    params["experiments"]["critic"] = params["experiments"]["small"] | {
        "model": {"name": "wgan_gp"}
    }
    parsed = parse_params(params, where="params.yaml")
    models = {name: parsed.experiment(name).model for name in parsed.experiments}
    assert (models["small"].learning_rate, models["small"].beta1, models["small"].beta2) == (
        2e-4,
        0.5,
        0.999,
    )
    assert (models["critic"].learning_rate, models["critic"].beta1, models["critic"].beta2) == (
        1e-4,
        0.0,
        0.9,
    )


@pytest.mark.parametrize(
    ("training", "expected"),
    [
        ({"epochs": 8}, [2, 4, 6, 8]),
        ({"epochs": 1}, [1]),
        ({"epochs": 10, "checkpoints": [3, 1]}, [1, 3, 10]),
        ({"epochs": 10, "checkpoints": []}, [10]),
    ],
)
def test_the_last_epoch_always_has_a_checkpoint(
    training: dict[str, Any], expected: list[int]
) -> None:
    params = copy.deepcopy(PARAMS)
    params["experiments"]["plain"]["training"] = training
    config = parse_params(params, where="params.yaml").experiment("plain")
    assert config.training.checkpoints == expected
    assert config.training.checkpoint_epochs == expected


def test_a_study_lists_its_experiments_in_order() -> None:
    study = parse_params(copy.deepcopy(PARAMS), where="params.yaml").study("demo")
    assert (study.experiments, study.datasets) == (["small", "plain"], ["glyphs"])


def test_repeats_are_trainings_with_the_next_seeds() -> None:
    raw = copy.deepcopy(PARAMS)
    raw["defaults"]["repeats"] = 2
    raw["experiments"]["plain"] |= {"seed": 7, "repeats": 3}
    params = parse_params(raw, where="params.yaml")
    trainings = ["small", "small/repeats/1", "plain", "plain/repeats/1", "plain/repeats/2"]
    assert params.study("demo").trainings == trainings
    configs = [params.experiment(name) for name in trainings[2:]]
    assert [config.seed for config in configs] == [7, 8, 9]
    first, last = configs[0].model_dump(), configs[2].model_dump()
    differing = {key for key in first if first[key] != last[key]}
    assert differing == {"name", "seed", "repeats"}
    with pytest.raises(ConfigError, match=r"'plain/repeats/3'.*plain/repeats/2"):
        params.experiment("plain/repeats/3")


def test_the_number_of_repeats_changes_no_stage_of_the_first_training() -> None:
    once, often = (
        parse_params(copy.deepcopy(PARAMS) | {"defaults": {"repeats": number}}, where="params.yaml")
        for number in (1, 3)
    )
    before, after = (config_files(params.experiment("plain")) for params in (once, often))
    assert {name for name in before if before[name] != after[name]} == {CONFIG}
    settings = [params.experiment("plain").training_settings() for params in (once, often)]
    assert settings[0] == settings[1]
    of_repeat = config_files(often.experiment("plain/repeats/1"))
    assert set(of_repeat) == {CONFIG, *map(stage_config, OF_REPEATS)}


@pytest.mark.parametrize(
    "change", [{"sampling_steps": 3}, {"guidance": 2.0}, {"churn": 1.0}, {"label_dropout": 0.2}]
)
def test_how_a_model_is_sampled_is_no_setting_of_its_training(change: dict[str, float]) -> None:
    configs = []
    for settings in ({}, change):
        raw = copy.deepcopy(PARAMS)
        raw["experiments"]["plain"]["model"] = {
            "name": "diffusion",
            "condition": "class",
        } | settings
        configs.append(parse_params(raw, where="params.yaml").experiment("plain"))
    before, after = map(config_files, configs)
    changed = {name for name in before if before[name] != after[name]}
    trains = "label_dropout" in change
    stages = OF_EXPERIMENTS if trains else OF_EXPERIMENTS[1:]
    assert changed == {CONFIG, *map(stage_config, stages)}
    assert (configs[0].training_settings() != configs[1].training_settings()) == trains


def test_the_small_budget_trains_once() -> None:
    raw = copy.deepcopy(PARAMS) | {"budget": "small", "defaults": {"repeats": 3}}
    study = parse_params(raw, where="params.yaml").study("demo")
    assert study.trainings == study.experiments


@pytest.mark.parametrize(
    ("settings", "named"),
    [
        ({"repeats": 0}, "experiments.plain.repeats"),
        ({"seed": 2**63 - 2, "repeats": 3}, "experiments.plain "),
    ],
)
def test_repeats_without_seeds_are_refused(settings: dict[str, int], named: str) -> None:
    raw = copy.deepcopy(PARAMS)
    raw["experiments"]["plain"] |= settings
    with pytest.raises(ConfigError, match=re.escape(named)):
        parse_params(raw, where="params.yaml")


@pytest.mark.parametrize(
    ("search", "named"),
    [
        ({"learning_rates": [1e-4]}, "'learning_rates'"),
        ({"name": ["vae"]}, "'name'"),
        ({"learning_rate": []}, "search.learning_rate"),
        ({"learning_rate": 1e-4}, "search.learning_rate"),
        ({"learning_rate": [1e-4, -1]}, "-1"),
        ({"width": list(range(4, 100))}, "96"),
        ({"decoder_std": [0.5], "likelihood": ["bernoulli"]}, "decoder_std"),
    ],
)
def test_a_search_of_what_the_model_cannot_have_is_refused(
    search: dict[str, Any], named: str
) -> None:
    raw = copy.deepcopy(PARAMS)
    raw["experiments"]["plain"]["search"] = search
    with pytest.raises(ConfigError, match=rf"experiments\.plain.*{re.escape(named)}"):
        parse_params(raw, where="params.yaml")


def test_a_search_needs_validation_images() -> None:
    raw = copy.deepcopy(PARAMS)
    del raw["datasets"]["glyphs"]["validation_fraction"]
    raw["experiments"]["plain"]["search"] = {"learning_rate": [1e-4]}
    expected = r"experiments\.plain\.search.*datasets\.glyphs\.validation_fraction"
    with pytest.raises(ConfigError, match=expected):
        parse_params(raw, where="params.yaml")


def test_values_of_a_search_may_be_text() -> None:
    raw = copy.deepcopy(PARAMS)
    raw["experiments"]["plain"]["search"] = {"learning_rate": ["1e-4", "0.001"]}
    config = parse_params(raw, where="params.yaml").experiment("plain")
    assert [trial.model.learning_rate for trial in config.trials()] == [1e-4, 1e-3]


@pytest.mark.parametrize("text", ["2e-4", "0.0002"])
def test_text_is_read_as_number_or_boolean(text: str) -> None:
    params = copy.deepcopy(PARAMS)
    params["experiments"]["plain"]["model"]["learning_rate"] = text
    params["experiments"]["plain"]["training"] = {"epochs": "7", "flip": "true"}
    params["experiments"]["plain"]["model"]["decoder_std"] = "0.5"
    config = parse_params(params, where="params.yaml").experiment("plain")
    assert config.model.learning_rate == 2e-4
    assert (config.training.epochs, config.training.flip) == (7, True)
    assert config.model.decoder_std == 0.5  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("epochs", True),
        ("epochs", 7.0),
        ("epochs", 0.5),
        ("epochs", "0.5"),
        ("epochs", ""),
        ("batch_size", "null"),
        ("flip", 1),
        ("flip", "2"),
        ("checkpoints", "7"),
        ("checkpoints", ["x"]),
        ("precision", 32),
    ],
)
def test_other_conversions_are_refused(key: str, value: Any) -> None:
    params = copy.deepcopy(PARAMS)
    # A number as text, too: reading that one must not loosen what is allowed elsewhere.
    params["experiments"]["plain"]["model"]["learning_rate"] = "2e-4"
    params["experiments"]["plain"]["training"] = {key: value}
    with pytest.raises(ConfigError, match=rf"experiments\.plain\.training\.{key}"):
        parse_params(params, where="params.yaml")


@pytest.mark.parametrize("value", [True, "true", "nan", "inf", float("nan"), "fast", None])
def test_learning_rates_are_finite_numbers(value: Any) -> None:
    params = copy.deepcopy(PARAMS)
    params["experiments"]["plain"]["model"]["learning_rate"] = value
    with pytest.raises(ConfigError, match=r"experiments\.plain\.model\.learning_rate"):
        parse_params(params, where="params.yaml")


@pytest.mark.parametrize(("pattern", "new_name"), RENAMED_KEYS.items())
def test_an_old_key_is_refused_with_the_new_name(pattern: str, new_name: str) -> None:
    params: dict[str, Any] = copy.deepcopy(PARAMS)
    params["studies"]["demo"]["authors"] = [{"name": "Ada"}]
    names = {"studies": "demo", "datasets": "glyphs", "experiments": "plain", "authors": 0}
    *parents, key = pattern.split(".")
    location: list[Any] = []
    section: Any = params
    for parent in parents:
        place = names[location[-1]] if parent == "*" else parent
        location.append(place)
        section = section.setdefault(place, {}) if isinstance(section, dict) else section[place]
    section[key] = section.pop("name", 8) if key == "objective" else 8
    with pytest.raises(ConfigError) as error:
        parse_params(params, where="params.yaml")
    old = ".".join(map(str, [*location, key]))
    assert str(error.value) == f"params.yaml: {old} is now {new_name}. Rename the key."


def test_every_new_name_is_a_key() -> None:
    keys = {key for section in _sections(Params.model_json_schema()) for key in section}
    assert {name.rpartition(".")[2] for name in RENAMED_KEYS.values()} <= keys
    assert not {pattern.rpartition(".")[2] for pattern in RENAMED_KEYS} & keys


def _sections(schema: dict[str, Any]) -> list[dict[str, Any]]:
    return [section.get("properties", {}) for section in (schema, *schema["$defs"].values())]


def _put(path: str, value: Any) -> Callable[[dict[str, Any]], None]:
    def change(params: dict[str, Any]) -> None:
        *parents, key = path.split("/")
        for part in parents:
            params = params[part]
        params[key] = value

    return change


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (
            _put("experiments/plain/training", {"epoch": 3}),
            ["experiments.plain.training.epoch", "'epochs'"],
        ),
        (
            _put("experiments/plain/training", {"epochs": "ten"}),
            ["training.epochs", "'ten'", "integer"],
        ),
        (
            _put("experiments/plain/training", {"epochs": True}),
            ["training.epochs", "True", "integer"],
        ),
        (
            _put("experiments/plain/training", {"epochs": 0}),
            ["training.epochs", "0", "equal to 1"],
        ),
        (
            _put("experiments/plain/training", {"checkpoints": [9]}),
            ["plain.training", "epoch 9", "5 epochs"],
        ),
        (_put("experiments/plain/model", {"name": "gan"}), ["plain.model", "'gan'", "'dcgan'"]),
        (_put("experiments/plain/model", {"width": 8}), ["plain.model", "needs the key 'name'"]),
        (_put("experiments/plain/dataset", "mnist"), ["plain.dataset", "'mnist'", "glyphs"]),
        (_put("experiments/plain/study", "faces"), ["plain.study", "'faces'", "demo"]),
        (_put("experiments/a b", PARAMS["experiments"]["plain"]), ["'a b'", "must match"]),
        (
            _put("datasets/glyphs/image_size", 50),
            ["datasets.glyphs.image_size", "32, 64 or 128", "50"],
        ),
        (_put("datasets/glyphs/channels", 3), ["datasets.glyphs.channels", "must be 1"]),
        (_put("datasets/glyphs/source", "glyph"), ["datasets.glyphs", "'glyph'", "'folder'"]),
        (_put("datasets", None), ["datasets", "None"]),
        (_put("defaults/training/epochs", -1), ["training.epochs", "-1"]),
        (_put("optimizer", {}), ["optimizer", "not a known key"]),
    ],
)
def test_errors_name_key_and_value(
    change: Callable[[dict[str, Any]], None], words: list[str], tmp_path: Path
) -> None:
    params = copy.deepcopy(PARAMS)
    change(params)
    path = tmp_path / "params.yaml"
    path.write_text(yaml.safe_dump(params))
    output = tmp_path / "config.yaml"
    arguments = [
        "configure",
        "--params",
        str(path),
        "--experiment",
        "plain",
        "--output",
        str(output),
    ]
    result = CliRunner().invoke(main, arguments)
    assert result.exit_code == 1
    assert not output.exists()
    [line] = result.output.splitlines()
    assert line.startswith("Error: ")
    for word in words:
        assert word in line


@pytest.mark.parametrize(
    ("text", "word"),
    [("a: [1", "not valid YAML"), ("- a", "must be a mapping"), ("", "must be a mapping")],
)
def test_files_without_a_mapping_are_refused(text: str, word: str, tmp_path: Path) -> None:
    path = tmp_path / "params.yaml"
    path.write_text(text)
    result = CliRunner().invoke(
        main,
        ["configure", "--params", str(path), "--study", "demo", "--output", str(tmp_path / "x")],
    )
    assert result.exit_code == 1
    assert word in result.output
    assert len(result.output.splitlines()) == 1


def test_configure_writes_the_resolved_experiment(tmp_path: Path) -> None:
    arguments = ["configure", "--params", "-", "--experiment", "small", "--output", str(tmp_path)]
    result = CliRunner().invoke(main, arguments, input=yaml.safe_dump(PARAMS))
    assert result.exit_code == 0
    resolved = parse_params(copy.deepcopy(PARAMS), where="params.yaml").experiment("small")
    assert read_config(tmp_path / CONFIG, ExperimentConfig) == resolved
    content = resolved.model_dump(mode="json")
    for stage in OF_EXPERIMENTS:
        part = tmp_path / stage_config(stage)
        assert settings_of(stage, read_yaml(part)) == settings_of(stage, content)
        read = read_config(part, ExperimentConfig).model_dump(mode="json")
        assert settings_of(stage, read) == settings_of(stage, content)


def test_a_change_leaves_the_files_of_other_stages_as_they_are(tmp_path: Path) -> None:
    arguments = ["configure", "--params", "-", "--experiment", "small", "--output", str(tmp_path)]
    params = copy.deepcopy(PARAMS)
    CliRunner().invoke(main, arguments, input=yaml.safe_dump(params))
    places = [tmp_path / CONFIG, *(tmp_path / stage_config(stage) for stage in OF_EXPERIMENTS)]
    for place in places:
        os.utime(place, (0, 0))
    params["experiments"]["small"]["evaluation"] = {"num_samples": 123}
    CliRunner().invoke(main, arguments, input=yaml.safe_dump(params))
    changed = {place.name for place in places if place.stat().st_mtime}
    assert changed == {"config.yaml", "evaluate.yaml"}


def test_an_excerpt_resolves_like_all_params(tmp_path: Path) -> None:
    arguments = ["split", "--params", "-", "--output", str(tmp_path)]
    text = yaml.safe_dump(PARAMS, sort_keys=False)
    assert CliRunner().invoke(main, arguments, input=text).exit_code == 0
    whole = parse_params(copy.deepcopy(PARAMS), where="params.yaml")
    for kind, section in KINDS.items():
        names = {path.stem for path in (tmp_path / kind).iterdir()}
        assert names == set(getattr(whole, section))
        for name in names:
            part = read_params(tmp_path / kind / f"{name}.yaml")
            assert getattr(part, kind)(name) == getattr(whole, kind)(name)


def test_training_settings_are_those_that_change_weights() -> None:
    params = copy.deepcopy(PARAMS)
    before = (
        parse_params(copy.deepcopy(params), where="params.yaml")
        .experiment("plain")
        .training_settings()
    )
    params["experiments"]["plain"] |= {
        "evaluation": {"num_samples": 7},
        "latent": {"num_pairs": 2},
        "training": {"checkpoints": [1], "log_every": 3},
    }
    after = (
        parse_params(copy.deepcopy(params), where="params.yaml")
        .experiment("plain")
        .training_settings()
    )
    assert before == after
    params["experiments"]["plain"]["model"]["learning_rate"] = 1e-5
    assert (
        parse_params(params, where="params.yaml").experiment("plain").training_settings() != after
    )


def test_the_error_of_an_unknown_name_lists_the_known_ones() -> None:
    with pytest.raises(ConfigError, match=r"no experiment 'big'.*small, plain"):
        parse_params(copy.deepcopy(PARAMS), where="params.yaml").experiment("big")


def test_anchors_make_a_series_of_experiments() -> None:
    text = """
studies: {s: {title: t}}
datasets: {glyphs: {source: glyphs}}
experiments:
  dcgan-0: &dcgan {study: s, dataset: glyphs, model: {name: dcgan, learning_rate: 2e-4}}
  dcgan-1: {<<: *dcgan, seed: 1}
"""
    params = read_params(Path("-"), text=text)
    first, second = (
        params.experiment(name).model_dump(exclude={"name"}) for name in ("dcgan-0", "dcgan-1")
    )
    assert second == first | {"seed": 1}
