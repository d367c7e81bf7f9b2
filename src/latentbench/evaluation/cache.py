"""A cache of features on disk; the key is a SHA-256 over everything that determines their bits."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from latentbench.artifacts.files import file_sha256, read_array, write_array, write_text
from latentbench.errors import ArtifactError

Features = np.ndarray[Any, np.dtype[np.float32]]


class FeatureCache:
    """Arrays KEY.npy, each with its checksum in KEY.sha256."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.used: set[str] = set()

    def read(self, key: str, *, shape: tuple[int, int]) -> Features | None:
        """Return the array, or None where it is missing, damaged or of another shape."""
        self.used.add(key)
        path, checksum = self._paths(key)
        try:
            if checksum.read_text(encoding="utf-8").strip() != file_sha256(path):
                return None
            features = read_array(path)
        except (OSError, UnicodeDecodeError, ArtifactError):
            return None
        return features if features.shape == shape and features.dtype == np.float32 else None

    def write(self, key: str, features: Features) -> None:
        """Write an array and its checksum."""
        path, checksum = self._paths(key)
        write_array(path, features)
        write_text(checksum, f"{file_sha256(path)}\n")

    def remove_unused(self) -> None:
        """Delete the files whose key was not read since this object was created."""
        for path in sorted(self.folder.glob("*")):
            if path.suffix not in (".npy", ".sha256") or path.stem not in self.used:
                path.unlink()

    def _paths(self, key: str) -> tuple[Path, Path]:
        return self.folder / f"{key}.npy", self.folder / f"{key}.sha256"


def cache_key(facts: Mapping[str, object]) -> str:
    """Return the SHA-256 of the facts as JSON."""
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()
