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

PICTURES = ["samples", "reconstruction", "interpolation"]


def run(stage: str, options: dict[str, Path]) -> None:
    folder = options.get("output", options.get("results", Path()))
    config = _config(stage, options)
    for name in _names(stage, config):
        write_text(folder / name, _content(stage, config))


def _config(stage: str, options: dict[str, Path]) -> Section:
    if stage in ("report", "handin"):
        return read_config(options["results"] / layout.STUDY, StudyConfig)
    kind = DatasetConfig if stage in ("fetch", "prepare", "reference") else ExperimentConfig
    return read_config(options["config"], kind)


def _names(stage: str, config: Section) -> list[str | Path]:
    if stage == "train":
        assert isinstance(config, ExperimentConfig)
        epochs = config.training.checkpoint_epochs
        kept = [path(Path(), epoch) for path in (layout.checkpoint_path, layout.samples_path) for epoch in epochs]
        pictures = [*layout.EVOLUTION, *[layout.RECONSTRUCTIONS] * config.model.encodes]
        return [*kept, *pictures, layout.ARCHITECTURE, layout.HISTORY, layout.ITERATIONS, layout.PROVENANCE]
    extractor = "classifier"
    return {
        "fetch": ["source.json"],
        "prepare": [
            *(f"{split}-{kind}.npy" for split in layout.SPLITS for kind in ("images", "labels")),
            layout.DATASET_MANIFEST,
        ],
        "reference": [
            layout.REFERENCE_ROWS,
            layout.features_name(extractor),
            layout.test_features_name(extractor),
            layout.statistics_name(extractor),
            layout.CLASSIFIER,
            layout.REFERENCE_MANIFEST,
        ],
        "evaluate": [layout.METRICS, layout.LAST_METRICS, layout.EXAMINATION],
        "explore": [
            layout.EXPLORED,
            *(f"latent/{name}.png" for name in PICTURES),
            layout.EXPLORATION,
        ],
        "report": [*map(layout.notebook_name, getattr(config, "notebooks", ())), layout.PAGE, layout.PDF],
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
