"""Questions in CSV files, in whatever dialect they are written, and answers written as CSV.

A cell is read as its input's dtype says and never taken for another. An empty cell is missing: NaN where the input is a
float, an error where it is another number, the empty text where it is a string.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from onnxpress.core import csv_text
from onnxpress.core.arrays import Array
from onnxpress.core.errors import BadData
from onnxpress.core.tensors import FLOATS, TensorSpec
from onnxpress.serving.protocol.nested import array_of

SUFFIXES = (".csv", ".tsv")
_DELIMITERS = ",;\t|"
_MISSING = {"", "na", "n/a", "nan", "null", "none"}
_BOOLS = {"true": True, "false": False, "1": True, "0": False}


class _Table:
    """The cells of a file: a header, and rows as long as it is, with the number of the line that each ends in."""

    def __init__(self, path: Path, names: Sequence[str]) -> None:
        self.where = str(path)
        text = _text(path)
        csv.field_size_limit(max(csv.field_size_limit(), len(text)))  # by default a text of 128 KiB is an error
        self.delimiter = "\t" if path.suffix.lower() == ".tsv" else _delimiter(text, names)
        reader = _reader(text, self.delimiter)
        self.header: list[str] = []
        self.rows: list[list[str]] = []
        self.lines: list[int] = []
        blanks = 0
        try:
            for row in reader:
                if not row:
                    blanks += 1
                    continue
                if not self.header:
                    self.header = [cell.strip() for cell in row]
                    blanks = 0
                    continue
                if len(self.header) == 1:  # there a blank line is an empty cell, unless it is the file's end
                    self.rows += [[""]] * blanks
                    self.lines += range(reader.line_num - blanks, reader.line_num)
                blanks = 0
                if len(row) != len(self.header):
                    what = f"{len(row)} values where the header has {len(self.header)}"
                    raise BadData(what, where=f"{path}:{reader.line_num}")
                self.rows.append(row)
                self.lines.append(reader.line_num)
        except csv.Error as error:
            raise BadData(f"no CSV: {error}", where=f"{path}:{reader.line_num}") from None
        if not self.rows:
            raise BadData("there are no rows below the header", where=str(path))

    def column(self, name: str) -> list[str]:
        """The cells below this name. Raises BadData where two columns have it."""
        if self.header.count(name) > 1:
            raise BadData(f"there are two columns {name!r}", where=self.where)
        place = self.header.index(name)
        return [row[place] for row in self.rows]

    def values(self, spec: TensorSpec, name: str, cells: Sequence[str]) -> list[Any]:
        """The cells of a column as values of the dtype. Raises BadData with the line of the first that is none."""
        if spec.dtype == "string":
            return list(cells)
        found: list[Any] = []
        missing: list[int] = []
        read = _reading(spec.dtype, self.delimiter)
        for line, cell in zip(self.lines, cells, strict=True):
            text = cell.strip()
            if text.lower() in _MISSING:
                missing.append(line)
                found.append(None)
                continue
            try:
                found.append(read(text))
            except (ValueError, KeyError):
                what = f"{cell[:80]!r} in column {name!r} is no {spec.dtype}"
                raise BadData(what, where=f"{self.where}:{line}") from None
        if missing and (spec.dtype not in FLOATS or "nan" in spec.refuses):
            taker = f"{spec.name!r} takes no NaN" if spec.dtype in FLOATS else f"{spec.dtype} has no missing value"
            what = f"{len(missing)} of {len(cells)} cells in column {name!r} are missing, and {taker}"
            raise BadData(what, where=f"{self.where}:{missing[0]}", hint="fill them in, or leave these rows out")
        return found


def read(path: Path, specs: Sequence[TensorSpec]) -> dict[str, Array]:
    """Input name → array, with a row for each line below the header.

    Columns named like the inputs feed them; one of width k takes its values from NAME_0 to NAME_k-1. A single input of
    two axes takes all columns as its features, in their order. Raises BadData; OSError where the file is not there.
    """
    names = [spec.name for spec in specs]
    table = _Table(path, names)
    places = [_columns_of(spec, table.header) for spec in specs]
    if not all(places):
        if len(specs) != 1 or len(specs[0].shape) != 2:
            lacking = [name for name, place in zip(names, places, strict=True) if not place]
            said = "names none of the inputs" if len(lacking) == len(names) else "does not name the inputs"
            raise BadData(f"the header {said} {', '.join(lacking)}", where=str(path))
        _check_features(table)
        places = [list(table.header)]
    feeds = {}
    for spec, columns in zip(specs, places, strict=True):
        if len(specs) == 1 and columns == table.header:  # two may have the same name
            cells = [[row[place] for row in table.rows] for place in range(len(columns))]
        else:
            cells = [table.column(column) for column in columns]
        values: Any = [table.values(spec, *one) for one in zip(columns, cells, strict=True)]
        values = values[0] if len(spec.shape) == 1 else [list(row) for row in zip(*values, strict=True)]
        try:
            feeds[spec.name] = array_of(spec, values, null=True)
        except ValueError as error:
            raise BadData(str(error), where=str(path)) from None
    return feeds


def _columns_of(spec: TensorSpec, header: Sequence[str]) -> list[str]:
    """The columns that feed an input by their names; empty where they are not there."""
    rank, width = len(spec.shape), spec.shape[-1] if spec.shape else 0
    if spec.name in header and (rank == 1 or (rank == 2 and (width == 1 or isinstance(width, str)))):
        return [spec.name]
    if rank == 2 and isinstance(width, int):
        wide = [f"{spec.name}_{number}" for number in range(width)]
        if set(wide) <= set(header):
            return wide
    return []


def _check_features(table: _Table) -> None:
    """Refuse a header that is none, and a column that only numbers the rows."""
    if "" in table.header:
        number = table.header.index("") + 1
        hint = "pandas writes such a column for the index; use index=False"
        raise BadData(f"column {number} has no name", where=table.where, hint=hint)
    counted = [str(number) for number in range(len(table.header))]
    if table.header != counted:
        csv_text.refuse_numbers(table.header, table.where)


def _text(path: Path) -> str:
    content = path.read_bytes()
    try:
        return content.decode(csv_text.encoding(content))
    except UnicodeDecodeError as error:
        raise BadData(f"cannot be read: {error}", where=str(path), hint="save it as UTF-8") from None


def _reader(text: str, delimiter: str) -> Any:
    """csv's reader, which raises where a quote is not closed: it would swallow the rows behind it."""
    first = text[: text.find("\n")]
    # `a, "b"`: only without the blank is that a quoted cell.
    spaced = f"{delimiter} " in first
    return csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, skipinitialspace=spaced, strict=True)


def _delimiter(text: str, names: Sequence[str]) -> str:
    """The one that gives the header the inputs' names, else the most columns; the comma where they are equal."""
    counts = {}
    for delimiter in _DELIMITERS:
        try:
            header = [cell.strip() for cell in next(filter(None, _reader(text, delimiter)), [])]
        except csv.Error:
            continue
        if set(names) <= set(header):
            return delimiter
        counts[delimiter] = len(header)
    return max(counts, key=lambda delimiter: counts[delimiter], default=",")


def _reading(dtype: str, delimiter: str) -> Callable[[str], Any]:
    """How a cell's text becomes a value; raises ValueError or KeyError where it is none."""
    if dtype == "bool":
        return lambda text: _BOOLS[text.lower()]
    if dtype not in FLOATS:
        return lambda text: int(_plain(text))
    if delimiter == ";":  # where a comma parts no columns it is written in numbers: 1,5
        return lambda text: float(_plain(text.replace(",", ".", 1) if "." not in text else text))
    return lambda text: float(_plain(text))


def _plain(text: str) -> str:
    """The text, unless Python alone takes it for a number."""
    if "_" in text:
        raise ValueError(text)
    return text


def written(answers: Mapping[str, Array], where: str) -> bytes:
    """The answers as CSV: a column for each output, NAME_0, NAME_1 where it has several values a row.

    NaN is an empty cell, and a float has the digits that give it back. Raises BadData where an output has no rows, or
    others than the rest.
    """
    counts = {value.shape[0] if value.ndim else None for value in answers.values()}
    if len(counts) != 1 or None in counts:
        shapes = ", ".join(f"{name} {list(value.shape)}" for name, value in answers.items())
        hint = "name a .json or .npz file"
        raise BadData(f"the outputs have not one row each for the same rows: {shapes}", where=where, hint=hint)
    header: list[str] = []
    columns: list[list[str]] = []
    for name, value in answers.items():
        for index in _indices(value.shape[1:]):
            header.append("_".join([name, *map(str, index)]))
            place: Any = (slice(None), *index)
            columns.append(_cells(value[place]))
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow(header)
    writer.writerows(zip(*columns, strict=True))
    return buffer.getvalue().encode()


def _indices(shape: tuple[int, ...]) -> Sequence[tuple[int, ...]]:
    from itertools import product

    return list(product(*map(range, shape)))


def _cells(values: Array) -> list[str]:
    if values.dtype == object:
        return [str(value) for value in values.tolist()]
    if values.dtype == bool:
        return ["true" if value else "false" for value in values.tolist()]
    cells: list[str] = values.astype(str).tolist()
    return ["" if cell == "nan" else cell for cell in cells] if values.dtype.kind == "f" else cells
