"""The saved state of a run: an interrupted run resumes from it with the same bits."""

from __future__ import annotations

import shutil
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from latentbench.artifacts.dependencies import code_sha256
from latentbench.artifacts.tensors import read_tensors, require_same_settings, write_tensors
from latentbench.models.objective import Objective
from latentbench.training.history import LossTracker, Row

FORMAT = 3
STATE = "state.safetensors"
_LOSSES = "history/"  # prefix of the loss tracker's tensors


@dataclass
class Progress:
    """The finished steps and the rows of history.csv so far."""

    step: int = 0
    seconds: float = 0.0  # of training, without reports and files
    peak_memory_mb: float = 0.0
    rows: list[Row] = field(default_factory=list)
    usage: dict[str, float] = field(default_factory=dict)  # with interrupted runs


def run_identity(settings: dict[str, Any], data_digest: str) -> dict[str, Any]:
    """Return what a saved state and the run that resumes from it must have in common."""
    return {
        "format": FORMAT,
        "settings": settings,
        "data_digest": data_digest,
        "torch": torch.__version__,
        "code": code_sha256("train")[:16],
    }


def save_state(
    scratch: Path,
    identity: dict[str, Any],
    objective: Objective,
    progress: Progress,
    losses: LossTracker,
) -> None:
    """Write the state to scratch, in place of an earlier one."""
    tensors = objective.training_state()
    for key, tensor in losses.state_dict().items():
        tensors[f"{_LOSSES}{key}"] = tensor
    metadata = {"identity": identity, "progress": vars(progress)}
    write_tensors(scratch / STATE, tensors, metadata)


def load_state(
    scratch: Path, identity: dict[str, Any], objective: Objective, losses: LossTracker
) -> Progress | None:
    """Restore the objective and the losses and return the progress, or None without a state.

    Raises:
        ArtifactError: The state is damaged, or belongs to other settings, data or code.
    """
    path = scratch / STATE
    if not path.exists():
        return None
    tensors, metadata = read_tensors(path)
    require_same_settings(
        metadata["identity"],
        identity,
        path=path,
        remedy=f"undo the change to resume, or delete {scratch} (or pass --restart) to start again",
    )
    losses.load_state_dict({key: tensors.pop(f"{_LOSSES}{key}") for key in losses.state_dict()})
    objective.load_training_state(tensors)
    return Progress(**metadata["progress"])


def delete_state(scratch: Path) -> None:
    """Delete the scratch folder of a run, if there is one."""
    shutil.rmtree(scratch, ignore_errors=True)
