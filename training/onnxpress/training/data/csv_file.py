"""CSV files, read row by row."""

from __future__ import annotations

from dataclasses import replace

from onnxpress.core.errors import BadData
from onnxpress.training.data.delimited import Dialect, Rows
from onnxpress.training.data.labelled_files import LabelledFiles
from onnxpress.training.data.table import Builder, Reading, Table

SUFFIXES = (".csv", ".tsv", ".txt")


class CsvFile(LabelledFiles, frozen=True, kw_only=True, forbid_unknown_fields=True, tag="csv", tag_field="source"):
    """CSV files in UTF-8 with a header line; numbers or text in the feature columns, any text as label."""

    features: list[str] | None = None
    """the numeric columns where the family does not name its own; default: every column but the target"""
    dialect: Dialect = Dialect()
    """how the files are written; what is not given is told from the first lines of each"""

    def load(self, reading: Reading | None = None) -> Table:
        """Read them in one pass. Raises BadData with file, line and column of the first fault."""
        reading = reading or Reading()
        if reading.numbers is None and self.features is not None:
            reading = replace(reading, numbers=tuple(self.features))
        builder: Builder | None = None
        told: dict[str, str] = {}
        nameless = 0
        first = ""
        for path, label in self._parts(SUFFIXES):
            rows = Rows(path, self.dialect, columns=self.columns, wanted=self.target)
            header: list[str] = []
            for row in rows:
                if builder is None:
                    builder = self._builder(reading, rows.header, where=str(path), decimal=self.dialect.decimal)
                if not header:
                    header = self._same(builder, rows.header, str(path))
                builder.add(zip(header, row, strict=True), where=f"{path}:{rows.line}", label=label)
            if not rows.header:
                raise BadData("the file is empty", where=str(path), hint="the first line must name the columns")
            if builder is None:  # a header without rows is still held against what is wanted
                builder = self._builder(reading, rows.header, where=str(path), decimal=self.dialect.decimal)
            told[str(path)] = rows.told.words()
            nameless = max(nameless, rows.header.count(""))
            first = first or str(path)
        assert builder is not None, "there is a file"
        left_out = {"columns_without_a_name": nameless} if nameless else {}
        return builder.table(where=first, report={"files": told, **left_out})

    def _same(self, builder: Builder, header: list[str], where: str) -> list[str]:
        """Raises BadData where a later file lacks a column."""
        lacking = [name for name in builder.wanted if name not in header]
        if lacking:
            raise BadData(f"no column {lacking[0]!r}, which the first file has", where=where)
        return header
