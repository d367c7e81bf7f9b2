"""Tables of attributes: which images have a smile or glasses, for example."""

from __future__ import annotations

import csv
import unicodedata
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

import numpy as np

from latentbench.artifacts.files import file_sha256
from latentbench.artifacts.progress import log
from latentbench.data.image_archive import path_parts
from latentbench.data.raw_files import convert_damage, decode_text
from latentbench.errors import DataError, quote, reason

_SEPARATORS = ",;\t"  # spreadsheets write commas or semicolons, depending on their language
_VALUES = frozenset((-1, 0, 1))

Attributes = np.ndarray[Any, np.dtype[np.uint8]]


@dataclass(frozen=True)
class AttributeTable:
    """Whole numbers by image name, a column per attribute."""

    names: list[str]
    rows: dict[str, list[int]]

    @classmethod
    def parse(cls, text: str, *, where: str) -> AttributeTable:
        """Return a table from the text of a CSV file or of a list in CelebA's format.

        A CSV file has a header, and image names in the first column. CelebA's lists are separated
        by spaces. Their first two lines are the number of images and the attributes' names, or are
        missing.
        Raises DataError, whose message starts with `where`.
        """
        try:
            names, rows = _parse_cells([line for line in text.splitlines() if line.strip()])
        except csv.Error as error:
            raise DataError(f"{where} is not a table ({reason(error)}); correct it.") from None
        for name, count in Counter(names).items():
            if count > 1 or not name:
                raise DataError(
                    f"{where} has a column {quote(name)} that is unnamed or repeated; rename it."
                )
        table: dict[str, list[int]] = {}
        for name, *values in rows:
            image = _normalize(name)
            if not image:
                raise DataError(f"{where} has a row without an image's name; add it.")
            if image in table:
                raise DataError(f"{where} has two rows for {quote(image)}; remove one.")
            if names and len(values) != len(names):
                raise DataError(
                    f"{where} has {len(values)} values for {quote(image)}, but {len(names)} "
                    "columns; correct the row."
                )
            try:
                table[image] = [int(value) for value in values]
            except ValueError as error:
                raise DataError(
                    f"{where} has a value for {quote(image)} that is not a whole number "
                    f"({reason(error)}); correct it."
                ) from None
        return cls(names, table)

    def attributes(self, images: Sequence[str], *, where: str) -> Attributes:
        """Return the attributes of images, given by their path: uint8 (images, attributes).

        A row belongs to the image whose path ends with the row's name. Positive values are 1.
        Raises DataError if an image has no row, if a row belongs to several images, or if a value
        is not -1, 0 or 1.
        """
        if not self.names:
            raise DataError(
                f"{where} has no attributes; add a first line such as image,Smiling,Eyeglasses."
            )
        rows = self._match_rows(images, where=where)
        for row in rows:
            if not _VALUES.issuperset(self.rows[row]):
                self._raise_invalid(row, where=where)
        values = np.array([self.rows[row] for row in rows])
        num_unused = len(self.rows) - len(rows)
        if num_unused:
            log(f"{where} has {num_unused} rows without an image; they are ignored.")
        return (values > 0).astype(np.uint8)

    def _raise_invalid(self, row: str, *, where: str) -> NoReturn:
        """Raise DataError for the first value of the row that is not -1, 0 or 1."""
        values = dict(zip(self.names, self.rows[row], strict=True))
        name = next(name for name in self.names if values[name] not in _VALUES)
        raise DataError(
            f"{where} has {quote(values[name])} for {quote(name)} of {quote(row)}; write 1 if the "
            "image has the attribute, else 0 or -1."
        )

    def _match_rows(self, images: Sequence[str], *, where: str) -> list[str]:
        """Return the name of each image's row; raise DataError if the match is not one to one."""
        rows: list[str] = []
        unmatched: list[str] = []
        image_of_row: dict[str, str] = {}
        for image in images:
            row = self._find_row(image)
            if row is None:
                unmatched.append(image)
                continue
            if row in image_of_row:
                raise DataError(
                    f"{where} has a row {quote(row)}, which matches {quote(image_of_row[row])} "
                    f"and {quote(image)}; write more of its path."
                )
            image_of_row[row] = image
            rows.append(row)
        if unmatched:
            raise DataError(
                f"{where} has no row for {len(unmatched)} of {len(images)} images "
                f"({quote(unmatched[0])}); add rows or remove these images."
            )
        return rows

    def _find_row(self, image: str) -> str | None:
        """Return the longest end of the image's path that has a row."""
        parts = path_parts(_normalize(image))
        for start in range(len(parts)):
            name = "/".join(parts[start:])
            if name in self.rows:
                return name
        return None


def _normalize(name: str) -> str:
    """Return a name in Unicode's form NFC: macOS writes é as two characters."""
    return unicodedata.normalize("NFC", name)


def _parse_cells(lines: list[str]) -> tuple[list[str], list[list[str]]]:
    """Return the names of the attributes, and the rows, with the image's name first."""
    if not lines:
        return [], []
    for separator in _SEPARATORS:
        if separator in lines[0]:
            return _parse_csv(lines, separator)
    if not lines[0].strip().isdecimal():
        return [], [line.split() for line in lines]
    names = lines[1].split() if len(lines) > 1 else []
    return names, [line.split() for line in lines[2:]]


def _parse_csv(lines: list[str], separator: str) -> tuple[list[str], list[list[str]]]:
    rows = []
    for row in csv.reader(lines, delimiter=separator):
        name, *values = [cell.strip() for cell in row]
        rows.append(["/".join(path_parts(name.replace("\\", "/"))), *values])
    header, *rows = rows
    return header[1:], rows


def fingerprint(path: Path) -> dict[str, str]:
    """Return path and SHA-256 of a table; raise DataError if there is no such file."""
    with convert_damage(path):
        if not path.is_file():
            raise DataError(
                f"attributes: {path} is not a file; set it to a CSV file or a list in CelebA's "
                "format."
            )
        return {"path": str(path), "sha256": file_sha256(path)}


def read_table(fetched: dict[str, str]) -> AttributeTable:
    """Return the table that was fetched; raise DataError if it has changed or is invalid."""
    path = Path(fetched["path"])
    if fingerprint(path) != fetched:
        raise DataError(f"{path} has changed since it was fetched; fetch the dataset again.")
    with convert_damage(path):
        data = path.read_bytes()
    return AttributeTable.parse(decode_text(data, where=path), where=str(path))
