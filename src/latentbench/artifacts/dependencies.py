"""What each stage reads: source files and settings.

Snakemake's rules and the stages take both from here; tests/workflow compares dvc.yaml with it.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from functools import cache
from pathlib import Path
from textwrap import indent
from typing import Any

from latentbench.artifacts.files import yaml_text
from latentbench.artifacts.paths import CONFIG, STUDY, stage_config
from latentbench.config.base import Section
from latentbench.config.datasets import DatasetConfig
from latentbench.config.experiments import ExperimentConfig
from latentbench.config.models import training_model
from latentbench.errors import shorten

# The sources that each stage runs: the layers that it may import.
_BASE = ("errors.py", "rng.py", "config", "artifacts")
_FURTHER_TRAININGS = (
    *_BASE,
    "repeat.py",
    "data",
    "runtime",
    "models",
    "inference",
    "training",
    "evaluation",
)
SOURCES = {
    "split": _BASE,
    "configure": _BASE,
    "fetch": (*_BASE, "data"),
    "prepare": (*_BASE, "data"),
    "reference": (*_BASE, "data", "runtime", "models", "evaluation"),
    "train": (*_BASE, "data", "runtime", "models", "training"),
    "evaluate": (*_BASE, "data", "runtime", "models", "inference", "evaluation"),
    "explore": (*_BASE, "data", "runtime", "models", "inference", "evaluation", "latent"),
    "select": (*_BASE, "data", "runtime", "models", "inference", "evaluation"),
    "search": _FURTHER_TRAININGS,
    "repeat": _FURTHER_TRAININGS,
    "walkthrough": (
        *_BASE,
        "notebook.py",
        "data",
        "runtime",
        "models",
        "inference",
        "results",
        "walkthrough",
    ),
    "report": (*_BASE, "notebook.py", "results", "report"),
    # The zip has the source of the whole package.
    "handin": (
        *_BASE,
        "__init__.py",
        "__main__.py",
        "folder_study.py",
        "notebook.py",
        "repeat.py",
        "app",
        "cli",
        "data",
        "evaluation",
        "forecast",
        "inference",
        "latent",
        "models",
        "report",
        "results",
        "runtime",
        "training",
        "walkthrough",
    ),
}

# The sources that decide the bits of the features of samples.
FEATURE_SOURCES = ("rng.py", "data", "runtime", "models", "inference", "evaluation")

# The sections of a resolved dataset or experiment that each stage reads.
_TRAINED = ("seed", "dataset", "image_size", "channels", "model", "training", "compute")
SETTINGS = {
    "fetch": ("dataset",),
    "prepare": ("dataset",),
    "reference": ("dataset", "reference"),
    "train": _TRAINED,
    "evaluate": (*_TRAINED, "evaluation"),
    "explore": (*_TRAINED, "latent"),
    "select": (*_TRAINED, "evaluation", "search"),
}

# The stages of a dataset, of an experiment's first training, of its repeats and of its search's
# trials, in their order.
OF_DATASETS = ("fetch", "prepare", "reference")
OF_EXPERIMENTS = ("train", "evaluate", "explore")
OF_REPEATS = ("train", "evaluate")
OF_TRIALS = ("train",)


def settings_of(stage: str, resolved: Mapping[str, Any]) -> dict[str, Any]:
    """Return the sections of a resolved config that a stage reads.

    Training does not read how a model is sampled.
    """
    settings = {section: resolved[section] for section in SETTINGS[stage]}
    if stage == "train":
        settings["model"] = training_model(settings["model"])
    return settings


def config_files(config: Section) -> dict[str, str]:
    """Return the YAML files of a resolved dataset, experiment or study, as text by file name.

    Each stage has a file with the settings that it reads and the names of what it belongs to, so
    that another setting leaves the file as it is. A file of part of an experiment reads back as an
    ExperimentConfig, in which all that the stage does not read has its default.
    """
    settings = config.model_dump(mode="json")
    sections = {}
    for key, value in settings.items():
        sections[key] = _section_text(key, json.dumps(value))
    if isinstance(config, DatasetConfig):
        names = {stage: f"{stage}.yaml" for stage in OF_DATASETS}
        return _stage_files(sections, names, ("name",))
    if isinstance(config, ExperimentConfig):
        names = {stage: stage_config(stage) for stage in stages_of(config)}
        files = {CONFIG: "".join(sections.values())}
        files |= _stage_files(sections, names, ("name", "study"))
        if config.model.sampling_settings:
            sections["model"] = _section_text(
                "model", json.dumps(training_model(settings["model"]))
            )
            of_train = {"train": names["train"]}
            files |= _stage_files(sections, of_train, ("name", "study"))
        return files
    return {STUDY: "".join(sections.values())}


def stages_of(config: ExperimentConfig) -> tuple[str, ...]:
    """Return the stages that a training has."""
    if config.is_trial:
        return OF_TRIALS
    return OF_REPEATS if config.is_repeat else OF_EXPERIMENTS


def select_config(config: ExperimentConfig) -> str:
    """Return the YAML file of the stage that selects a trial of an experiment's search."""
    settings = config.model_dump(mode="json")
    return sections_text({key: settings[key] for key in ("name", "study", *SETTINGS["select"])})


def sections_text(config: Mapping[str, Any]) -> str:
    """Return the sections of a config as YAML, as `config_files` writes them."""
    return "".join(_section_text(key, json.dumps(value)) for key, value in config.items())


@cache
def _section_text(key: str, content: str) -> str:
    """Return a section as YAML; most sections are the same in many experiments."""
    section = json.loads(content)
    if not isinstance(section, dict) or not section:
        return yaml_text({key: section})
    entries = [_entry_text(name, json.dumps(value)) for name, value in section.items()]
    return f"{key}:\n{indent(''.join(entries), '  ')}"


@cache
def _entry_text(name: str, content: str) -> str:
    """Return an entry of a section as YAML; experiments of a study differ in few."""
    return yaml_text({name: json.loads(content)})


def _stage_files(
    sections: Mapping[str, str], names: Mapping[str, str], identity: tuple[str, ...]
) -> dict[str, str]:
    files = {}
    for stage, name in names.items():
        files[name] = "".join(sections[key] for key in (*identity, *SETTINGS[stage]))
    return files


def differences(found: Any, expected: Any, key: str = "") -> list[str]:
    """Return a phrase for each setting in which two mappings differ."""
    if isinstance(found, Mapping) and isinstance(expected, Mapping):
        return [
            difference
            for part in sorted({*found, *expected})
            for difference in differences(
                found.get(part), expected.get(part), f"{key}.{part}" if key else part
            )
        ]
    if found == expected:
        return []
    before, after = shorten(found, 80), shorten(expected, 80)
    return [f"{shorten(key, 80)} was {before}, is now {after}"]


def code_sha256(stage: str, package: Path | None = None) -> str:
    """Return the SHA-256 of the Python files that a stage runs, names included."""
    return sources_sha256(SOURCES[stage], package)


def sources_sha256(parts: Iterable[str], package: Path | None = None) -> str:
    """Return the SHA-256 of the Python files among `parts`, files and folders of the package."""
    package = package or Path(__file__).parents[1]
    digest = hashlib.sha256()
    for part in parts:
        place = package / part
        for file in sorted(place.rglob("*.py")) if place.is_dir() else [place]:
            content = file.read_bytes()
            digest.update(f"{file.relative_to(package).as_posix()} {len(content)}\n".encode())
            digest.update(content)
    return digest.hexdigest()
