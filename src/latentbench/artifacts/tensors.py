"""Read and write tensors with metadata: checkpoints, classifiers and resumable state."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from latentbench.artifacts.dependencies import differences
from latentbench.artifacts.files import atomic_write, convert_read_errors
from latentbench.errors import ArtifactError

if TYPE_CHECKING:
    import torch

# One entry has all metadata as sorted JSON, since safetensors does not keep the order of several.
_KEY = "latentbench"


def write_tensors(
    path: Path, tensors: Mapping[str, torch.Tensor], metadata: Mapping[str, Any]
) -> None:
    """Write tensors and metadata as safetensors; equal content gives equal bytes.

    Raises StorageError if the disk is full or cannot be written.
    """
    from safetensors import SafetensorError
    from safetensors.torch import save_file

    detached = {}
    for name, tensor in sorted(tensors.items()):
        detached[name] = tensor.detach().cpu().contiguous()
    with atomic_write(path) as partial:
        try:
            save_file(detached, partial, metadata={_KEY: json.dumps(metadata, sort_keys=True)})
        except SafetensorError as error:
            # The system's error is part of the text: "… (os error 28)".
            match = re.search(r"os error (\d+)", str(error))
            if match is None:
                raise
            number = int(match[1])
            raise OSError(number, os.strerror(number), str(path)) from error


def read_tensors(path: Path) -> tuple[dict[str, torch.Tensor], dict[str, Any]]:
    """Return the tensors, on the CPU, and the metadata.

    Raises ArtifactError if the file is missing, damaged or was not written by this package.
    """
    from safetensors import SafetensorError, safe_open

    if not path.is_file():
        raise ArtifactError(f"{path} is missing; run the stage that writes it.")
    damage = (SafetensorError, KeyError, json.JSONDecodeError, OSError)
    with convert_read_errors(path, *damage), safe_open(path, framework="pt") as file:
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        metadata = json.loads((file.metadata() or {})[_KEY])
    return tensors, metadata


def require_same_settings(
    found: Mapping[str, Any], expected: Mapping[str, Any], *, path: Path, remedy: str
) -> None:
    """Raise ArtifactError, which names each difference, unless both mappings are equal."""
    different = differences(found, expected)
    if different:
        raise ArtifactError(
            f"{path} was made with other settings ({'; '.join(different)}); {remedy}."
        )
