"""Stands in for `latentbench` where the engines are tested: stages leave their files at once, always alike.

`configure` is the real one. The others write what they were asked for, so that a file's content changes
exactly when something that decides it does.
"""

from __future__ import annotations

import sys
from pathlib import Path

from latentbench.artifacts import layout
from latentbench.artifacts.files import write_text
from latentbench.cli import main
from latentbench.config.base import Section
from latentbench.config.datasets import DatasetConfig
from latentbench.config.experiments import ExperimentConfig
from latentbench.config.load import read_config
from latentbench.config.params import StudyConfig


def run(stage: str, options: dict[str, Path]) -> None:
    folder = options.get("output", options.get("results", Path()))
    config = _config(stage, options)
    for name in _names(stage, config):
        write_text(folder / name, _content(stage, config))
    if "record" in options:
        write_text(options["record"], _content(stage, config))


def _config(stage: str, options: dict[str, Path]) -> Section:
    if stage in ("report", "handin"):
        return read_config(options["results"] / layout.STUDY, StudyConfig)
    kind = DatasetConfig if stage in ("fetch", "prepare", "reference") else ExperimentConfig
    return read_config(options["config"], kind)


def _names(stage: str, config: Section) -> list[str | Path]:
    if stage == "train":
        assert isinstance(config, ExperimentConfig)
        files = layout.trained_files(config.training.checkpoint_epochs, encodes=config.model.encodes)
        return [*files, layout.PROVENANCE]
    return {
        "fetch": ["source.json"],
        "prepare": [*layout.prepared_files(has_attributes=False)],
        "reference": [*layout.reference_files(["classifier"])],
        "evaluate": [*layout.MEASURED_FILES, layout.record_name("evaluate")],
        "explore": [*layout.EXPLORED_FILES, layout.record_name("explore")],
        "report": [
            *map(layout.notebook_name, getattr(config, "notebooks", ())),
            layout.PAGE,
            layout.PDF,
            layout.REPORT_RECORD,
        ],
        "handin": ["tiny.zip"],
    }[stage]


def _content(stage: str, config: Section) -> str:
    decides = {"fetch": {"dataset"}, "prepare": {"dataset"}, "train": {"seed", "model", "training"}}
    return f"{stage} {config.model_dump_json(include=decides.get(stage))}\n"


if __name__ == "__main__":
    stage, *arguments = sys.argv[1:]
    if stage == "configure":
        main()
    else:
        pairs = zip(arguments[::2], arguments[1::2], strict=True)
        run(stage, {option.removeprefix("--"): Path(value) for option, value in pairs})
