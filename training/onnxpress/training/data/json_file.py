"""JSON files of records, streamed: a file of any size is read in one pass and never held whole."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

import msgspec

from onnxpress.core.errors import BadData
from onnxpress.core.optional import require
from onnxpress.training.data.labelled_files import LabelledFiles
from onnxpress.training.data.table import Builder, Reading, Table

_LINES = (".jsonl", ".ndjson")
SUFFIXES = (".json", *_LINES)


class JsonFile(LabelledFiles, frozen=True, kw_only=True, forbid_unknown_fields=True, tag="json", tag_field="source"):
    """A list of records, `[{"domain": "example.com", "label": "legit"}, …]`, or one record a line (`.jsonl`).

    A record may be an object, a list of values or a single value: `columns` names these. The document may also be an
    object whose values are the records: `key` names the column of their keys. A field within a field has its path as
    name, `whois.registrar` or `addresses.0`.
    """

    records: str = ""
    """where the records are in the document, e.g. `data.rows`; default: the document is the list"""
    key: str | None = None
    """the column of the keys, where the records are the values of an object"""

    def load(self, reading: Reading | None = None) -> Table:
        """Read them in one pass. Raises BadData with file, record and field of the first fault."""
        reading = reading or Reading()
        builder: Builder | None = None
        told: dict[str, int] = {}
        first = ""
        for path, label in self._parts(SUFFIXES):
            first = first or str(path)
            count = 0
            for fields, where in self.records_of(path):
                builder = builder or self._builder(reading, list(fields), where=where)
                builder.add(fields.items(), where=where, label=label)
                count += 1
            if not count:
                raise BadData("there are no records", where=str(path), hint="see data.records for a list deeper inside")
            told[str(path)] = count
        assert builder is not None, "there is a file"
        return builder.table(where=first, report={"records": told})

    def records_of(self, path: Path) -> Iterator[tuple[dict[str, object], str]]:
        """Each record's fields, and where it stands, in one pass. Raises BadData with file, record and fault."""
        try:
            with path.open("rb") as file:
                found = _lines(file, path) if path.suffix in _LINES else self._items(file, path)
                for record, where in found:
                    yield self._fields(record, where), where
        except OSError as error:
            raise BadData(f"cannot be read: {error.strerror}", where=str(path)) from None

    def _fields(self, record: Any, where: str) -> dict[str, object]:
        if isinstance(record, dict):
            return record
        values = record if isinstance(record, list) else [record]
        if len(values) != len(self.columns):
            shown = f"{str(record)[:40]!r} is no record"
            if self.columns:
                shown = f"{len(values)} values where data.columns names {len(self.columns)}"
            hint = "name the values in data.columns" if not self.columns else None
            raise BadData(shown, where=where, hint=hint)
        return dict(zip(self.columns, values, strict=True))

    def _items(self, file: IO[bytes], path: Path) -> Iterator[tuple[Any, str]]:
        ijson = require("ijson", needed_by="streaming a JSON file")
        number = 0
        try:
            is_object = self._is_object(ijson, file, path)
            file.seek(0)
            if not is_object:
                prefix = f"{self.records}.item" if self.records else "item"
                for record in ijson.items(file, prefix, use_float=True):
                    number += 1
                    yield record, f"{path}, record {number}"
                return
            for name, record in ijson.kvitems(file, self.records, use_float=True):
                number += 1
                where = f"{path}, record {name!r}"
                fields = self._fields(record, where)
                yield (fields | {self.key: name} if self.key else fields), where
        except ijson.JSONError as error:
            what = str(error).splitlines()[0].removeprefix("lexical error: ")
            raise BadData(f"is not JSON after record {number}: {what}", where=str(path)) from None

    def _is_object(self, ijson: Any, file: IO[bytes], path: Path) -> bool:
        """Whether the records are the values of an object.

        Raises BadData for an object that holds a list of records, whose name is to be given.
        """
        events = ijson.parse(file, use_float=True)
        for prefix, event, _ in events:
            if prefix == self.records and event == "start_map":
                break
            if prefix == self.records and event == "start_array":
                return False
        else:
            return False
        for place, event, _ in events:
            if event != "map_key" and place != self.records:
                inner = place.removeprefix(f"{self.records}.")
                following = next(events, ("", "", None))[1] if event == "start_array" else ""
                if following == "start_map":
                    raise BadData(
                        f"the records are in a field of it: {inner}",
                        where=str(path),
                        hint=f"set data.records to {place}",
                    )
                return True
        return True


def _lines(file: IO[bytes], path: Path) -> Iterator[tuple[Any, str]]:
    for number, line in enumerate(file, 1):
        if line.strip():
            try:
                yield msgspec.json.decode(line), f"{path}:{number}"
            except msgspec.DecodeError as error:
                raise BadData(f"is not JSON: {error}", where=f"{path}:{number}") from None
