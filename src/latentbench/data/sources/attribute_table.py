"""Tables of attributes: what each picture has or lacks, such as a smile or glasses."""

from __future__ import annotations

import csv
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from latentbench.artifacts.files import file_sha256
from latentbench.artifacts.progress import log
from latentbench.data.image_archive import parts_of
from latentbench.errors import DataError

_SEPARATORS = ",;\t"  # of cells: spreadsheets write commas or semicolons, by their language

Columns = np.ndarray[Any, np.dtype[np.uint8]]


@dataclass(frozen=True)
class Table:
    """Whole numbers by the picture that they are said of, and what each of a row stands for."""

    names: list[str]
    rows: dict[str, list[int]]

    @classmethod
    def parse(cls, text: str, *, where: str) -> Table:
        """Of a .csv with a header whose first column names the pictures, or of a list as CelebA has them: separated
        by spaces, after a line with the number of pictures and one with the names; a list without these two has none.

        Raises DataError, which begins with `where`.
        """
        names, rows = _cells([line for line in text.splitlines() if line.strip()])
        table: dict[str, list[int]] = {}
        for picture, *values in rows:
            if picture in table:
                raise DataError(f"{where} has {picture} twice; keep one of them.")
            if names and len(values) != len(names):
                raise DataError(
                    f"{where} has {len(values)} values of {picture} for {len(names)} columns; correct it."
                )
            try:
                table[picture] = [int(value) for value in values]
            except ValueError as error:
                raise DataError(
                    f"{where} has no whole numbers of {picture} ({error}); correct it."
                ) from None
        return cls(names, table)

    def columns(self, pictures: Sequence[str], *, where: str) -> Columns:
        """uint8 (pictures, names) of pictures by their path, 1 where a positive number stands.

        A row speaks of the one picture whose path ends as the row's first cell has it; others are left out.
        Raises DataError where a picture has no row, a row more than one picture, or a value is none of -1, 0 and 1.
        """
        found = [self._row_of(picture) for picture in pictures]
        without = [picture for picture, row in zip(pictures, found, strict=True) if row is None]
        if without:
            raise DataError(
                f"{where} says nothing of {len(without)} of {len(pictures)} pictures ({without[0]}); add rows for "
                "them, or take these pictures away."
            )
        rows = [row for row in found if row is not None]
        [(most, times)] = Counter(rows).most_common(1) or [("", 0)]
        if times > 1:
            first, second, *_ = (
                picture for picture, row in zip(pictures, rows, strict=True) if row == most
            )
            raise DataError(
                f"{where} has {most}, which could be {first} or {second}; write more of its path."
            )
        values = np.array([self.rows[row] for row in rows])
        wrong = np.argwhere(abs(values) > 1)
        if len(wrong):
            place, column = wrong[0]
            raise DataError(
                f"{where} has {values[place, column]} as {self.names[column]} of {rows[place]}; "
                "write 1 where it is there, else 0 or -1."
            )
        if len(rows) < len(self.rows):
            log(
                f"{where} has {len(self.rows) - len(rows)} rows of no picture here; they are left out."
            )
        return (values > 0).astype(np.uint8)

    def _row_of(self, picture: str) -> str | None:
        parts = parts_of(picture)
        paths = ("/".join(parts[start:]) for start in range(len(parts)))
        return next((path for path in paths if path in self.rows), None)


def _cells(lines: list[str]) -> tuple[list[str], list[list[str]]]:
    """The names of the columns, and the rows with what each is of in front."""
    if not lines:
        return [], []
    separator = next((sign for sign in _SEPARATORS if sign in lines[0]), None)
    if separator is not None:
        header, *rows = (
            [cell.strip() for cell in row] for row in csv.reader(lines, delimiter=separator)
        )
        return header[1:], [
            ["/".join(parts_of(picture.replace("\\", "/"))), *values] for picture, *values in rows
        ]
    if lines[0].strip().isdecimal():
        return " ".join(lines[1:2]).split(), [line.split() for line in lines[2:]]
    return [], [line.split() for line in lines]


def fingerprint(path: Path) -> dict[str, str]:
    """Of a table that the user gave as `attributes`; raises DataError where there is no such file."""
    if not path.is_file():
        raise DataError(
            f"attributes is {str(path)!r}, which is no file; give a .csv or a list as CelebA has them."
        )
    return {"path": str(path), "sha256": file_sha256(path)}


def read_table(fetched: dict[str, str]) -> Table:
    """The table that was fetched; raises DataError where it is no longer what it was, or no table of attributes."""
    path = Path(fetched["path"])
    if fingerprint(path) != fetched:
        raise DataError(f"{path} has changed since it was fetched; fetch the dataset again.")
    try:
        text = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise DataError(f"{path} is not UTF-8 text ({error.reason}); save it as UTF-8.") from None
    table = Table.parse(text, where=str(path))
    if not table.names:
        raise DataError(
            f"{path} names no attributes; give it a first line such as picture,Smiling,Eyeglasses."
        )
    repeated = [name for name, times in Counter(table.names).items() if times > 1 or not name]
    if repeated:
        raise DataError(
            f"{path} has a column called {repeated[0]!r} that is empty or there twice; rename it."
        )
    return table
