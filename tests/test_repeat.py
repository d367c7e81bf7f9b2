"""Repeats by one command: what is missing or out of date runs, and nothing else."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from latentbench.artifacts.dependencies import settings_of
from latentbench.artifacts.files import write_text, write_yaml
from latentbench.artifacts.paths import (
    METRICS,
    SELECT_RECORD,
    SELECTED,
    checkpoint_path,
    record_name,
)
from latentbench.artifacts.provenance import write_record
from latentbench.artifacts.selection import write_selection
from latentbench.cli import main
from latentbench.config.experiments import ExperimentConfig
from latentbench.config.load import parse_params, read_config
from latentbench.config.params import Params
from latentbench.errors import ConfigError, LatentbenchError
from latentbench.repeat import Folders, repeat_experiment, run_stage, search_experiment

RAW: dict[str, Any] = {
    "studies": {"s": {"title": "S"}},
    "datasets": {"d": {"source": "glyphs", "validation_fraction": 0.1}},
    "experiments": {
        "vae": {
            "study": "s",
            "dataset": "d",
            "repeats": 3,
            "seed": 5,
            "training": {"epochs": 2},
            "model": {"name": "vae"},
        }
    },
}


def params(**settings: Any) -> Params:
    raw = copy.deepcopy(RAW)
    raw["experiments"]["vae"] |= settings
    return parse_params(raw, where="")


class Stages:
    """Stages that write a file and a record, and remember their runs."""

    def __init__(self, folder: Path) -> None:
        self.folders = Folders(
            data=folder / "data",
            reference=folder / "reference",
            results=folder / "results" / "vae",
            logs=folder / "logs" / "vae",
            scratch=folder / "scratch" / "vae",
        )
        self.runs: list[str] = []

    def run(self, arguments: Sequence[str]) -> None:
        stage, *options = arguments
        given = dict(zip(options[::2], map(Path, options[1::2]), strict=True))
        config = read_config(given["--config"], ExperimentConfig)
        results = given["--results"]
        self.runs.append(f"{stage} {config.name}")
        if stage == "select":
            self.select(config, results)
            return
        checkpoint, metrics = checkpoint_path(results, 2), results / METRICS
        inputs, output = ([], checkpoint) if stage == "train" else ([checkpoint], metrics)
        write_text(output, f"{stage} with seed {config.seed}")
        settings = settings_of(stage, config.model_dump(mode="json"))
        record = results / record_name(stage)
        write_record(record, stage, settings=settings, inputs=inputs, outputs=[output], cost=None)

    def select(self, config: ExperimentConfig, results: Path) -> None:
        """Select the last trial."""
        values = config.combinations()
        trials = [{"values": each, "mean": -place} for place, each in enumerate(values)]
        write_selection(results / SELECTED, config, trials)
        settings = settings_of("select", config.model_dump(mode="json"))
        record, outputs = results / SELECT_RECORD, [results / SELECTED]
        write_record(record, "select", settings=settings, inputs=[], outputs=outputs, cost=None)

    def repeat(self, **settings: Any) -> list[str]:
        """Return the stages that run with these settings of the experiment."""
        self.runs = []
        repeat_experiment(params(**settings), "vae", self.folders, run=self.run)
        return self.runs

    def search(self, **settings: Any) -> list[str]:
        """Return the stages that run to search the experiment's settings."""
        self.runs = []
        search_experiment(params(**settings), "vae", self.folders, run=self.run)
        return self.runs


def each(*stages: str) -> list[str]:
    return [f"{stage} vae/repeats/{number}" for number in (1, 2) for stage in stages]


@pytest.fixture
def stages(tmp_path: Path) -> Stages:
    made = Stages(tmp_path)
    assert made.repeat() == each("train", "evaluate")
    return made


def test_each_repeat_has_its_seed_and_is_kept(stages: Stages) -> None:
    repeats = stages.folders.results / "repeats"
    texts = [checkpoint_path(repeats / number, 2).read_text() for number in ("1", "2")]
    assert texts == ["train with seed 6", "train with seed 7"]
    assert stages.repeat() == []
    assert stages.repeat(latent={"num_pairs": 2}) == []


def test_a_setting_reruns_the_stages_that_read_it(stages: Stages) -> None:
    assert stages.repeat(evaluation={"num_seeds": 2}) == each("evaluate")
    assert stages.repeat(training={"epochs": 3, "checkpoints": [2]}) == each("train", "evaluate")


@pytest.mark.parametrize("name", [METRICS, record_name("evaluate")])
def test_a_damaged_or_missing_file_is_made_again(stages: Stages, name: str) -> None:
    path = stages.folders.results / "repeats" / "2" / name
    before = path.read_bytes()
    for harm in (lambda: path.write_bytes(before[:-3]), path.unlink):
        harm()
        assert stages.repeat() == ["evaluate vae/repeats/2"]
        assert path.read_bytes() == before


def test_a_damaged_checkpoint_is_trained_again(stages: Stages) -> None:
    checkpoint_path(stages.folders.results / "repeats" / "1", 2).write_text("other")
    # The record of evaluate matches the checkpoint again once it has its bits.
    assert stages.repeat() == ["train vae/repeats/1"]


def test_more_repeats_add_trainings_and_fewer_delete_them(stages: Stages) -> None:
    assert stages.repeat(repeats=4) == [f"{stage} vae/repeats/3" for stage in ("train", "evaluate")]
    repeats = stages.folders.results / "repeats"
    assert stages.repeat(repeats=2) == []
    assert [path.name for path in repeats.iterdir()] == ["1"]
    assert stages.repeat(repeats=1) == []
    assert list(repeats.iterdir()) == []


def test_a_failed_stage_ends_the_run_and_what_is_done_stays(
    stages: Stages, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = stages.run

    def fail(arguments: Sequence[str]) -> None:
        if "repeats/2" in arguments[2]:
            raise LatentbenchError("Disk full.")
        run(arguments)

    monkeypatch.setattr(stages, "run", fail)
    with pytest.raises(LatentbenchError, match="Disk full"):
        stages.repeat(evaluation={"num_seeds": 2})
    monkeypatch.setattr(stages, "run", run)
    assert stages.repeat(evaluation={"num_seeds": 2}) == ["evaluate vae/repeats/2"]


def test_trials_are_trained_once_and_one_is_selected(stages: Stages) -> None:
    search = {"learning_rate": [1e-4, 2e-3, 1e-2]}
    trials = [f"train vae/search/{number}" for number in (1, 2, 3)]
    assert stages.search(search=search) == [*trials, "select vae"]
    assert stages.search(search=search) == []
    assert stages.search(search=search, evaluation={"num_seeds": 2}) == ["select vae"]
    fewer = {"learning_rate": [1e-4, 2e-3]}
    assert stages.search(search=fewer, evaluation={"num_seeds": 2}) == ["select vae"]
    folder = stages.folders.results / "search"
    assert {path.name for path in folder.iterdir()} == {
        *("1", "2", "select.yaml", "selected.json", "provenance"),
    }
    # The fake stage selects the last.
    assert stages.repeat(search=fewer, evaluation={"num_seeds": 2}) == each("train", "evaluate")
    config = read_config(
        stages.folders.results / "repeats" / "1" / "config" / "train.yaml", ExperimentConfig
    )
    assert config.model.learning_rate == 2e-3
    assert stages.search() == []
    assert list(folder.iterdir()) == []


def test_an_unknown_experiment_is_refused(stages: Stages) -> None:
    with pytest.raises(ConfigError, match="'gan'"):
        repeat_experiment(parse_params(RAW, where=""), "gan", stages.folders, run=stages.run)


def test_the_command_reports_a_stage_that_fails(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """Nothing is prepared here: the stage says so itself, in a process of its own."""
    write_yaml(tmp_path / "params.yaml", RAW)
    folders = [f"--{name}={tmp_path / name}" for name in ("data", "reference", "results", "logs")]
    options = [f"--params={tmp_path / 'params.yaml'}", f"--scratch={tmp_path / 'scratch'}"]
    result = CliRunner().invoke(main, ["repeat", "--experiment=vae", *options, *folders])
    assert result.exit_code == 1
    assert "train" in result.output
    assert "Error: " in capfd.readouterr().err
    with pytest.raises(LatentbenchError, match="code 2"):
        run_stage(["no-such-stage"])
