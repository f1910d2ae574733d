"""Rows to train on, column by column, and what a family asks a source to read."""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from onnxpress.core.arrays import Array
from onnxpress.core.errors import BadData
from onnxpress.core.spelling import did_you_mean

_LARGEST = float(np.finfo(np.float32).max)


@dataclass(frozen=True)
class Table:
    """Rows with a target each. Columns are float32 (rows,) or (rows, …), str objects (rows,), or uint8 images."""

    columns: dict[str, Array]
    target: Array
    """(rows,): str labels, or float32 values"""
    groups: Array | None = None
    """(rows,) of names: rows of one group (the windows of one event) are never divided between train and test"""

    @property
    def feature_names(self) -> list[str]:
        """The columns in order."""
        return list(self.columns)

    @property
    def x(self) -> np.ndarray[Any, np.dtype[np.float32]]:
        """The columns side by side, (rows, columns); all must be numbers."""
        return np.stack(list(self.columns.values()), axis=1)


@dataclass(frozen=True, kw_only=True)
class Reading:
    """What a family takes of a source that has named columns."""

    numbers: tuple[str, ...] | None = None
    """columns of numbers; None: every column that is neither the target nor named as text"""
    texts: tuple[str, ...] = ()
    missing: bool = False
    """whether a number may be missing (it becomes NaN) and a text empty"""
    target: Literal["label", "number"] = "label"

    def columns(self, known: Sequence[str], target: str, *, where: str) -> Reading:
        """With the numeric columns settled. Raises BadData for a column that is not there, or is there twice."""
        numbers = self.numbers
        if numbers is None:
            numbers = tuple(name for name in known if name != target and name not in self.texts)
        for column in (target, *numbers, *self.texts):
            if column not in known:
                raise BadData(f"no column {column!r}", where=where, hint=did_you_mean(column, known, "it has"))
            if known.count(column) > 1:
                raise BadData(f"{known.count(column)} columns are named {column!r}", where=f"{where}:1")
        if not numbers and not self.texts:
            raise BadData("there is no feature column beside the target", where=where)
        if target in (*numbers, *self.texts):
            raise BadData(f"the target {target!r} is also a feature", where=where, hint="the model would see it")
        return Reading(numbers=numbers, texts=self.texts, missing=self.missing, target=self.target)


MISSING = frozenset({"", "NA", "N/A", "NaN", "nan", "null", "None"})
"""how tables write that a value is not there"""


class Builder:
    """Takes rows one at a time, 4 bytes a number and 8 a label, and makes a Table of them."""

    def __init__(self, reading: Reading, target: str) -> None:
        assert reading.numbers is not None, "settle the columns first"
        self._reading, self._target = reading, target
        self._numbers = {name: array("f") for name in reading.numbers}
        self._texts: dict[str, list[str]] = {name: [] for name in reading.texts}
        self._values, self._codes = array("f"), array("l")
        self._code_of: dict[str, int] = {}

    def add(self, row: Iterable[tuple[str, object]], *, where: str) -> None:
        """One row's fields. Raises BadData with `where` and the column of what is wrong."""
        fields = dict(row)
        for name, numbers in self._numbers.items():
            numbers.append(_number(fields.get(name), name, where, missing=self._reading.missing))
        for name, texts in self._texts.items():
            texts.append(_text(fields.get(name), name, where, missing=self._reading.missing))
        given = fields.get(self._target)
        if self._reading.target == "number":
            self._values.append(_number(given, self._target, where, missing=False))
        else:
            label = "" if given is None else str(given)
            if not label:
                raise BadData(f"no label in column {self._target!r}", where=where)
            self._codes.append(self._code_of.setdefault(label, len(self._code_of)))

    def table(self, *, where: str) -> Table:
        """All of them. Raises BadData when there was none."""
        rows = len(self._codes) or len(self._values)
        if not rows:
            raise BadData("there are no rows below the header", where=where)
        columns: dict[str, Array] = {name: np.frombuffer(n, np.float32) for name, n in self._numbers.items()}
        columns |= {name: np.array(texts, object) for name, texts in self._texts.items()}
        if self._reading.target == "number":
            return Table(columns, np.frombuffer(self._values, np.float32))
        return Table(columns, np.asarray(list(self._code_of), np.str_)[np.frombuffer(self._codes, np.dtype("l"))])


def _number(given: object, column: str, where: str, *, missing: bool) -> float:
    absent = given is None or (isinstance(given, str) and given.strip() in MISSING)
    if missing and absent:
        return float("nan")
    try:
        value = float(given)  # type: ignore[arg-type]  # whatever float refuses is the error below
    except (TypeError, ValueError):
        value = float("nan")
    if not abs(value) <= _LARGEST:  # so written, NaN fails too
        empty = given is None or (isinstance(given, str) and not given.strip())
        shown = "a number is missing" if empty else f"{given!r} is no finite float32 number"
        raise BadData(f"{shown} in column {column!r}", where=where)
    return value


def _text(given: object, column: str, where: str, *, missing: bool) -> str:
    if given is None or given in MISSING:
        if missing:
            return ""
        raise BadData(f"no text in column {column!r}", where=where)
    if not isinstance(given, str):
        raise BadData(f"{given!r} in column {column!r} is no text", where=where)
    return given
