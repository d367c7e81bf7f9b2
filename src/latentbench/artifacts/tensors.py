"""Read and write tensors with metadata: checkpoints, classifiers and resumable state."""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from latentbench.artifacts.dependencies import differences
from latentbench.artifacts.files import atomic_write, convert_read_errors, damaged
from latentbench.errors import ArtifactError, quote

if TYPE_CHECKING:
    import torch

# One entry has all metadata as sorted JSON, since safetensors does not keep the order of several.
_KEY = "latentbench"
_CHECKSUM = "sha256"


def write_tensors(
    path: Path, tensors: Mapping[str, torch.Tensor], metadata: Mapping[str, Any]
) -> None:
    """Write tensors and metadata as safetensors; equal content gives equal bytes.

    The metadata gets a SHA-256 of everything, which `read_tensors` checks: 0.7 s per GB on one
    core. Raises StorageError if the disk is full or cannot be written.
    """
    from safetensors import SafetensorError
    from safetensors.torch import save_file

    detached = {}
    for name, tensor in sorted(tensors.items()):
        detached[name] = tensor.detach().cpu().contiguous()
    plain = json.loads(json.dumps(metadata))
    text = json.dumps(plain | {_CHECKSUM: _sha256(detached, plain)}, sort_keys=True)
    with atomic_write(path) as partial:
        try:
            save_file(detached, partial, metadata={_KEY: text})
        except SafetensorError as error:
            # The system's error is part of the text: "… (os error 28)".
            match = re.search(r"os error (\d+)", str(error))
            if match is None:
                raise
            number = int(match[1])
            raise OSError(number, os.strerror(number), str(path)) from error


def read_tensors(path: Path) -> tuple[dict[str, torch.Tensor], dict[str, Any]]:
    """Return the tensors, on the CPU, and the metadata.

    Raises ArtifactError if the file is missing, does not match its checksum or was not written by
    this package.
    """
    from safetensors import safe_open

    with convert_read_errors(path), safe_open(path, framework="pt") as file:
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        metadata = json.loads((file.metadata() or {}).get(_KEY, "{}"))
        checksum = metadata.pop(_CHECKSUM, None)
        found = _sha256(tensors, metadata)
    if checksum is None:
        raise ArtifactError(f"{path} has no checksum; run its stage again with this version.")
    if found != checksum:
        raise damaged(path, "its content does not match its checksum")
    return tensors, metadata


def require_same_settings(
    found: Any, expected: Mapping[str, Any], *, path: Path, remedy: str
) -> None:
    """Raise ArtifactError, which names each difference, unless both mappings are equal."""
    different = differences(found, expected)
    if different:
        raise ArtifactError(
            f"{path} was made with other settings ({'; '.join(different)}); {remedy}."
        )


def require_tensors(
    found: Mapping[str, torch.Tensor],
    expected: Mapping[str, torch.Tensor],
    *,
    path: Path,
    remedy: str,
) -> None:
    """Raise ArtifactError unless the tensors have the expected names, dtypes and shapes.

    Floating-point tensors must be finite.
    """
    if found.keys() != expected.keys():
        name = min(found.keys() ^ expected.keys())
        kind = "lacks" if name in expected else "has"
        raise ArtifactError(f"{path} {kind} the tensor {quote(name)}; {remedy}.")
    for name, tensor in found.items():
        like = expected[name]
        if (tensor.dtype, tensor.shape) != (like.dtype, like.shape):
            raise ArtifactError(
                f"{path}: {quote(name)} is {_describe(tensor)} instead of {_describe(like)}; "
                f"{remedy}."
            )
        if tensor.is_floating_point() and not bool(tensor.isfinite().all()):
            raise ArtifactError(f"{path}: {quote(name)} has infinite or NaN values; {remedy}.")


def _describe(tensor: torch.Tensor) -> str:
    return f"{str(tensor.dtype).removeprefix('torch.')} {tuple(tensor.shape)}"


def _sha256(tensors: Mapping[str, torch.Tensor], metadata: Mapping[str, Any]) -> str:
    """Return the SHA-256 of metadata and of names, dtypes, shapes and bytes of tensors."""
    import torch

    digest = hashlib.sha256(json.dumps(metadata, sort_keys=True).encode())
    for name, tensor in sorted(tensors.items()):
        digest.update(json.dumps([name, _describe(tensor)]).encode())
        digest.update(tensor.reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()
