"""What each stage runs and reads. Snakemake's rules take it from here, dvc.yaml lists the same."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import latentbench

# The sources that each stage runs: the layers that it may import.
_BASE = ("errors.py", "rng.py", "config", "artifacts")
SOURCES = {
    "split": _BASE,
    "configure": _BASE,
    "fetch": (*_BASE, "data"),
    "prepare": (*_BASE, "data"),
    "reference": (*_BASE, "data", "runtime", "models", "evaluation"),
    "train": (*_BASE, "data", "runtime", "models", "training"),
    "evaluate": (*_BASE, "data", "runtime", "models", "evaluation"),
    "explore": (*_BASE, "data", "runtime", "models", "evaluation", "latent"),
    "report": (*_BASE, "results", "report"),
    "handin": (*_BASE, "results", "report"),
}

# The sections of its resolved config that each stage reads.
_TRAINED = ("seed", "dataset", "image_size", "channels", "model", "training", "compute")
SETTINGS = {
    "fetch": ("dataset",),
    "prepare": ("dataset",),
    "reference": ("dataset", "reference"),
    "train": _TRAINED,
    "evaluate": (*_TRAINED, "evaluation"),
    "explore": (*_TRAINED, "latent"),
}

# Those of an experiment, in their order.
OF_EXPERIMENTS = ("train", "evaluate", "explore")


def settings_of(stage: str, resolved: Mapping[str, Any]) -> dict[str, Any]:
    """What a stage reads of a resolved config."""
    return {section: resolved[section] for section in SETTINGS[stage]}


def differences(found: Any, expected: Any, key: str = "") -> list[str]:
    """Of two settings, each that differs, in words."""
    if isinstance(found, Mapping) and isinstance(expected, Mapping):
        return [
            difference
            for part in sorted({*found, *expected})
            for difference in differences(
                found.get(part), expected.get(part), f"{key}.{part}" if key else part
            )
        ]
    return [] if found == expected else [f"{key} was {found}, is now {expected}"]


def source_files(stage: str, package: Path) -> list[Path]:
    """The Python files that a stage runs, under the package's folder."""
    places = [package / part for part in SOURCES[stage]]
    return [
        file
        for place in places
        for file in (sorted(place.rglob("*.py")) if place.is_dir() else [place])
    ]


def code_sha256(
    stage: str, package: Path = Path(latentbench.__file__).parent, *, also: Iterable[Path] = ()
) -> str:
    """Of the Python files that a stage runs, and of others that are there, with their names."""
    named = {file.relative_to(package).as_posix(): file for file in source_files(stage, package)}
    digest = hashlib.sha256()
    for name, file in (named | {file.as_posix(): file for file in also if file.exists()}).items():
        digest.update(f"{name} {file.stat().st_size}\n".encode())
        digest.update(file.read_bytes())
    return digest.hexdigest()
