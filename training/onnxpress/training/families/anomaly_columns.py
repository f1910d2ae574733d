"""What stands before the autoencoder: columns imputed, scaled to [0, 1] and one-hot, fitted on the training rows."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from onnxpress.core.arrays import Array
from onnxpress.core.errors import BadData
from onnxpress.core.processing import Concatenate, Impute, Lookup, OneHot, Scale, Stack, Step, Unscale
from onnxpress.core.tensors import Domain, TensorSpec
from onnxpress.training.data import scaling
from onnxpress.training.data.split import Rows
from onnxpress.training.data.table import Table
from onnxpress.training.families.sizes import embedding_width

SCALED = "scaled"
"""the network's input, (rows, width)"""
TENSORS = frozenset({SCALED, "raw_numbers", "whole_numbers", "scaled_numbers"})
"""what the steps before it make, beside those that are called after a column"""


@dataclass(frozen=True)
class Columns:
    """The steps from raw rows to `scaled`, and back from `decoded` to `reconstruction`."""

    raw: dict[str, Array]
    """public input → its rows"""
    before: list[Step]
    inputs: list[TensorSpec]
    names: list[str]
    """of each of the network's columns: `amount`, or `country=CH` of a category"""
    back: Unscale
    embedded: list[list[int]]
    """[first column, columns, width of the vector] of each category that is embedded"""

    @property
    def width(self) -> int:
        """How many columns the network has."""
        return len(self.names)


def fitted(table: Table, train: Rows, actions: Mapping[str, str]) -> Columns:
    """By each column's action, `scale`, `onehot` or `embed`; without actions every column is a number of one tensor.

    Missing numbers become the median of the training rows where there are some, or where actions are given. Raises
    BadData for a column without a value.
    """
    if not actions:
        rows_x = table.x
        names = table.feature_names
        steps, whole = _numbers("features", rows_x[train], names, output=SCALED, impute=bool(np.isnan(rows_x).any()))
        spec = TensorSpec(name="features", dtype="float32", shape=("batch", len(names)))
        return Columns({"features": rows_x}, steps, [spec], names, _back(whole, onehot=0), [])
    numeric = [name for name, action in actions.items() if action == "scale"]
    before: list[Step] = []
    scale: Scale | None = None
    sides, names = [], list(numeric)
    if numeric:
        seen = np.stack([table.columns[name][train] for name in numeric], axis=1)
        steps, scale = _numbers("raw_numbers", seen, numeric, output="scaled_numbers", impute=True)
        before += [Stack(inputs=numeric, output="raw_numbers"), *steps]
        sides.append("scaled_numbers")
    embedded: list[list[int]] = []
    for name in (name for action in ("onehot", "embed") for name in actions if actions[name] == action):
        known = sorted(set(table.columns[name][train]) - {""})
        if not known:
            raise BadData("has no value in the training rows", where=f"column {name!r}", hint="set it to drop")
        before.append(Lookup(input=name, output=f"{name}/id", values=known))
        before.append(OneHot(input=f"{name}/id", output=f"{name}/onehot", size=len(known) + 1))
        sides.append(f"{name}/onehot")
        if actions[name] == "embed":
            embedded.append([len(names), len(known) + 1, embedding_width(len(known) + 1)])
        names += [f"{name}=?", *(f"{name}={value}" for value in known)]
    before.append(Concatenate(inputs=sides, output=SCALED))
    raw = {name: table.columns[name] for name in actions if name in table.columns}
    inputs = [_spec(name, column[train]) for name, column in raw.items()]
    return Columns(raw, before, inputs, names, _back(scale, onehot=len(names) - len(numeric)), embedded)


def _numbers(raw: str, seen: Array, names: list[str], *, output: str, impute: bool) -> tuple[list[Step], Scale]:
    steps: list[Step] = []
    if impute:
        empty = [name for name, column in zip(names, seen.T, strict=True) if np.isnan(column).all()]
        if empty:
            raise BadData("has no value in the training rows", where=f"column {empty[0]!r}", hint="leave it out")
        median = np.nanmedian(seen, axis=0).astype(np.float32)
        steps.append(Impute(input=raw, output="whole_numbers", values=median.astype(float).tolist()))
        seen, raw = np.where(np.isnan(seen), median, seen), "whole_numbers"
    scale = scaling.min_max(seen, names, raw=raw, scaled=output)
    return [*steps, scale], scale


def _back(scale: Scale | None, *, onehot: int) -> Unscale:
    """Numbers in their units; of categories the network's own values."""
    offset, unit = [0.0] * onehot, [1.0] * onehot
    if scale is not None:
        step = scaling.inverse(scale, input="decoded", output="reconstruction")
        offset, unit = [*step.offset, *offset], [*step.unit, *unit]
    return Unscale(input="decoded", output="reconstruction", offset=offset, unit=unit)


def _spec(name: str, column: Array) -> TensorSpec:
    if column.dtype.kind == "f":
        return TensorSpec(name=name, dtype="float32", shape=("batch",))
    return TensorSpec(name=name, dtype="string", shape=("batch",), domain=Domain(values=sorted(set(column))))
