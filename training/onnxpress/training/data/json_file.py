"""JSON files of records, streamed: a file of any size is read in one pass and never held whole."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

import msgspec

from onnxpress.core.errors import BadData
from onnxpress.core.optional import require
from onnxpress.training.data.table import Builder, Reading, Table


class JsonFile(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag="json", tag_field="source"):
    """A list of records, `[{"domain": "example.com", "label": "legit"}, …]`, or one record a line (`.jsonl`)."""

    path: str
    """of the file, from the recipe's folder"""
    target: str
    """the field of labels, or of the values to predict"""
    records: str = ""
    """where the list is in the document, e.g. `data.rows`; default: the document is the list"""

    def load(self, reading: Reading | None = None) -> Table:
        """Read it in one pass. Raises BadData with file, record and field of the first fault."""
        path = Path(self.path)
        try:
            with path.open("rb") as file:
                return self._read(_lines(file, path) if path.suffix == ".jsonl" else self._items(file, path), reading)
        except OSError as error:
            raise BadData(f"cannot be read: {error.strerror}", where=str(path)) from None

    def _read(self, records: Iterator[tuple[Any, str]], reading: Reading | None) -> Table:
        first = next(records, None)
        if first is None:
            raise BadData("there are no records", where=self.path, hint="see data.records for a list deeper inside")
        builder: Builder | None = None
        for record, where in itertools.chain([first], records):
            if not isinstance(record, dict):
                raise BadData(f"{str(record)[:40]!r} is no record", where=where)
            if builder is None:
                settled = (reading or Reading()).columns(list(record), self.target, where=where)
                builder = Builder(settled, self.target)
            builder.add(record.items(), where=where)
        assert builder is not None
        return builder.table(where=self.path)

    def _items(self, file: IO[bytes], path: Path) -> Iterator[tuple[Any, str]]:
        ijson = require("ijson", needed_by="streaming a JSON file")
        prefix = f"{self.records}.item" if self.records else "item"
        number = 0
        try:
            for record in ijson.items(file, prefix, use_float=True):
                number += 1
                yield record, f"{path}, record {number}"
        except ijson.JSONError as error:
            what = str(error).splitlines()[0].removeprefix("lexical error: ")
            raise BadData(f"is not JSON after record {number}: {what}", where=str(path)) from None


def _lines(file: IO[bytes], path: Path) -> Iterator[tuple[Any, str]]:
    for number, line in enumerate(file, 1):
        if line.strip():
            try:
                yield msgspec.json.decode(line), f"{path}:{number}"
            except msgspec.DecodeError as error:
                raise BadData(f"is not JSON: {error}", where=f"{path}:{number}") from None
