"""Tables to train on: one that scikit-learn carries, or a CSV file."""

from __future__ import annotations

import csv
import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import msgspec
import numpy as np

from onnxpress.core.errors import BadData
from onnxpress.core.optional import require


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
    """A CSV file with a header line."""

    path: str
    target: str
    """the column of labels"""
    features: list[str] | None = None
    """the numeric columns; default: every column but the target"""

    def load(self) -> Table:
        """Read it row by row. Raises BadData with file, line and column of the first value that is no finite number."""
        path = Path(self.path)
        try:
            with path.open(newline="", encoding="utf-8-sig") as file:
                return self._read(csv.reader(file), path)
        except OSError as error:
            raise BadData(f"cannot be read: {error.strerror}", where=str(path)) from None
        except UnicodeDecodeError as error:
            raise BadData(f"is not UTF-8 text: {error}", where=str(path)) from None
        except csv.Error as error:
            raise BadData(f"is not CSV: {error}", where=str(path)) from None

    def _read(self, reader: Any, path: Path) -> Table:
        header = next(reader, None)
        if not header:
            raise BadData("the file is empty", where=str(path), hint="the first line must name the columns")
        features = self.features or [name for name in header if name != self.target]
        for column in (self.target, *features):
            if column not in header:
                raise BadData(f"no column {column!r}", where=str(path), hint=f"it has: {', '.join(header)}")
        places = [header.index(name) for name in features]
        target = header.index(self.target)
        rows, labels = [], []
        for line, row in self._whole_rows(reader, len(header), path):
            rows.append([_number(row[place], path, line, header[place]) for place in places])
            labels.append(row[target])
        if not rows:
            raise BadData("there are no rows below the header", where=str(path))
        return Table(features, np.asarray(rows, np.float32), np.asarray(labels, np.str_))

    def _whole_rows(self, reader: Any, width: int, path: Path) -> Iterator[tuple[int, list[str]]]:
        for row in reader:
            if not row:
                continue  # a blank line
            if len(row) != width:
                raise BadData(f"{len(row)} values where the header has {width}", where=f"{path}:{reader.line_num}")
            yield reader.line_num, row


Data = Bundled | CsvFile


def _number(text: str, path: Path, line: int, column: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise BadData(f"{text!r} in column {column!r} is not a finite number", where=f"{path}:{line}")
    return value
