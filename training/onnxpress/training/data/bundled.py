"""Tables that installed packages carry: no download, nothing copied."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Literal

import msgspec
import numpy as np

from onnxpress.core.errors import BadData
from onnxpress.core.optional import missing, require
from onnxpress.training.data.csv_file import CsvFile
from onnxpress.training.data.table import Reading, Table


class Bundled(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag="sklearn", tag_field="source"):
    """A table of numbers that scikit-learn carries."""

    table: Literal["breast_cancer", "wine", "iris", "diabetes"]
    """the first three are classified, diabetes has a value to predict"""

    def load(self, reading: Reading | None = None) -> Table:
        """Read it. Raises MissingExtra without scikit-learn."""
        datasets = require("sklearn.datasets", needed_by=f"the table {self.table}")
        bunch = getattr(datasets, f"load_{self.table}")()
        names = [str(name) for name in bunch.feature_names]
        regression = self.table == "diabetes"
        wanted = (reading or Reading()).columns([*names, "target"], "target", where=self.table)
        if (wanted.target == "number") != regression:
            raise BadData(f"the target is {'a value' if regression else 'a label'}", where=self.table)
        rows = bunch.data.astype(np.float32)
        return Table(
            {name: np.ascontiguousarray(rows[:, names.index(name)]) for name in wanted.numbers or ()},
            bunch.target.astype(np.float32) if regression else bunch.target_names[bunch.target].astype(np.str_),
        )


class Penguins(
    msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag="palmerpenguins", tag_field="source"
):
    """344 penguins of three species (Horst, Hill and Gorman 2020, CC0), from the package `palmerpenguins`."""

    target: str = "species"
    """the column of labels"""

    def load(self, reading: Reading | None = None) -> Table:
        """Read it. Raises MissingExtra without the package."""
        return CsvFile(
            path=str(package_folder("palmerpenguins", needed_by="the table of penguins") / "data" / "penguins.csv"),
            target=self.target,
        ).load(reading)


def package_folder(package: str, *, needed_by: str) -> Path:
    """Where an installed package lies; it is not imported. Raises MissingExtra where it is not installed."""
    spec = importlib.util.find_spec(package)
    if spec is None or not spec.submodule_search_locations:
        raise missing(package, needed_by)
    return Path(spec.submodule_search_locations[0])
