"""What a column of a file looks like: its kind, told from the values, and what a person would want to know of it."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Literal

from onnxpress.training.data.table import MISSING

Kind = Literal["number", "category", "text", "identifier", "constant", "empty", "mixed"]

_MOST_DISTINCT = 2000
"""values that are told apart; a column with more of them is no category"""
_MOST_CATEGORIES = 200
_IDENTIFIER = re.compile(r"(^|_)(id|uuid|guid|key|index|no|nr|number)$|^unnamed|^$", re.IGNORECASE)
_WORDY = 3.0
"""words of the usual value, from which a column is text that somebody wrote"""


class Column:
    """Takes one value after the other; what it tells is of those that it has seen."""

    def __init__(self, name: str, *, decimal: str = ".") -> None:
        self.name = name
        self._decimal = decimal
        self.rows = self.missing = 0
        self.values: Counter[str] = Counter()
        """how often each came, while they are few"""
        self._many = False
        self._numbers = self._whole = True
        self._texts = 0
        self._words = 0
        self.low, self.high = math.inf, -math.inf

    def add(self, value: object) -> None:
        """One row's value: text as a CSV file has it, or what JSON has."""
        self.rows += 1
        # As a table reads it, blanks around it included: a label of another spelling would never come.
        whole = "" if value is None else str(value).lower() if isinstance(value, bool) else str(value)
        text = whole.strip()
        if text in MISSING:
            self.missing += 1
            return
        self._words += len(text.split())
        self._texts += isinstance(value, str)
        if not self._many:
            self.values[whole] += 1
            self._many = len(self.values) > _MOST_DISTINCT
        if self._numbers:
            text = str(int(value)) if isinstance(value, bool) else text
            self._read_number(text if self._decimal == "." else text.replace(self._decimal, "."), value)

    def _read_number(self, text: str, value: object) -> None:
        try:
            number = float("none" if self._decimal == "," and "." in str(value) else text)
        except ValueError:
            self._numbers = False
            return
        if not math.isfinite(number):
            self._numbers = False
            return
        self._whole = self._whole and number.is_integer()
        self.low, self.high = min(self.low, number), max(self.high, number)

    @property
    def present(self) -> int:
        """Rows that have a value."""
        return self.rows - self.missing

    @property
    def kind(self) -> Kind:
        """A number that names rows, each once, is an identifier; a text of many words, or of many values, is text."""
        if not self.present:
            return "empty"
        if len(self.values) == 1:
            return "constant"
        each_once = self._many or len(self.values) == self.present
        if self._numbers:
            named_so = _IDENTIFIER.search(self.name) is not None
            return "identifier" if each_once and self._whole and named_so and self.present > 2 else "number"
        if self._texts < self.present:
            return "mixed"
        if self._words / self.present >= _WORDY and len(self.values) > 2:
            return "text"
        if self._many or len(self.values) > _MOST_CATEGORIES or (each_once and self.present > 10):
            return "identifier" if each_once and _IDENTIFIER.search(self.name) else "text"
        return "category"

    @property
    def numeric(self) -> bool:
        """Whether every value is a number."""
        return self._numbers and self.present > 0

    @property
    def labels(self) -> int:
        """How many classes it would make: its values, or 0 where they are numbers of a scale or too many."""
        most = 20 if self.numeric else _MOST_CATEGORIES
        if self._many or len(self.values) > most or not self.present or (self.numeric and not self._whole):
            return 0
        return len(self.values) if self.present >= 2 * len(self.values) else 0

    def words(self) -> str:
        """For people: `numbers from 0.1 to 7, 3 of 150 missing`."""
        told = {
            "number": f"numbers from {self.low:g} to {self.high:g}",
            "category": f"text, {len(self.values)} values",
            "text": "text, many values",
            "identifier": "a name for each row",
            "constant": "one value only",
            "mixed": "texts and other values mixed",
            "empty": "no values",
        }[self.kind]
        return told if not self.missing or self.kind == "empty" else f"{told}, {self.missing} of {self.rows} missing"


def of_rows(rows: Iterable[Mapping[str, object]], *, decimal: str = ".") -> list[Column]:
    """The columns in the order in which they first come; a row that lacks one is missing a value there."""
    found: dict[str, Column] = {}
    for before, row in enumerate(rows):
        for name, value in row.items():
            if name not in found:
                column = found[name] = Column(name, decimal=decimal)
                column.rows = column.missing = before
            found[name].add(value)
        for column in found.values():
            if column.rows == before:
                column.add(None)
    return list(found.values())
