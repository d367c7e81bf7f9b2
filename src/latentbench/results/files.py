"""The files of an experiment, where a stage may not have written one yet."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from PIL import Image

from latentbench.artifacts import paths
from latentbench.artifacts.files import convert_read_errors, read_arrays, read_json, read_manifest
from latentbench.results.formatting import one_line

Array = np.ndarray[Any, Any]


def read_facts(path: Path) -> dict[str, Any]:
    """Return the content of a JSON file, empty where there is no file.

    Each text is on one line, without control characters: names of classes go into figures.
    """
    return _on_one_line(read_json(path)) if path.is_file() else {}


def read_record(path: Path) -> dict[str, Any]:
    """Return the record of a stage's run, empty where there is no file; as `read_facts` does."""
    return _on_one_line(read_manifest(path)) if path.is_file() else {}


def _on_one_line(value: Any) -> Any:
    if isinstance(value, dict):
        return {one_line(key): _on_one_line(each) for key, each in value.items()}
    if isinstance(value, list):
        return [_on_one_line(each) for each in value]
    return one_line(value) if isinstance(value, str) else value


def read_optional_arrays(path: Path) -> dict[str, Array]:
    """Return the arrays of an .npz file by name, empty where there is no file."""
    return read_arrays(path) if path.is_file() else {}


def read_table(path: Path, *, sort_by: str, text: tuple[str, ...] = ()) -> pd.DataFrame:
    """Return a CSV file of numbers, sorted; empty where there is no file.

    Columns named in `text` are kept as they are.

    Raises:
        ArtifactError: The file is damaged.
    """
    if not path.is_file():
        return pd.DataFrame()
    with convert_read_errors(path):
        # pandas parses decimal numbers exactly: what was written is what is read.
        table = pd.read_csv(
            path,
            dtype=dict.fromkeys(text, str),
            keep_default_na=False,
            na_values=["", "nan"],
        )
        for column in table:
            table[column] = (
                table[column].fillna("") if column in text else table[column].astype(float)
            )
        return table.sort_values(sort_by, ignore_index=True)


def read_history(folder: Path) -> pd.DataFrame:
    """Return history.csv, a row per epoch; the column of warnings is text."""
    return read_table(folder / paths.HISTORY, sort_by="epoch", text=(paths.WARNINGS,))


def read_picture(path: Path) -> Array:
    """Return a picture as uint8 (height, width, 1 or 3).

    Raises:
        ArtifactError: The file is missing or damaged.
    """
    with convert_read_errors(path), Image.open(path) as picture:
        pixels = np.asarray(picture.convert("L" if picture.mode == "L" else "RGB"))
    return pixels.reshape(*pixels.shape[:2], -1)
