"""Tensors with metadata in safetensors files: checkpoints, classifiers and resumable state."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from latentbench.artifacts.dependencies import differences
from latentbench.artifacts.files import atomic_write
from latentbench.errors import ArtifactError

if TYPE_CHECKING:
    import torch

# One entry holds all metadata as sorted JSON: safetensors keeps no order between several.
_KEY = "latentbench"


def write_tensors(
    path: Path, tensors: Mapping[str, torch.Tensor], metadata: Mapping[str, Any]
) -> None:
    """The same tensors and metadata give the same bytes. Raises StorageError where the disk is full or refuses."""
    from safetensors import SafetensorError
    from safetensors.torch import save_file

    detached = {
        name: tensor.detach().cpu().contiguous() for name, tensor in sorted(tensors.items())
    }
    with atomic_write(path) as partial:
        try:
            save_file(detached, partial, metadata={_KEY: json.dumps(metadata, sort_keys=True)})
        except SafetensorError as error:
            # It reports what the system said as text: "… (os error 28)".
            told = re.search(r"os error (\d+)", str(error))
            if told is None:
                raise
            raise OSError(int(told[1]), os.strerror(int(told[1])), str(path)) from error


def read_tensors(path: Path) -> tuple[dict[str, torch.Tensor], dict[str, Any]]:
    """The tensors, on the CPU, and the metadata.

    Raises ArtifactError where the file is missing, damaged or not of this project.
    """
    from safetensors import SafetensorError, safe_open

    if not path.is_file():
        raise ArtifactError(f"{path} is missing; run the stage that writes it.")
    try:
        with safe_open(path, framework="pt") as file:
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
            metadata = json.loads((file.metadata() or {})[_KEY])
    except (SafetensorError, KeyError, json.JSONDecodeError, OSError) as error:
        raise ArtifactError(
            f"{path} is damaged ({error}); delete it and run its stage again."
        ) from None
    return tensors, metadata


def require_same_settings(
    found: Mapping[str, Any], expected: Mapping[str, Any], *, path: Path, remedy: str
) -> None:
    """Raise ArtifactError, naming each difference, unless both mappings agree."""
    different = differences(found, expected)
    if different:
        raise ArtifactError(
            f"{path} was made with other settings ({'; '.join(different)}); {remedy}."
        )
