"""`latentbench verify`: unchanged results match their records, and each mismatch is named."""

from __future__ import annotations

import copy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from latentbench.artifacts import provenance
from latentbench.artifacts.dependencies import (
    OF_EXPERIMENTS,
    OF_REPEATS,
    config_files,
    settings_of,
)
from latentbench.artifacts.files import read_manifest, write_manifest, write_text, write_yaml
from latentbench.artifacts.paths import (
    PAGE,
    REPORT_RECORD,
    STUDY,
    record_name,
    stage_config,
    training_files,
)
from latentbench.artifacts.provenance import ResourceUsage, write_record
from latentbench.cli import main
from latentbench.config.base import Section
from latentbench.config.load import parse_params

RAW: dict[str, Any] = {
    "studies": {"s": {"title": "S", "notebooks": ["comparison"]}},
    "datasets": {"d": {"source": "glyphs", "validation_fraction": 0.1}},
    "experiments": {
        "e": {"study": "s", "dataset": "d", "model": {"name": "vae"}, "training": {"epochs": 2}}
    },
}
FOLDER = Path("results/s/e")
NOTES = ("Not checked", "Package versions", "There were uncommitted", "The commit is unknown")


@pytest.fixture
def study(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Results, data and report of one experiment, each with its record."""
    monkeypatch.chdir(tmp_path)
    params = parse_params(RAW, where="params.yaml")
    write_yaml(Path("params.yaml"), RAW)
    experiment, dataset = params.experiment("e"), params.dataset("d")
    study_config = params.study("s")
    write_configs(FOLDER, experiment)
    write_configs(Path("results/s"), study_config)
    write_configs(Path("data/config/d"), dataset)
    manifest, reference = (
        Path("data/prepared/d/dataset.json"),
        Path("data/reference/d/reference.json"),
    )
    trained = [FOLDER / name for name in training_files([1, 2], learns_codes=True)]
    made = {
        "prepare": ([], [manifest]),
        "reference": ([manifest], [reference]),
        "train": ([manifest], trained),
        "evaluate": ([trained[0], manifest, reference], [FOLDER / "metrics.csv"]),
        "explore": ([trained[1], manifest, reference], [FOLDER / "latent/arrays.npz"]),
    }
    for stage, (inputs, outputs) in made.items():
        for path in outputs:
            write_text(path, f"{stage} made {path}\n")
        of_experiment = stage in OF_EXPERIMENTS
        path = (
            FOLDER / record_name(stage)
            if of_experiment
            else Path(f"data/provenance/d/{stage}.json")
        )
        settings = settings_of(
            stage, (experiment if of_experiment else dataset).model_dump(mode="json")
        )
        write_record(
            path,
            stage,
            settings=settings,
            inputs=inputs,
            outputs=outputs,
            cost=ResourceUsage.measure(),
        )
    page = Path("report/s") / PAGE
    write_text(page, "page\n")
    records = [
        Path("results/s") / STUDY,
        *(FOLDER / record_name(stage) for stage in OF_EXPERIMENTS),
    ]
    settings = study_config.model_dump(mode="json")
    write_record(
        page.parent / REPORT_RECORD,
        "report",
        settings=settings,
        inputs=records,
        outputs=[page],
        cost=None,
    )
    return tmp_path


def write_configs(folder: Path, config: Section) -> None:
    for name, text in config_files(config).items():
        write_text(folder / name, text)


def verify(*options: str) -> tuple[int, list[str]]:
    result = CliRunner().invoke(main, ["verify", "s", *options])
    return result.exit_code, result.output.splitlines()


def test_unchanged_results_match(study: Path) -> None:
    code, lines = verify("--params", "params.yaml")
    assert code == 0, lines
    number = 2 + len(training_files([1, 2], learns_codes=True)) + 2 + 1
    assert lines[-1].startswith(f"s: {number} files of 6 stages")


def test_moved_results_match(study: Path) -> None:
    """Jobs of a cluster may have other paths than the place to which their results are copied."""
    place = study / "brought"
    place.mkdir()
    for name in ("results", "report", "data"):
        Path(name).rename(place / name)
    options = [f"--{name}={place / name}" for name in ("results", "report", "data")]
    code, lines = verify(*options)
    assert code == 0, lines
    assert not [line for line in lines if line.startswith("Not checked")]
    write_text(place / FOLDER / "metrics.csv", "another\n")
    assert any(f"{place / FOLDER}/metrics.csv has changed" in line for line in verify(*options)[1])


def _overwrite(path: str) -> Callable[[], None]:
    return lambda: write_text(Path(path), "another\n")


def _change_settings() -> None:
    config = parse_params(RAW, where="").experiment("e").model_dump(mode="json")
    config["training"]["epochs"] = 3
    write_yaml(FOLDER / stage_config("evaluate"), config)


def _change_code_of_explore() -> None:
    path = FOLDER / record_name("explore")
    write_manifest(path, read_manifest(path) | {"code": "0" * 64})


TRAIN, EVALUATE, EXPLORE = (f"{FOLDER}/{record_name(stage)}" for stage in OF_EXPERIMENTS)
CHECKPOINT = f"{FOLDER}/checkpoints/epoch-0002.safetensors"
REFERENCE = "data/reference/d/reference.json"
REPORT = "report/s/provenance.json"


@pytest.mark.parametrize(
    ("harm", "mismatches"),
    [
        (_overwrite(f"{FOLDER}/metrics.csv"), [[f"{FOLDER}/metrics.csv", "evaluate"]]),
        ((FOLDER / "metrics.csv").unlink, [[f"{FOLDER}/metrics.csv", "evaluate", "missing"]]),
        (_overwrite(CHECKPOINT), [[CHECKPOINT, "train"], [EXPLORE, CHECKPOINT]]),
        (
            _overwrite(REFERENCE),
            [[REFERENCE, "reference"], [EVALUATE, REFERENCE], [EXPLORE, REFERENCE]],
        ),
        (
            _change_settings,
            [[EVALUATE, "training.epochs", "2", "3", f"{FOLDER}/config/evaluate.yaml"]],
        ),
        (_overwrite("report/s/index.html"), [["report/s/index.html", "report"]]),
        (Path(TRAIN).unlink, [[TRAIN, "train", "missing"]]),
        (_overwrite(TRAIN), [[TRAIN, "train", "damaged"], [REPORT, TRAIN]]),
        (_change_code_of_explore, [[EXPLORE, "code of explore"], [REPORT, EXPLORE]]),
    ],
)
def test_each_mismatch_is_named(
    study: Path, harm: Callable[[], None], mismatches: list[list[str]]
) -> None:
    harm()
    code, lines = verify()
    assert code == 1
    found = [line for line in lines[:-1] if not line.startswith(NOTES)]
    for line, words in zip(found, mismatches, strict=True):
        for word in words:
            assert word in line
    assert f"{len(mismatches)} mismatch" in lines[-1]


def test_params_with_other_settings_are_a_mismatch(study: Path) -> None:
    text = Path("params.yaml").read_text()
    write_text(Path("params.yaml"), text.replace("epochs: 2", "epochs: 4"))
    assert verify()[0] == 0
    code, lines = verify("--params", "params.yaml")
    assert code == 1
    assert any(f"{FOLDER}/config.yaml: training.epochs" in line for line in lines)


def test_missing_data_is_a_note(study: Path) -> None:
    for path in ("data/prepared/d/dataset.json", REFERENCE):
        Path(path).unlink()
    Path("data/prepared/d").rmdir()
    code, lines = verify()
    assert code == 0
    notes = [line for line in lines if line.startswith("Not checked: data/")]
    assert sum("results/s/e/provenance" in line for line in notes) == 5
    assert sum("data/prepared/d " in line for line in notes) == 1


def test_other_package_versions_are_a_note(study: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    installed = provenance.package_versions()
    monkeypatch.setattr(
        "latentbench.artifacts.verification.package_versions", lambda: installed | {"torch": "1"}
    )
    code, lines = verify()
    assert code == 0
    assert any(f"torch was {installed['torch']}, is now 1" in line for line in lines)


def test_repeats_are_verified(study: Path) -> None:
    raw = copy.deepcopy(RAW)
    raw["experiments"]["e"]["repeats"] = 2
    params = parse_params(raw, where="params.yaml")
    write_configs(FOLDER.parent, params.study("s"))
    missing = [line for line in verify()[1] if "e/repeats/1" in line]
    assert [line.rpartition("provenance/")[2].split(",")[0] for line in missing] == [
        f"{stage}.json" for stage in OF_REPEATS
    ]
    config = params.experiment("e/repeats/1")
    folder = FOLDER / "repeats" / "1"
    write_configs(folder, config)
    for stage in OF_REPEATS:
        write_text(folder / f"{stage}.txt", stage)
        settings = settings_of(stage, config.model_dump(mode="json"))
        outputs = [folder / f"{stage}.txt"]
        record = folder / record_name(stage)
        write_record(record, stage, settings=settings, inputs=[], outputs=outputs, cost=None)
    assert not [line for line in verify()[1] if "e/repeats/1" in line]
    write_text(folder / "train.txt", "another")
    assert [f"{folder}/train.txt" in line for line in verify()[1] if "e/repeats/1" in line] == [
        True
    ]
    write_configs(FOLDER.parent, parse_params(RAW, where="").study("s"))
    [note] = [line for line in verify()[1] if "e/repeats/1" in line]
    assert note.startswith("Not checked")


def test_a_search_is_verified(study: Path) -> None:
    raw = copy.deepcopy(RAW)
    raw["experiments"]["e"]["search"] = {"learning_rate": [1e-4, 1e-3]}
    params = parse_params(raw, where="params.yaml")
    write_configs(FOLDER.parent, params.study("s"))
    missing = [line for line in verify()[1] if "e/search/" in line]
    records = [line.split(",")[0].rpartition("search/")[2] for line in missing]
    expected = [f"{number}/provenance/train.json" for number in (1, 2)]
    assert records == ["provenance/select.json", *expected]


def test_a_study_without_results_is_an_error(study: Path) -> None:
    result = CliRunner().invoke(main, ["verify", "other"])
    assert result.exit_code == 1
    assert result.output.startswith("Error: results/other/study.yaml is missing")
    assert len(result.output.splitlines()) == 1


def test_usage_of_interrupted_runs_adds_up() -> None:
    earlier, now = ResourceUsage(10.0, 20.0, 500.0), ResourceUsage(1.0, 2.0, 400.0)
    assert now.combined_with(earlier) == ResourceUsage(11.0, 22.0, 500.0)
    assert ResourceUsage.measure().wall_seconds > 0
    assert ResourceUsage.measure().cpu_seconds > 0
