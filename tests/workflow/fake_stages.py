"""A fake `latentbench` for tests of the engines: stages write the same files at once.

`split` and `configure` are real. The others write their settings, their code and their inputs, so
that the content of a file changes exactly when something that decides it changes.
"""

from __future__ import annotations

import hashlib
import json
import sys
from collections.abc import Iterator
from pathlib import Path

from latentbench.artifacts import paths
from latentbench.artifacts.files import write_text
from latentbench.artifacts.selection import write_selection
from latentbench.cli import main
from latentbench.config.base import Section
from latentbench.config.datasets import DatasetConfig
from latentbench.config.experiments import ExperimentConfig
from latentbench.config.load import read_config, read_params
from latentbench.config.params import StudyConfig
from latentbench.repeat import Folders, repeat_experiment, search_experiment

LAYERS = {
    "fetch": "data",
    "prepare": "data",
    "reference": "evaluation",
    "train": "training",
    "evaluate": "evaluation",
    "explore": "latent",
    "walkthrough": "walkthrough",
    "handin": "report",
}


def run_command(stage: str, *arguments: str) -> None:
    pairs = zip(arguments[::2], arguments[1::2], strict=True)
    options = {option.removeprefix("--"): Path(value) for option, value in pairs}
    if stage in ("repeat", "search"):
        run_all(stage, **options)
    elif stage == "select":
        select(**options)
    else:
        run(stage, options)


def run_all(stage: str, params: Path, experiment: Path, **folders: Path) -> None:
    run_stages = repeat_experiment if stage == "repeat" else search_experiment
    run_stages(
        read_params(params),
        str(experiment),
        Folders(**folders),
        run=lambda arguments: run_command(*arguments),
    )


def select(config: Path, results: Path, **folders: Path) -> None:
    """Select the last trial: `configure` reads the file, so it is a real one."""
    settings = read_config(config, ExperimentConfig)
    values = settings.combinations()
    trials = [{"values": each, "mean": -place} for place, each in enumerate(values)]
    read = [results / paths.SEARCH / str(place + 1) / "checkpoints" for place in range(len(values))]
    digest = _digest(iter([Path("src/latentbench/evaluation"), *folders.values(), *read]))
    write_selection(results / paths.SELECTED, settings, trials, digest=digest)
    write_text(results / paths.SELECT_RECORD, f"select {digest}\n")


def run(stage: str, options: dict[str, Path]) -> None:
    folder = options.get("output", options.get("results", Path()))
    config = _config(stage, options)
    content = f"{_content(stage, config)} {_digest(_read(stage, config, options))}\n"
    for name in _names(stage, config):
        write_text(folder / name, content)
    if "record" in options:
        write_text(options["record"], content)


def _config(stage: str, options: dict[str, Path]) -> Section:
    if stage in ("walkthrough", "report", "handin"):
        return read_config(options["results"] / paths.STUDY, StudyConfig)
    kind = DatasetConfig if stage in ("fetch", "prepare", "reference") else ExperimentConfig
    return read_config(options["config"], kind)


def _names(stage: str, config: Section) -> list[str | Path]:
    if stage == "train":
        assert isinstance(config, ExperimentConfig)
        files = paths.training_files(
            config.training.checkpoint_epochs, learns_codes=config.model.learns_codes
        )
        return [*files, paths.PROVENANCE]
    return {
        "fetch": ["source.json"],
        "prepare": [*paths.prepared_files(has_attributes=False, has_validation=True)],
        "reference": [*paths.reference_files(["classifier"])],
        "evaluate": [*paths.EVALUATION_FILES, paths.record_name("evaluate")],
        "explore": [*paths.EXPLORATION_FILES, paths.record_name("explore")],
        "walkthrough": ["walkthrough.ipynb", paths.REPORT_RECORD],
        "report": [
            *map(paths.notebook_name, getattr(config, "all_notebooks", ())),
            paths.PAGE,
            paths.PDF,
            paths.REPORT_RECORD,
        ],
        "handin": ["tiny.zip"],
    }[stage]


def _content(stage: str, config: Section) -> str:
    trained = {"seed", "model", "training"}
    decides = {
        "fetch": {"dataset"},
        "prepare": {"dataset"},
        "train": trained,
        "evaluate": {*trained, "evaluation"},
        "explore": {*trained, "latent"},
    }
    content = config.model_dump(mode="json")
    relevant = {key: content[key] for key in decides.get(stage, content)}
    return f"{stage} {json.dumps(relevant, sort_keys=True)}"


def _read(stage: str, config: Section, options: dict[str, Path]) -> Iterator[Path]:
    """Return what a stage reads: its layer of the sources and the files of earlier stages."""
    yield Path("src/latentbench") / LAYERS.get(stage, stage)
    yield from (options[name] for name in ("data", "raw", "reference") if name in options)
    if stage in ("evaluate", "explore"):
        assert isinstance(config, ExperimentConfig)
        yield from (
            paths.checkpoint_path(options["results"], epoch)
            for epoch in config.training.checkpoint_epochs
        )
    if stage == "walkthrough":
        assert isinstance(config, StudyConfig)
        for experiment in config.experiments:
            yield from (
                options["results"] / experiment / name for name in ("checkpoints", paths.METRICS)
            )
    if stage == "report":
        assert isinstance(config, StudyConfig)
        yield options["walkthrough"] / "walkthrough.ipynb"
        names = (paths.HISTORY, paths.METRICS, paths.LATENT_ARRAYS)
        for training in config.trainings:
            found = names if training in config.experiments else names[:2]
            yield from (options["results"] / training / name for name in found)


def _digest(places: Iterator[Path]) -> str:
    files = [
        file
        for place in places
        for file in ([place] if place.is_file() else sorted(place.rglob("[!.]*.*")))
    ]
    return hashlib.sha256(b"".join(bytes(file) + file.read_bytes() for file in files)).hexdigest()


if __name__ == "__main__":
    stage, *arguments = sys.argv[1:]
    if stage in ("split", "configure", "merge"):
        main()
    else:
        run_command(stage, *arguments)
