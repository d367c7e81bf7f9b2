"""The files of an experiment, where a stage may not have written one yet."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from latentbench.artifacts import layout
from latentbench.artifacts.files import read_arrays, read_csv, read_json
from latentbench.errors import ArtifactError

Array = np.ndarray[Any, Any]


def read_optional(path: Path) -> dict[str, Any] | None:
    return read_json(path) if path.is_file() else None


def read_optional_arrays(path: Path) -> dict[str, Array]:
    return read_arrays(path) if path.is_file() else {}


def read_numbers(path: Path) -> list[dict[str, float]]:
    """The rows of a CSV in rising epochs, empty cells as NaN; no rows where there is no file."""
    if not path.is_file():
        return []
    try:
        rows = [
            {key: float(value or "nan") for key, value in row.items() if key != layout.TROUBLE}
            for row in read_csv(path)
        ]
        return sorted(rows, key=lambda row: row["epoch"])
    except (TypeError, ValueError, KeyError) as error:
        raise ArtifactError(f"{path} is damaged ({error}); delete it and run its stage again.") from None


def read_troubles(path: Path) -> dict[int, str]:
    """The signs of trouble that training named, by epoch."""
    rows = read_csv(path) if path.is_file() else []
    return {int(row["epoch"]): row[layout.TROUBLE] for row in rows if row.get(layout.TROUBLE)}
