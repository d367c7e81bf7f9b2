"""What a search selected becomes part of the configs of the trainings that are reported."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from latentbench.artifacts.dependencies import config_files, select_config
from latentbench.artifacts.files import read_manifest, write_manifest, write_yaml
from latentbench.artifacts.paths import SELECTED
from latentbench.artifacts.selection import merge_selection, resolve_training, write_selection
from latentbench.cli import main
from latentbench.config.experiments import ExperimentConfig
from latentbench.config.load import parse_params, read_config
from latentbench.config.params import Params
from latentbench.errors import ArtifactError

RAW: dict[str, Any] = {
    "studies": {"s": {"title": "S"}},
    "datasets": {"d": {"source": "glyphs", "validation_fraction": 0.1}},
    "experiments": {
        "gan": {
            "study": "s",
            "dataset": "d",
            "repeats": 2,
            "search": {"learning_rate": [1e-4, 3e-4], "beta1": [0.0, 0.5]},
            "model": {"name": "dcgan"},
        }
    },
}
VALUES = {"learning_rate": 3e-4, "beta1": 0.0}


def params(**settings: Any) -> Params:
    raw = copy.deepcopy(RAW)
    raw["experiments"]["gan"] |= settings
    return parse_params(raw, where="params.yaml")


@pytest.fixture
def study(tmp_path: Path) -> Path:
    """The folder of a study whose search selected the third combination."""
    config = params().experiment("gan")
    trials = [
        {"values": values, "mean": abs(place - 2.0), "std": 0.1, "seed": 1}
        for place, values in enumerate(config.combinations())
    ]
    write_selection(tmp_path / "gan" / SELECTED, config, trials)
    return tmp_path


def test_trials_are_the_product_with_a_seed_of_their_own() -> None:
    config = params().experiment("gan")
    trials = config.trials()
    tried = [(trial.model.learning_rate, trial.model.beta1) for trial in trials]
    assert tried == [(1e-4, 0.0), (1e-4, 0.5), (3e-4, 0.0), (3e-4, 0.5)]
    assert [trial.name for trial in trials] == [f"gan/search/{number}" for number in range(1, 5)]
    assert params().experiment("gan/search/3") == trials[2]
    [seed] = {trial.seed for trial in trials}
    assert seed not in {0, 1}
    assert {tuple(trial.training.checkpoint_epochs) for trial in trials} == {(20,)}
    assert params().study("s").searches == {"gan": 4}
    small = parse_params(copy.deepcopy(RAW) | {"budget": "small"}, where="").study("s")
    assert (small.searches, small.repeats) == ({}, {})


def test_reported_trainings_have_the_selected_values(study: Path) -> None:
    for name in ("gan", "gan/repeats/1"):
        config = resolve_training(params(), name, study)
        assert (config.model.learning_rate, config.model.beta1) == (3e-4, 0.0)
        assert config.training_settings()["model"]["learning_rate"] == 3e-4  # type: ignore[index]
    trial = resolve_training(params(), "gan/search/1", study)
    assert trial.model.learning_rate == 1e-4


@pytest.mark.parametrize("name", ["gan", "gan/repeats/1"])
def test_files_of_both_engines_are_the_same(study: Path, name: str) -> None:
    merged = config_files(resolve_training(params(), name, study))
    for file, text in config_files(params().experiment(name)).items():
        assert merge_selection(text, study / "gan" / SELECTED) == merged[file]
    write_yaml(study / "params.yaml", RAW)
    options = ["--params", str(study / "params.yaml"), "--experiment", name]
    result = CliRunner().invoke(main, ["configure", *options, "--output", str(study / name)])
    assert result.exit_code == 0, result.output
    assert {file: (study / name / file).read_text() for file in merged} == merged


def test_the_settings_of_select_read_back(tmp_path: Path) -> None:
    config = params().experiment("gan")
    (tmp_path / "select.yaml").write_text(select_config(config))
    read = read_config(tmp_path / "select.yaml", ExperimentConfig)
    assert read.trials() == [
        trial.model_copy(update={"latent": read.latent, "resources": read.resources})
        for trial in config.trials()
    ]


@pytest.mark.parametrize(
    ("settings", "named"),
    [
        ({"training": {"epochs": 7}}, "training.checkpoints"),
        ({"search": {"learning_rate": [1e-4]}}, "search"),
        ({"model": {"name": "dcgan", "width": 8}}, "model.width"),
    ],
)
def test_a_selection_of_other_settings_is_refused(
    study: Path, settings: dict[str, Any], named: str
) -> None:
    with pytest.raises(ArtifactError, match=rf"selected\.json.*{named}"):
        resolve_training(params(**settings), "gan", study)


def test_a_missing_or_damaged_selection_is_refused(study: Path) -> None:
    path = study / "gan" / SELECTED
    content = read_manifest(path)
    path.write_text(path.read_text().replace("0.0003", "0.0004", 1))
    with pytest.raises(ArtifactError, match=r"selected\.json"):
        resolve_training(params(), "gan", study)
    write_manifest(path, {key: content[key] for key in content if key != "values"})
    with pytest.raises(ArtifactError, match="values"):
        resolve_training(params(), "gan", study)
    path.unlink()
    with pytest.raises(ArtifactError, match="latentbench search"):
        resolve_training(params(), "gan", study)


def test_merge_refuses_a_selection_for_another_model(study: Path) -> None:
    write_yaml(study / "train.yaml", {"model": {"name": "vae"}})
    options = ["--config", str(study / "train.yaml"), "--output", str(study / "out.yaml")]
    result = CliRunner().invoke(
        main, ["merge", *options, "--selected", str(study / "gan" / SELECTED)]
    )
    assert result.exit_code == 1
    assert "selected.json" in result.output
    assert not (study / "out.yaml").exists()
