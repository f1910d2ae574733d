"""What sources of labelled rows have in common: files with a column of labels, or one label for each file."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import msgspec

from onnxpress.core.errors import BadData
from onnxpress.training.data import paths
from onnxpress.training.data.labels import Relabelled, Relabelling
from onnxpress.training.data.sampling import Sample
from onnxpress.training.data.table import Builder, Reading


class LabelledFiles(Relabelling, frozen=True, kw_only=True):
    """Give `path` and `target`, or `files`."""

    path: paths.Paths | None = None
    """of the file, from the recipe's folder; or several files, a folder, a pattern"""
    files: dict[str, paths.Paths] = msgspec.field(default_factory=dict)
    """label → the files whose rows all have it, in place of `path` and `target`"""
    target: str | None = None
    """the column of labels, or of the values to predict; a family that learns without them needs none"""
    columns: list[str] = msgspec.field(default_factory=list)
    """names for the values of rows that have none: of CSV files without a header line, of JSON lists"""
    sample: Sample | None = None
    """which rows to keep of classes that have many; default: all"""

    def __post_init__(self) -> None:
        super().__post_init__()
        if (self.path is None) == (not self.files):
            raise ValueError("give either path, or files with a label each")
        if self.files and self.target is not None:
            raise ValueError("files give each row its label, so there is no target")

    def _parts(self, suffixes: Sequence[str]) -> Iterator[tuple[Path, str | None]]:
        """Every file, with the label of all its rows where it has one."""
        if self.path is not None:
            yield from ((path, None) for path in paths.files(self.path, suffixes=suffixes))
        seen: dict[Path, str] = {}
        for label, given in self.files.items():
            for path in paths.files(given, suffixes=suffixes):
                if seen.setdefault(path, label) != label:
                    raise BadData(f"its rows are both {seen[path]!r} and {label!r}", where=str(path))
                yield path, label

    def _builder(self, reading: Reading, known: Sequence[str], *, where: str, decimal: str = ".") -> Builder:
        """For rows with the columns `known`."""
        if self.files and reading.target == "number":
            raise BadData("files have a label each, and the model says a value", where="data.files")
        if self.sample is not None and reading.target == "number":
            raise BadData("there are no classes to sample: the model says a value", where="data.sample")
        settled = reading.columns(known, self.target, where=where, files=bool(self.files))
        return Builder(settled, self.target, labels=Relabelled(self), sample=self.sample, decimal=decimal)
