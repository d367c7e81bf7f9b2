"""The files of an experiment, where a stage may not have written one yet."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from latentbench.artifacts import paths
from latentbench.artifacts.files import read_arrays, read_csv, read_json
from latentbench.errors import ArtifactError

Array = np.ndarray[Any, Any]


def read_optional(path: Path) -> dict[str, Any] | None:
    return read_json(path) if path.is_file() else None


def read_optional_arrays(path: Path) -> dict[str, Array]:
    return read_arrays(path) if path.is_file() else {}


def read_numbers(path: Path, *, by: str = "epoch") -> list[dict[str, float]]:
    """The rows of a CSV in rising epochs, or what else they are `by`, empty cells as NaN; no rows where there is no
    file."""
    if not path.is_file():
        return []
    try:
        rows = [
            {key: float(value or "nan") for key, value in row.items() if key != paths.TROUBLE}
            for row in read_csv(path)
        ]
        return sorted(rows, key=lambda row: row[by])
    except (TypeError, ValueError, KeyError, csv.Error) as error:
        raise ArtifactError(
            f"{path} is damaged ({error}); delete it and run its stage again."
        ) from None


def read_picture(path: Path) -> Array:
    """uint8 (height, width, 1 or 3) of a picture that a stage left.

    Raises ArtifactError where it is missing or damaged.
    """
    try:
        with Image.open(path) as picture:
            pixels = np.asarray(picture.convert("L" if picture.mode == "L" else "RGB"))
    except FileNotFoundError:
        raise ArtifactError(f"{path} is missing; run the stage that writes it.") from None
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise ArtifactError(
            f"{path} is damaged ({error}); delete it and run its stage again."
        ) from None
    return pixels.reshape(*pixels.shape[:2], -1)


def read_troubles(path: Path) -> dict[int, str]:
    """The signs of trouble that training named, by epoch."""
    rows = read_csv(path) if path.is_file() else []
    return {int(row["epoch"]): row[paths.TROUBLE] for row in rows if row.get(paths.TROUBLE)}
