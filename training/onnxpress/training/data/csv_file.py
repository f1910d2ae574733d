"""CSV files, read row by row."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec

from onnxpress.core.errors import BadData
from onnxpress.training.data.table import Builder, Reading, Table


class CsvFile(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag="csv", tag_field="source"):
    """A CSV file in UTF-8 with a header line; numbers or text in the feature columns, any text as label."""

    path: str
    """of the file, from the recipe's folder"""
    target: str
    """the column of labels, or of the values to predict"""
    features: list[str] | None = None
    """the numeric columns where the family does not name its own; default: every column but the target"""

    def load(self, reading: Reading | None = None) -> Table:
        """Read it in one pass. Raises BadData with file, line and column of the first fault."""
        path = Path(self.path)
        try:
            with path.open(newline="", encoding="utf-8-sig") as file:
                return self._read(csv.reader(file, strict=True), path, reading or Reading())
        except OSError as error:
            raise BadData(f"cannot be read: {error.strerror}", where=str(path)) from None
        except UnicodeDecodeError as error:
            raise BadData(f"is not UTF-8 text: {error}", where=str(path)) from None

    def _read(self, reader: Any, path: Path, reading: Reading) -> Table:
        rows = whole_rows(reader, path)
        header = next(rows, None)
        if header is None:
            raise BadData("the file is empty", where=str(path), hint="the first line must name the columns")
        if reading.numbers is None and self.features is not None:
            reading = Reading(numbers=tuple(self.features), missing=reading.missing, target=reading.target)
        reading = reading.columns(header, self.target, where=str(path))
        builder = Builder(reading, self.target)
        for row in rows:
            builder.add(zip(header, row, strict=True), where=f"{path}:{reader.line_num}")
        return builder.table(where=str(path))


def whole_rows(reader: Any, path: Path) -> Iterator[list[str]]:
    """The header, then every row that is not blank. Raises BadData for a row of another width than the header's."""
    width = 0
    while True:
        try:
            row = next(reader, None)
        except csv.Error as error:
            raise BadData(f"is not CSV: {error}", where=f"{path}:{reader.line_num}") from None
        if row is None:
            return
        if not row:
            continue
        width = width or len(row)
        if len(row) != width:
            raise BadData(
                f"{len(row)} values where the header names {width} columns", where=f"{path}:{reader.line_num}"
            )
        yield row
