"""`latentbench verify`: results that are as they were made match, and whatever is not is named."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner

from latentbench.artifacts import provenance
from latentbench.artifacts.dependencies import OF_EXPERIMENTS, settings_of
from latentbench.artifacts.files import write_text, write_yaml
from latentbench.artifacts.paths import PAGE, REPORT_RECORD, STUDY, record_name, training_files
from latentbench.artifacts.provenance import ResourceUsage, write_record
from latentbench.cli import main
from latentbench.config.load import parse_params

RAW = {
    "studies": {"s": {"title": "S", "notebooks": ["comparison"]}},
    "datasets": {"d": {"source": "glyphs"}},
    "experiments": {
        "e": {"study": "s", "dataset": "d", "model": {"name": "vae"}, "training": {"epochs": 2}}
    },
}
FOLDER = Path("results/s/e")


@pytest.fixture
def study(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Results, data and report of one experiment, each with its record."""
    monkeypatch.chdir(tmp_path)
    params = parse_params(RAW, where="params.yaml")
    write_yaml(Path("params.yaml"), RAW)
    experiment, dataset = params.experiment("e"), params.dataset("d")
    write_yaml(FOLDER / "config.yaml", experiment.model_dump(mode="json"))
    write_yaml(Path("results/s") / STUDY, params.study("s").model_dump(mode="json"))
    write_yaml(Path("data/config/d.yaml"), dataset.model_dump(mode="json"))
    manifest, reference = (
        Path("data/prepared/d/dataset.json"),
        Path("data/reference/d/reference.json"),
    )
    trained = [FOLDER / name for name in training_files([1, 2], has_encoder=True)]
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
    settings = params.study("s").model_dump(mode="json")
    write_record(
        page.parent / REPORT_RECORD,
        "report",
        settings=settings,
        inputs=records,
        outputs=[page],
        cost=None,
    )
    return tmp_path


def verify(*options: str) -> tuple[int, list[str]]:
    result = CliRunner().invoke(main, ["verify", "s", *options])
    return result.exit_code, result.output.splitlines()


def test_what_is_as_it_was_made_matches(study: Path) -> None:
    code, lines = verify("--params", "params.yaml")
    assert code == 0, lines
    number = 2 + len(training_files([1, 2], has_encoder=True)) + 2 + 1
    assert lines[-1] == f"s: {number} files of 6 stages are as they were made."


def test_what_was_moved_together_still_matches(study: Path) -> None:
    """As results come out of a storage, where a job knew them by other paths."""
    place = study / "brought"
    place.mkdir()
    for name in ("results", "report", "data"):
        Path(name).rename(place / name)
    options = [f"--{name}={place / name}" for name in ("results", "report", "data")]
    code, lines = verify(*options)
    assert code == 0, lines
    assert not [line for line in lines if line.startswith("Not checked")]
    write_text(place / FOLDER / "metrics.csv", "another\n")
    assert f"{place / FOLDER}/metrics.csv is not as evaluate made it." in verify(*options)[1]


def _overwrite(path: str) -> Callable[[], None]:
    return lambda: write_text(Path(path), "another\n")


def _change_settings() -> None:
    config = parse_params(RAW, where="").experiment("e").model_dump(mode="json")
    config["training"]["epochs"] = 3
    write_yaml(FOLDER / "config.yaml", config)


def _change_code_of_explore() -> None:
    path = FOLDER / record_name("explore")
    path.write_text(json.dumps(json.loads(path.read_text()) | {"code": "0" * 64}))


@pytest.mark.parametrize(
    ("harm", "sentences"),
    [
        (
            _overwrite("results/s/e/metrics.csv"),
            ["results/s/e/metrics.csv is not as evaluate made it."],
        ),
        (
            (FOLDER / "metrics.csv").unlink,
            ["results/s/e/metrics.csv is missing; evaluate had made it."],
        ),
        (
            _overwrite("results/s/e/checkpoints/epoch-0002.safetensors"),
            [
                "results/s/e/checkpoints/epoch-0002.safetensors is not as train made it.",
                "results/s/e/provenance/explore.json: what it tells of was made from another "
                "results/s/e/checkpoints/epoch-0002.safetensors.",
            ],
        ),
        (
            _overwrite("data/reference/d/reference.json"),
            [
                "data/reference/d/reference.json is not as reference made it.",
                *(
                    f"results/s/e/provenance/{stage}.json: what it tells of was made from another "
                    "data/reference/d/reference.json."
                    for stage in ("evaluate", "explore")
                ),
            ],
        ),
        (
            _change_settings,
            [
                f"results/s/e/provenance/{stage}.json: training.epochs was 2, is now 3 in results/s/e/config.yaml."
                for stage in OF_EXPERIMENTS
            ],
        ),
        (_overwrite("report/s/index.html"), ["report/s/index.html is not as report made it."]),
        (
            (FOLDER / record_name("train")).unlink,
            ["results/s/e/provenance/train.json is missing: nothing says what train made here."],
        ),
        (
            _overwrite("results/s/e/provenance/train.json"),
            [
                "results/s/e/provenance/train.json is damaged: nothing says what train made here.",
                "report/s/provenance.json: what it tells of was made from another results/s/e/provenance/train.json.",
            ],
        ),
        (
            _change_code_of_explore,
            [
                "results/s/e/provenance/explore.json: the code of explore is another now.",
                "report/s/provenance.json: what it tells of was made from another results/s/e/provenance/explore.json.",
            ],
        ),
    ],
)
def test_what_does_not_match_is_named(
    study: Path, harm: Callable[[], None], sentences: list[str]
) -> None:
    harm()
    code, lines = verify()
    assert code == 1
    found = [line for line in lines if not line.startswith(("Not checked", "Made "))]
    assert found[:-1] == sentences
    things = "1 thing does" if len(sentences) == 1 else f"{len(sentences)} things do"
    assert (
        found[-1]
        == f"Error: s: {things} not match; run the study again, or bring the right files back."
    )


def test_params_that_ask_for_something_else_are_named(study: Path) -> None:
    text = Path("params.yaml").read_text()
    write_text(Path("params.yaml"), text.replace("epochs: 2", "epochs: 4"))
    assert verify()[0] == 0
    code, lines = verify("--params", "params.yaml")
    assert code == 1
    assert "results/s/e/config.yaml: training.epochs was 2, is now 4 in the params." in lines


def test_what_is_not_here_is_no_mismatch_and_is_said(study: Path) -> None:
    for path in ("data/prepared/d/dataset.json", "data/reference/d/reference.json"):
        Path(path).unlink()
    Path("data/prepared/d").rmdir()
    code, lines = verify()
    assert code == 0
    assert "Not checked: data/prepared/d is not here." in lines
    assert sum("of which results/s/e/provenance" in line for line in lines) == 5


def test_other_packages_are_said_and_do_not_fail(
    study: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        "latentbench.artifacts.verification.versions",
        lambda: provenance.versions() | {"torch": "1"},
    )
    code, lines = verify()
    assert code == 0
    torch = provenance.versions()["torch"]
    assert f"Made with other packages than are here: torch was {torch}, is now 1." in lines


def test_a_study_that_is_not_here_is_one_sentence(study: Path) -> None:
    result = CliRunner().invoke(main, ["verify", "other"])
    assert result.exit_code == 1
    assert result.output == (
        "Error: results/other/study.yaml is missing: there are no results of 'other' here; run the study first.\n"
    )


def test_costs_of_tries_add_up() -> None:
    earlier, now = ResourceUsage(10.0, 20.0, 500.0), ResourceUsage(1.0, 2.0, 400.0)
    assert now.combined_with(earlier) == ResourceUsage(11.0, 22.0, 500.0)
    assert ResourceUsage.measure().wall_seconds > 0
    assert ResourceUsage.measure().cpu_seconds > 0
