"""The rows that people gave their verdict on: read from a CSV file, kept in the run, and added to by later rounds."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from onnxpress.core.arrays import Array
from onnxpress.core.errors import BadData
from onnxpress.core.files import write_atomically
from onnxpress.training.data.csv_file import CsvFile
from onnxpress.training.data.delimited import Dialect, Rows
from onnxpress.training.data.table import Reading, Table

FILE_NAME = "feedback.csv"
"""in a run folder: the rows of all rounds, with the round that each came in"""
COLUMN, ROUND = "feedback", "round"
FALSE_ALARM, MISSED = "false_alarm", "missed"
_RIGHT = ("", "right")


@dataclass(frozen=True)
class Given:
    """Rows and what people say of them."""

    columns: dict[str, Array]
    """column → its raw values (rows,), float32 or str objects"""
    is_missed: Array
    """(rows,) bool: a missed anomaly; otherwise a false alarm"""
    round: Array
    """(rows,) int64, from 1"""

    def of_round(self, number: int) -> Array:
        """(rows,) bool."""
        result: Array = self.round == number
        return result

    def write(self, folder: Path) -> None:
        """Into a run's folder."""
        text = io.StringIO()
        writer = csv.writer(text)
        writer.writerow([*self.columns, COLUMN, ROUND])
        for row in range(len(self.is_missed)):
            verdict = MISSED if self.is_missed[row] else FALSE_ALARM
            writer.writerow([*(shown(column[row]) for column in self.columns.values()), verdict, self.round[row]])
        write_atomically(folder / FILE_NAME, text.getvalue().encode())


def read(path: Path, reading: Reading, names: Sequence[str]) -> Given:
    """The rows of a file with the raw columns `names` and the column `feedback`; those without a verdict are left out.

    Raises BadData with the line of a verdict that is neither `false_alarm` nor `missed`, nor `right` or empty.
    """
    texts = (*(name for name in reading.texts if name in names), COLUMN)
    numbers = tuple(name for name in names if name not in texts)
    wanted = Reading(numbers=numbers, texts=texts, missing=True, target="optional")
    table = _read(path, wanted)
    verdicts = table.columns[COLUMN]
    wrong = sorted(set(verdicts.tolist()) - {FALSE_ALARM, MISSED, *_RIGHT})
    if wrong:
        raise BadData(
            f"the feedback {wrong[0]!r} is not known",
            where=f"{path}:{_line_of(path, wrong[0])}",
            hint=f"write {FALSE_ALARM} or {MISSED}, or right, or nothing",
        )
    chosen = ~np.isin(verdicts.astype(np.str_), _RIGHT)
    if not chosen.any():
        raise BadData("no row has a verdict", where=str(path), hint=f"write {FALSE_ALARM} or {MISSED} into {COLUMN}")
    return _given(table, names, chosen)


def _read(path: Path, wanted: Reading) -> Table:
    """The file, whose numbers a spreadsheet may have written with decimal commas. Raises BadData."""
    try:
        return CsvFile(path=str(path)).load(wanted)
    except BadData as error:
        try:
            return CsvFile(path=str(path), dialect=Dialect(decimal=",")).load(wanted)
        except BadData:
            raise error from None


def kept(run: Path, reading: Reading, names: Sequence[str]) -> Given | None:
    """The rows of the rounds before, or None."""
    path = run / FILE_NAME
    if not path.exists():
        return None
    texts = (*(name for name in reading.texts if name in names), COLUMN)
    numbers = (*(name for name in names if name not in texts), ROUND)
    wanted = Reading(numbers=numbers, texts=texts, missing=True, target="optional")
    table = CsvFile(path=str(path), dialect=Dialect(delimiter=",")).load(wanted)
    given = _given(table, names, np.ones(len(table.target), bool))
    return replace(given, round=table.columns[ROUND].astype(np.int64))


def together(before: Given | None, new: Given) -> Given:
    """All of them, the new ones as the next round; a row that was given before has its newest verdict."""
    if before is None:
        return new
    number = int(before.round.max(initial=0)) + 1
    again = set(map(_key, zip(*new.columns.values(), strict=True)))
    still = np.array([_key(row) not in again for row in zip(*before.columns.values(), strict=True)], bool)
    return Given(
        {name: np.concatenate([before.columns[name][still], column]) for name, column in new.columns.items()},
        np.concatenate([before.is_missed[still], new.is_missed]),
        np.concatenate([before.round[still], np.full(len(new.is_missed), number)]),
    )


def raw(given: Given, inputs: Sequence[str], features: Sequence[str]) -> dict[str, Array]:
    """The rows as the model's public inputs: its columns, or all numbers side by side as `features`."""
    if list(inputs) == ["features"] and "features" not in given.columns:
        return {"features": np.stack([given.columns[name] for name in features], axis=1)}
    return {name: given.columns[name] for name in inputs}


def _given(table: Table, names: Sequence[str], chosen: Array) -> Given:
    columns = {name: table.columns[name][chosen] for name in names}
    missed: Array = table.columns[COLUMN][chosen] == MISSED
    return Given(columns, missed.astype(bool), np.ones(int(chosen.sum()), np.int64))


def _key(row: tuple[object, ...]) -> tuple[object, ...]:
    """NaN is not equal to itself, and a missing value is the same missing value."""
    return tuple(None if isinstance(value, float | np.floating) and np.isnan(value) else value for value in row)


def shown(value: object) -> str:
    """A raw value as a file has it: of a float32 the fewest digits that give it back, nothing where it is missing."""
    return "" if isinstance(value, float | np.floating) and np.isnan(value) else str(value)


def _line_of(path: Path, verdict: str) -> int:
    rows = Rows(path, Dialect(), wanted=COLUMN)
    for row in rows:
        if row[rows.header.index(COLUMN)] == verdict:
            break
    return rows.line
