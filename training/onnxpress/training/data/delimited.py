"""CSV text: its dialect, told from the first lines or by the recipe, and its rows with their line numbers."""

from __future__ import annotations

import csv
import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec

from onnxpress.core import csv_text
from onnxpress.core.errors import BadData

_DELIMITERS = (",", ";", "\t", "|")
_SEEN = 64 * 1024  # characters that are looked at to tell the dialect
_ROWS = 50
_LONGEST = 2**31 - 1
"""characters of one value: csv's own limit of 128 KiB is less than a document's"""
_Character = Annotated[str, msgspec.Meta(min_length=1, max_length=1)]


class Dialect(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How a CSV file is written; what is not given is told from its first lines."""

    delimiter: _Character | None = None
    """between values; default: the one of `,` `;` tab `|` that parts the first lines evenly"""
    quote: _Character | None = None
    """around values that have a delimiter in them; default: `"`, or `'` where the header's names stand in these"""
    decimal: Literal[".", ","] = "."
    """before the decimals of a number"""


@dataclass(frozen=True)
class Told:
    """What a file is written in."""

    delimiter: str
    quote: str
    escaped: bool
    """a quote within a value has a backslash before it; otherwise it stands twice"""
    spaced: bool = False
    """a blank follows each delimiter, and belongs to no value: `39, State-gov`"""

    def words(self) -> str:
        """For people: `values parted at ';', quoted by '"'`."""
        return f"values parted at {self.delimiter!r}, quoted by {self.quote!r}"


class Rows:
    """The rows of one file. `header` names the columns, `line` is the number of the last line that was read."""

    def __init__(self, path: Path, dialect: Dialect, *, columns: Sequence[str] = (), wanted: str | None = None) -> None:
        """`columns` names those of a file without a header line.

        `wanted` is one that must be there, which helps to tell the delimiter.
        """
        self._path, self._dialect, self._wanted = path, dialect, wanted
        self.header = list(columns)
        self.line = 0
        self.told = Told(",", '"', escaped=False)

    def __iter__(self) -> Iterator[list[str]]:
        """Every row that is not blank. Raises BadData with file and line of what cannot be read.

        A row of another width than the header's is such a thing.
        """
        csv.field_size_limit(max(csv.field_size_limit(), _LONGEST))
        try:
            with self._path.open(newline="", encoding=_encoding(self._path)) as file:
                self.told = _tell(file.read(_SEEN), self._dialect, self.header, self._wanted)
                file.seek(0)
                yield from self._rows(_reader(file, self.told))
        except OSError as error:
            raise BadData(f"cannot be read: {error.strerror}", where=str(self._path)) from None
        except UnicodeDecodeError as error:
            raise BadData(
                f"is not UTF-8 text: {error}",
                where=str(self._path),
                hint="save it as UTF-8",
            ) from None

    def _rows(self, reader: Any) -> Iterator[list[str]]:
        while True:
            try:
                row = next(reader, None)
            except csv.Error as error:
                raise BadData(f"is not CSV: {error}", where=f"{self._path}:{reader.line_num}") from None
            self.line = reader.line_num
            if row is None:
                return
            if not row:
                continue
            if not self.header:
                self.header = [name.strip() for name in row]
                continue
            if len(row) != len(self.header):
                raise BadData(
                    f"{len(row)} values where the header names {len(self.header)} columns",
                    where=f"{self._path}:{self.line}",
                    hint=None
                    if self._dialect.delimiter
                    else f"values were parted at {self.told.delimiter!r}; see data.dialect.delimiter",
                )
            yield row


def _encoding(path: Path) -> str:
    with path.open("rb") as file:
        return csv_text.encoding(file.read(2))


def _reader(lines: Any, told: Told) -> Any:
    return csv.reader(
        lines,
        delimiter=told.delimiter,
        quotechar=told.quote,
        doublequote=not told.escaped,
        escapechar="\\" if told.escaped else None,
        skipinitialspace=told.spaced,
        strict=True,
    )


def _tell(text: str, dialect: Dialect, columns: Sequence[str], wanted: str | None) -> Told:
    lines = text.splitlines(keepends=True)
    if len(text) == _SEEN:
        lines = lines[:-1] or lines
    first = next((line.strip() for line in lines if line.strip()), "")
    quote = dialect.quote or ("'" if '"' not in first and first[:1] == first[-1:] == "'" and len(first) > 1 else '"')
    escapes = [False, True] if f"\\{quote}" in text else [False]
    delimiters = [dialect.delimiter] if dialect.delimiter else _DELIMITERS
    choices = [
        Told(delimiter, quote, escaped, spaced=_is_spaced(lines, delimiter))
        for delimiter in delimiters
        for escaped in escapes
    ]
    return max(choices, key=lambda choice: _fitness(lines, choice, columns, wanted))


def _is_spaced(lines: list[str], delimiter: str) -> bool:
    """Whether a blank follows every delimiter of the first rows; the header may be without."""
    rows = [line for line in lines if line.strip()]
    counts = [(row.count(delimiter), row.count(f"{delimiter} ")) for row in rows[1:_ROWS] or rows]
    return delimiter != "\t" and all(parted == blanks > 0 for parted, blanks in counts)


def _fitness(
    lines: list[str], choice: Told, columns: Sequence[str], wanted: str | None
) -> tuple[bool, bool, int, bool, int]:
    """Has it the wanted column, has every row the header's two or more values, how many has that, is it even at all.

    A row that is cut off must not make one column of all. Then how many rows could be read; of equals the first is
    chosen.
    """
    rows: list[list[str]] = []
    try:
        for row in itertools.islice(_reader(lines, choice), _ROWS):
            rows += [row] if row else []
    except csv.Error:
        pass  # the text ends within a quoted value, or this is not its dialect: what came before it says enough
    if not rows:
        return False, False, 0, False, 0
    header = columns or [name.strip() for name in rows[0]]
    even = {len(row) for row in rows} == {len(header)}
    return wanted in header, even and len(header) > 1, len(header), even, len(rows)
