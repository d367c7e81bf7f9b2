"""The saved state of a run: an interrupted run resumes from it with the same bits."""

from __future__ import annotations

import json
import shutil
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any, Self

import torch
from pydantic import TypeAdapter

from latentbench.artifacts.dependencies import code_sha256
from latentbench.artifacts.files import convert_disk_errors, convert_read_errors, file_sha256
from latentbench.artifacts.provenance import ResourceUsage
from latentbench.artifacts.tensors import (
    read_tensors,
    require_same_settings,
    require_tensors,
    write_tensors,
)
from latentbench.errors import ArtifactError
from latentbench.models.objective import Objective
from latentbench.training.history import LossTracker, Row

FORMAT = 4
STATE = "state.safetensors"
_LOSSES = "history/"  # prefix of the loss tracker's tensors


@dataclass
class Progress:
    """The finished steps, the rows of history.csv so far, and the files in scratch."""

    step: int = 0
    seconds: float = 0.0  # of training, without reports and files
    peak_memory_mb: float = 0.0
    rows: list[Row] = field(default_factory=list)
    usage: dict[str, float] = field(default_factory=dict)  # with interrupted runs
    files: dict[str, str] = field(default_factory=dict)  # SHA-256 by path in scratch

    @classmethod
    def from_metadata(cls, metadata: dict[str, Any], *, steps_per_epoch: int) -> Self:
        """Return what a state recorded; raise an Exception where an entry is missing or wrong."""
        progress = TypeAdapter(cls).validate_json(json.dumps(metadata), strict=True)
        if metadata.keys() != {each.name for each in fields(cls)}:
            raise ValueError(f"progress has other entries: {', '.join(metadata)}")
        epochs = [row["epoch"] for row in progress.rows]
        if progress.step < 1 or epochs != list(range(1, progress.step // steps_per_epoch + 1)):
            raise ValueError(f"the epochs after step {progress.step} are {epochs}")
        ResourceUsage(**progress.usage)
        return progress

    def add_file(self, scratch: Path, path: Path) -> None:
        """Record a file in scratch that the resumed run reads."""
        self.files[path.relative_to(scratch).as_posix()] = file_sha256(path)


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
    metadata = {"identity": identity, "progress": asdict(progress)}
    write_tensors(scratch / STATE, tensors, metadata)


def load_state(
    scratch: Path,
    identity: dict[str, Any],
    objective: Objective,
    losses: LossTracker,
    *,
    steps_per_epoch: int,
) -> Progress | None:
    """Restore the objective and the losses and return the progress, or None without a state.

    Raises:
        ArtifactError: The state or a file that it names is damaged or missing, or the state belongs
            to other settings, data or code.
    """
    path = scratch / STATE
    if not path.exists():
        return None
    restart = f"delete {scratch} (or pass --restart) to start again"
    tensors, metadata = read_tensors(path)
    require_same_settings(
        metadata.get("identity"),
        identity,
        path=path,
        remedy=f"undo the change to resume, or {restart}",
    )
    with convert_read_errors(path):
        progress = Progress.from_metadata(metadata["progress"], steps_per_epoch=steps_per_epoch)
    found = {key: tensors.pop(key) for key in list(tensors) if key.startswith(_LOSSES)}
    require_tensors(tensors, objective.training_state(), path=path, remedy=restart)
    with convert_read_errors(path):
        losses.load_state_dict({key.removeprefix(_LOSSES): found[key] for key in found})
    for name, sha256 in progress.files.items():
        if not (scratch / name).is_file() or file_sha256(scratch / name) != sha256:
            raise ArtifactError(
                f"{scratch / name} is missing or damaged, so the run cannot be resumed; {restart}."
            )
    objective.load_training_state(tensors)
    return progress


def delete_state(scratch: Path) -> None:
    """Delete the scratch folder of a run, if there is one; first the state, which needs the rest.

    Raises:
        StorageError: The state cannot be deleted.
    """
    with convert_disk_errors(scratch):
        (scratch / STATE).unlink(missing_ok=True)
    shutil.rmtree(scratch, ignore_errors=True)
