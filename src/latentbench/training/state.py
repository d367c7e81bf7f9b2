"""The state from which an interrupted run goes on as if nothing had happened."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

import latentbench
from latentbench.artifacts.tensors import read_tensors, require_same_settings, write_tensors
from latentbench.models.objective import Objective
from latentbench.training.history import Row, Stateful

FORMAT = 2
STATE = "state.safetensors"


@dataclass
class Progress:
    """How far a run has come, and what it has told so far."""

    step: int = 0
    seconds: float = 0.0
    peak_memory_mb: float = 0.0
    rows: list[Row] = field(default_factory=list)
    spent: dict[str, float] = field(default_factory=dict)  # the Cost of all tries


def run_identity(settings: dict[str, Any], data_digest: str) -> dict[str, Any]:
    """What must be the same for a resumed run to equal an undisturbed one."""
    return {
        "format": FORMAT,
        "settings": settings,
        "data_digest": data_digest,
        "torch": torch.__version__,
        "code": _code_digest(),
    }


def save_state(
    scratch: Path,
    identity: dict[str, Any],
    objective: Objective,
    progress: Progress,
    told: Mapping[str, Stateful],
) -> None:
    """`told` is what the run has gathered of its loss terms, by name."""
    metadata = {"identity": identity, "progress": vars(progress)}
    gathered = {
        f"{_prefix(name)}{key}": tensor
        for name, part in told.items()
        for key, tensor in part.state().items()
    }
    write_tensors(scratch / STATE, objective.training_state() | gathered, metadata)


def load_state(
    scratch: Path, identity: dict[str, Any], objective: Objective, told: Mapping[str, Stateful]
) -> Progress | None:
    """Put everything back where it was; None where there is no state.

    Raises ArtifactError where the state is damaged or belongs to a run with other settings, data or code.
    """
    path = scratch / STATE
    if not path.exists():
        return None
    tensors, metadata = read_tensors(path)
    require_same_settings(
        metadata["identity"],
        identity,
        path=path,
        remedy=f"undo the change to go on, or delete {scratch} (or pass --restart) to begin again",
    )
    for name, part in told.items():
        prefix = _prefix(name)
        keys = [key for key in tensors if key.startswith(prefix)]
        part.load_state({key.removeprefix(prefix): tensors.pop(key) for key in keys})
    objective.load_training_state(tensors)
    return Progress(**metadata["progress"])


def discard_state(scratch: Path) -> None:
    shutil.rmtree(scratch, ignore_errors=True)


def _prefix(name: str) -> str:
    return f"history/{name}/"


def _code_digest() -> str:
    """Of the source that decides a training step's bits."""
    root = Path(latentbench.__file__).parent
    digest = hashlib.sha256((root / "rng.py").read_bytes())
    for layer in ("data/images.py", "data/labels.py", "runtime", "models", "training"):
        place = root / layer
        for source in sorted(place.rglob("*.py")) if place.is_dir() else [place]:
            digest.update(source.read_bytes())
    return digest.hexdigest()[:16]
