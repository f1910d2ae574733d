"""Tables to train on: one that scikit-learn carries, or a CSV file read row by row."""

from __future__ import annotations

import csv
import difflib
from array import array
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import msgspec
import numpy as np

from onnxpress.core.errors import BadData
from onnxpress.core.optional import require

_LARGEST = float(np.finfo(np.float32).max)


@dataclass(frozen=True)
class Table:
    """Numeric rows with a label each: `x` float32 (rows, features), `labels` (rows,) of strings."""

    feature_names: list[str]
    x: np.ndarray[Any, np.dtype[np.float32]]
    labels: np.ndarray[Any, np.dtype[np.str_]]


class Bundled(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag="sklearn", tag_field="source"):
    """A table that scikit-learn carries; no download."""

    table: Literal["breast_cancer", "wine", "iris"]

    def load(self) -> Table:
        """Read it. Raises MissingExtra without scikit-learn."""
        datasets = require("sklearn.datasets", needed_by=f"the table {self.table}")
        bunch = getattr(datasets, f"load_{self.table}")()
        return Table(
            feature_names=[str(name) for name in bunch.feature_names],
            x=bunch.data.astype(np.float32),
            labels=bunch.target_names[bunch.target].astype(np.str_),
        )


class CsvFile(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag="csv", tag_field="source"):
    """A CSV file in UTF-8 with a header line; numbers in the feature columns, any text in the label column."""

    path: str
    target: str
    """the column of labels"""
    features: list[str] | None = None
    """the numeric columns; default: every column but the target"""

    def load(self) -> Table:
        """Read it in one pass, 4 bytes a number. Raises BadData with file, line and column of the first fault."""
        path = Path(self.path)
        try:
            with path.open(newline="", encoding="utf-8-sig") as file:
                return self._read(csv.reader(file, strict=True), path)
        except OSError as error:
            raise BadData(f"cannot be read: {error.strerror}", where=str(path)) from None
        except UnicodeDecodeError as error:
            raise BadData(f"is not UTF-8 text: {error}", where=str(path)) from None

    def _read(self, reader: Any, path: Path) -> Table:
        rows = _whole_rows(reader, path)
        header = next(rows, None)
        if header is None:
            raise BadData("the file is empty", where=str(path), hint="the first line must name the columns")
        features = self._feature_columns(header, path)
        places = [header.index(name) for name in features]
        target = header.index(self.target)
        numbers, codes, code_of = array("f"), array("l"), dict[str, int]()
        for row in rows:
            for place in places:
                numbers.append(_number(row[place], path, reader.line_num, header[place]))
            if not row[target]:
                raise BadData(f"no label in column {self.target!r}", where=f"{path}:{reader.line_num}")
            codes.append(code_of.setdefault(row[target], len(code_of)))
        if not codes:
            raise BadData("there are no rows below the header", where=str(path))
        return Table(
            features,
            np.frombuffer(numbers, np.float32).reshape(len(codes), len(features)),
            np.asarray(list(code_of), np.str_)[np.frombuffer(codes, np.dtype("l"))],
        )

    def _feature_columns(self, header: list[str], path: Path) -> list[str]:
        features = self.features if self.features is not None else [name for name in header if name != self.target]
        for column in (self.target, *features):
            if column not in header:
                near = difflib.get_close_matches(column, header, n=1)
                meant = f"did you mean {near[0]!r}? " if near else ""
                raise BadData(f"no column {column!r}", where=str(path), hint=f"{meant}it has: {', '.join(header)}")
            if header.count(column) > 1:
                raise BadData(f"{header.count(column)} columns are named {column!r}", where=f"{path}:1")
        if not features:
            raise BadData("there is no feature column beside the target", where=str(path))
        if self.target in features:
            raise BadData(
                f"the target {self.target!r} is also a feature", where=str(path), hint="the model would see it"
            )
        return features


Data = Bundled | CsvFile


def _whole_rows(reader: Any, path: Path) -> Iterator[list[str]]:
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


def _number(text: str, path: Path, line: int, column: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = float("nan")
    if not abs(value) <= _LARGEST:  # so written, NaN fails too
        shown = f"{text!r} is no finite float32 number" if text.strip() else "a number is missing"
        raise BadData(f"{shown} in column {column!r}", where=f"{path}:{line}")
    return value
