"""Rows to train on, column by column, and what a family asks a source to read."""

from __future__ import annotations

import re
from array import array
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal

import numpy as np

from onnxpress.core.arrays import Array
from onnxpress.core.errors import BadData
from onnxpress.core.spelling import did_you_mean
from onnxpress.training.data.labels import Relabelled
from onnxpress.training.data.sampling import Reservoir, Sample

_LARGEST = float(np.finfo(np.float32).max)


@dataclass(frozen=True)
class Table:
    """Rows with a target each. Columns are float32 (rows,) or (rows, …), str objects (rows,), or uint8 images."""

    columns: dict[str, Array]
    target: Array
    """(rows,): str labels, or float32 values"""
    groups: Array | None = None
    """(rows,) of names: rows of one group (the windows of one event) are never divided between train and test"""
    events: Array | None = None
    """(rows,) of names: what is judged as one, where the source tells; a group may be a person with several"""
    target_name: str = "value"
    """of the target's column, where it is a value"""
    labelled: bool = True
    """False where the source has no target; `target` is then an empty text for every row"""
    oversample: bool = False
    """whether rows of smaller classes come again in training"""
    report: dict[str, Any] = field(default_factory=dict)
    """what was read, told and left out, for the run's `data.json`"""

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
    dropped: tuple[str, ...] = ()
    """columns that are left alone"""
    target: Literal["label", "number", "optional"] = "label"
    """optional: labels, where the source has some"""

    def columns(self, known: Sequence[str], target: str | None, *, where: str, files: bool = False) -> Reading:
        """With the numeric columns settled. Raises BadData for a column that is not there, or is there twice.

        With `files`, which file a row is in says its label, and no column does.
        """
        if target is None and not files and self.target != "optional":
            raise BadData("no target is named", where=where, hint="name the column of labels or values in data.target")
        numbers = self.numbers
        if numbers is None:
            others = {target, "", *self.texts, *self.dropped}  # nobody can name a column without a name
            numbers = tuple(name for name in known if name not in others)
        for column in (*([] if target is None or files else [target]), *numbers, *self.texts, *self.dropped):
            if column not in known and "." in column:
                continue  # a field within a field: the record that lacks it is named when it is read
            if column not in known:
                raise BadData(f"no column {column!r}", where=where, hint=did_you_mean(column, known, "it has"))
            if known.count(column) > 1:
                raise BadData(f"{known.count(column)} columns are named {column!r}", where=f"{where}:1")
        if not numbers and not self.texts:
            raise BadData("there is no feature column beside the target", where=where)
        if target in (*numbers, *self.texts):
            raise BadData(f"the target {target!r} is also a feature", where=where, hint="the model would see it")
        return replace(self, numbers=numbers)


MISSING = frozenset({"", "NA", "N/A", "NaN", "nan", "null", "None"})
"""how tables write that a value is not there"""


class Builder:
    """Takes rows one at a time, 4 bytes a number and 8 a label, and makes a Table of them."""

    def __init__(
        self,
        reading: Reading,
        target: str | None,
        *,
        labels: Relabelled | None = None,
        sample: Sample | None = None,
        decimal: str = ".",
    ) -> None:
        assert reading.numbers is not None, "settle the columns first"
        self._reading, self._target, self._labels, self._sample = reading, target, labels, sample
        self._decimal = decimal
        self._numbers = {name: array("f") for name in reading.numbers}
        self._texts: dict[str, list[str]] = {name: [] for name in reading.texts}
        self._values, self._codes = array("f"), array("l")
        self._code_of: dict[str, int] = {}
        most = None if sample is None else sample.per_class
        self._reservoir = None if most is None else Reservoir(most, seed=sample.seed if sample else 0)
        self._labelled = True

    @property
    def wanted(self) -> list[str]:
        """The columns that every row must have."""
        target = [] if self._target is None else [self._target]
        return [*target, *self._numbers, *self._texts]

    def add(self, row: Iterable[tuple[str, object]], *, where: str, label: str | None = None) -> None:
        """One row's fields, and its label where no field has it. Raises BadData with `where` and the wrong column.

        A row that the sample does not take is not looked at beyond its label.
        """
        fields = dict(row)
        rows = len(self._codes) or len(self._values)
        place = rows
        if self._reading.target == "number":
            self._put(self._values, rows, rows, self._number(field_of(fields, self._target), self._target or "", where))
        else:
            code = self._code(fields, label, where)
            if code is None:
                return
            if self._reservoir is not None:
                drawn = self._reservoir.place(code, rows=rows)
                if drawn is None:
                    return
                place = drawn
            self._put(self._codes, place, rows, code)
        for name, numbers in self._numbers.items():
            value = self._number(field_of(fields, name), name, where, missing=self._reading.missing)
            self._put(numbers, place, rows, value)
        for name, texts in self._texts.items():
            self._put(texts, place, rows, _text(field_of(fields, name), name, where, missing=self._reading.missing))

    def _put(self, column: Any, place: int, rows: int, value: Any) -> None:
        if place == rows:
            column.append(value)
        else:
            column[place] = value

    def _number(self, given: object, column: str, where: str, *, missing: bool = False) -> float:
        if self._decimal == "," and isinstance(given, str):
            if "." in given:  # a thousand, or one with three decimals
                raise BadData(f"{given!r} in column {column!r} has a point where the decimal sign is ','", where=where)
            given = given.replace(",", ".")
        return _number(given, column, where, missing=missing)

    def _code(self, fields: dict[str, object], label: str | None, where: str) -> int | None:
        """The number of the row's label; None where rows of it are left out."""
        if label is None and self._target is None:
            self._labelled = False
            return self._code_of.setdefault("", 0)
        if label is None:
            given = field_of(fields, self._target)
            label = "" if given is None else str(given).lower() if isinstance(given, bool) else str(given)
        if not label:
            raise BadData(f"no label in column {self._target!r}", where=where)
        new = label if self._labels is None else self._labels.of(label)
        return None if new is None else self._code_of.setdefault(new, len(self._code_of))

    def table(self, *, where: str, report: dict[str, Any] | None = None) -> Table:
        """All of them. Raises BadData when there was none."""
        rows = len(self._codes) or len(self._values)
        labels = {} if self._labels is None else self._labels.report()
        if not rows:
            raise BadData("there are no rows below the header", where=where)
        columns: dict[str, Array] = {name: np.frombuffer(n, np.float32) for name, n in self._numbers.items()}
        columns |= {name: np.array(texts, object) for name, texts in self._texts.items()}
        told = {"rows": rows, **_missing(columns), **(report or {}), **labels}
        if self._reading.target == "number":
            values = np.frombuffer(self._values, np.float32)
            return Table(columns, values, target_name=self._target or "value", report=told)
        codes = np.frombuffer(self._codes, np.dtype("l"))
        if self._reservoir is not None:
            told["rows_met"] = {label: self._reservoir.met(code) for label, code in self._code_of.items()}
        if self._sample is not None and self._sample.balance == "under":
            kept = _even(codes, seed=self._sample.seed)
            columns, codes = {name: column[kept] for name, column in columns.items()}, codes[kept]
        target = np.asarray(list(self._code_of), np.str_)[codes]
        if self._labelled:
            told["rows"] = len(target)
            told["labels"] = {str(name): int((target == name).sum()) for name in self._code_of}
        over = self._sample is not None and self._sample.balance == "over"
        return Table(columns, target, labelled=self._labelled, oversample=over, report=told)


def field_of(fields: dict[str, object], name: str | None) -> object:
    """A field by its name, or by a dotted path through the records within; None where it is not there."""
    if name is None or name in fields:
        return fields.get(name or "")
    found: object = fields
    for part in name.split("."):
        if isinstance(found, dict):
            found = found.get(part)
        elif isinstance(found, list) and part.isdecimal() and int(part) < len(found):
            found = found[int(part)]
        else:
            return None
    return found


def _even(codes: Array, *, seed: int) -> Array:
    """Ascending places of as many rows of each class as the smallest has, drawn at random."""
    generator = np.random.default_rng(seed)
    least = min(np.bincount(codes)[np.unique(codes)])
    kept = [generator.choice(np.flatnonzero(codes == code), least, replace=False) for code in np.unique(codes)]
    return np.sort(np.concatenate(kept))


def _missing(columns: dict[str, Array]) -> dict[str, Any]:
    """Column → how many of its values are missing, where some are."""
    counts = {name: int((np.isnan(c) if c.dtype.kind == "f" else c == "").sum()) for name, c in columns.items()}
    found = {name: count for name, count in counts.items() if count}
    return {"missing_values": found} if found else {}


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
        decimal = isinstance(given, str) and re.fullmatch(r"\s*[-+]?\d+,\d+\s*", given) is not None
        hint = "data.dialect.decimal says that it is a comma" if decimal else None
        raise BadData(f"{shown} in column {column!r}", where=where, hint=hint)
    return value


def _text(given: object, column: str, where: str, *, missing: bool) -> str:
    if given is None or given in MISSING:
        if missing:
            return ""
        raise BadData(f"no text in column {column!r}", where=where)
    if not isinstance(given, str):
        raise BadData(f"{given!r} in column {column!r} is no text", where=where)
    return given
