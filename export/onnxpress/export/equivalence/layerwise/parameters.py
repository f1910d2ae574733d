"""The graph's constants against the framework's parameters, value by value: what no input may happen to show.

Converters transpose weights, reorder and join a recurrent layer's gates, and fold a batch norm into its neighbour. So a
parameter is looked for under its own name, then in any initializer: in any order of its axes, then as a set of values.
One that is mostly there, with a few values changed, is a fault. One that is not there at all was folded into others; it
is counted as not compared, and left to the other comparisons. One that was joined with others to a constant is computed
again from the originals, see `folded`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from itertools import permutations
from typing import TYPE_CHECKING, Any

import numpy as np

from onnxpress.core.arrays import Array
from onnxpress.core.processing import Processing
from onnxpress.export.equivalence.layerwise.folded import explained
from onnxpress.export.equivalence.report.schema import Check
from onnxpress.export.graph.compose import constants_of
from onnxpress.export.graph.editing import nodes

if TYPE_CHECKING:
    import onnx

_DISTINCT = 4
"""Fewer different values than this are found in other tensors by chance."""
_MOSTLY = 0.5
_NEARLY = 2e-3
"""Relative: nearer than that two small constants of different meaning were never seen."""
_FOLDED = 4e-7
"""Relative: what float32 leaves of a factor that is common to a channel, three roundings."""
_MAX_SORTED = 50_000_000
"""Elements; a larger initializer is compared in its own layout only."""


@dataclass
class Compared:
    """Parameters found unchanged, found changed (with what changed), and not found."""

    same: list[str] = field(default_factory=list)
    changed: dict[str, str] = field(default_factory=dict)
    absent: list[str] = field(default_factory=list)


def check(
    graph: onnx.ModelProto, parameters: Mapping[str, Array], processing: Processing
) -> tuple[list[Check], list[str]]:
    """The checks to report, and what could not be compared."""
    compared = compare(graph, parameters)
    compared.changed |= processing_constants(graph, processing)
    total = len(compared.same) + len(compared.changed) + len(compared.absent)
    if not total:
        return [], []
    shown = "; ".join(f"{name}: {what}" for name, what in list(compared.changed.items())[:3])
    detail = shown or f"{len(compared.same)} of {total} parameters are in the graph, bit by bit"
    left = [f"parameters folded into others: {', '.join(sorted(compared.absent)[:5])}"] if compared.absent else []
    return [Check(name="parameters", passed=not compared.changed, detail=detail)], left


def compare(graph: onnx.ModelProto, parameters: Mapping[str, Array]) -> Compared:
    """Look for every parameter among the graph's constants. `parameters`: name → array of any float dtype."""
    constants = _Constants(dict(_constants(graph)))
    compared = Compared()
    for name, parameter in parameters.items():
        if parameter.dtype.kind != "f" or not _telling(parameter).size:
            continue  # zeros and ones are in every graph, and often folded away
        named = next((own for own in (name, f"network/{name}") if own in constants.arrays), None)  # composed: prefixed
        if constants.holds(parameter, constants.of_size(parameter.size) if named is None else [named]):
            compared.same.append(name)
            continue
        own = None if named is None else constants.arrays[named]
        if own is not None and own.shape == parameter.shape:
            _judge_folded(name, parameter.astype(own.dtype, copy=False), own, compared)
        else:
            _as_sets(name, parameter, constants, compared)
        # One that has the parameter's name is what became of it; without, any may be.
        candidates = constants.arrays.values() if named is None else [constants.arrays[named]]
        if name in compared.changed and any(
            explained(parameter, constant, parameters)
            for constant in candidates
            if constant.size <= parameter.size and _telling(constant).size
        ):
            del compared.changed[name]
            compared.same.append(name)
    return compared


class _Constants:
    """The constants by name; what it takes to look for values among them is computed once."""

    def __init__(self, arrays: dict[str, Array]) -> None:
        self.arrays = arrays
        self._by_size: dict[int, list[str]] = {}
        for name, value in arrays.items():
            self._by_size.setdefault(value.size, []).append(name)
        self._sums: dict[str, int | None] = {}
        self._distinct: dict[str, Array] = {}

    def of_size(self, size: int) -> list[str]:
        """Those with so many values."""
        return self._by_size.get(size, [])

    def holds(self, parameter: Array, names: list[str]) -> bool:
        """Whether one of the named is the parameter in some order of the axes."""
        sums: dict[Any, int | None] = {}
        for name in names:
            constant = self.arrays[name]
            if constant.size != parameter.size:
                continue
            if name not in self._sums:
                self._sums[name] = _sum_of_bits(constant)
            if constant.dtype not in sums:
                sums[constant.dtype] = _sum_of_bits(parameter.astype(constant.dtype, copy=False))
            both = self._sums[name], sums[constant.dtype]
            # Trying the orders of two arrays that have not the same values would take most of the time.
            if (None in both or both[0] == both[1]) and _same_layout(parameter, constant):
                return True
        return False

    def distinct(self, name: str) -> Array:
        """The different values, in order."""
        if name not in self._distinct:
            self._distinct[name] = np.unique(self.arrays[name])
        return self._distinct[name]


def _sum_of_bits(values: Array) -> int | None:
    """The same for the same values in any order; None where there is a NaN, which has many forms."""
    flat = values.reshape(-1) + values.dtype.type(0)  # and so do the zeros
    if np.isnan(flat).any():
        return None
    return int(flat.view(f"u{flat.dtype.itemsize}").sum(dtype=np.uint64))


def processing_constants(graph: onnx.ModelProto, processing: Processing) -> dict[str, str]:
    """The constants of the pre- and post-processing that differ from their description, by name."""
    own = {value.name: value for value in graph.graph.initializer}
    from onnx import numpy_helper

    changed = {}
    for name, expected in constants_of(processing).items():
        if name in own:
            value = numpy_helper.to_array(own[name])
            if value.shape != expected.shape or not np.array_equal(value, expected):
                changed[name] = _difference(expected, value) if value.shape == expected.shape else "another shape"
    return changed


def _constants(proto: onnx.ModelProto) -> Iterator[tuple[str, Array]]:
    from onnx import TensorProto, numpy_helper

    kinds = {TensorProto.FLOAT, TensorProto.DOUBLE, TensorProto.FLOAT16, TensorProto.BFLOAT16}
    for value in proto.graph.initializer:
        if value.data_type in kinds:
            yield value.name, numpy_helper.to_array(value)
    for node in nodes(proto.graph):
        for attribute in node.attribute:
            if attribute.HasField("t") and attribute.t.data_type in kinds:
                yield node.output[0], numpy_helper.to_array(attribute.t)
            if attribute.floats:
                yield f"{node.output[0]}.{attribute.name}", np.array(attribute.floats, np.float32)


def _same_layout(parameter: Array, constant: Array) -> bool:
    """Equal in some order of the axes, once those of size one are dropped."""
    if parameter.size != constant.size:
        return False
    a, b = np.squeeze(parameter).astype(constant.dtype, copy=False), np.squeeze(constant)
    if a.ndim > 5:
        return bool(np.array_equal(a.ravel(), b.ravel()))
    if any(
        a.transpose(order).shape == b.shape and np.array_equal(a.transpose(order), b, equal_nan=True)
        for order in permutations(range(a.ndim))
    ):
        return True
    return any(
        np.array_equal(a.transpose(order).ravel(), b.ravel(), equal_nan=True) for order in permutations(range(a.ndim))
    )


def _judge_folded(name: str, parameter: Array, own: Array, compared: Compared) -> None:
    """Under its own name but not the same: a few values changed, or a batch norm folded in as a factor per channel."""
    if np.mean(parameter == own) >= _MOSTLY:
        compared.changed[name] = _difference(parameter, own)
        return
    for axis in range(parameter.ndim if parameter.ndim > 1 else 0):
        with np.errstate(all="ignore"):
            ratio = own.astype(np.float64) / parameter
            others = tuple(a for a in range(ratio.ndim) if a != axis)
            off = ~(np.abs(ratio / np.nanmedian(ratio, axis=others, keepdims=True) - 1) < _FOLDED)
        off &= np.isfinite(ratio)
        if not off.any():
            compared.same.append(name)
            return
        if off.mean() <= 1 - _MOSTLY:
            place = tuple(int(index) for index in np.argwhere(off)[0])
            compared.changed[name] = (
                f"{int(off.sum())} values are not scaled as their channel is, such as {list(place)}"
            )
            return
    compared.absent.append(name)


def _as_sets(name: str, parameter: Array, constants: _Constants, compared: Compared) -> None:
    """Where the layout is another: which constant holds the parameter's values, all of them or most."""
    if len(np.unique(_telling(parameter))) < _DISTINCT:
        _judge_small(name, parameter, constants.arrays, compared)
        return
    best, where = 0.0, ""
    missing = np.zeros(0)
    as_dtype: dict[Any, Array] = {}
    for other, constant in constants.arrays.items():
        if constant.size * 2 < parameter.size or constant.size > _MAX_SORTED:
            continue
        if constant.dtype not in as_dtype:
            values = _telling(parameter.astype(constant.dtype, copy=False))
            as_dtype[constant.dtype] = values if len(np.unique(values)) >= _DISTINCT else values[:0]
        values = as_dtype[constant.dtype]
        if not values.size:
            continue
        probe = values[:: max(1, len(values) // 64)]
        if _among(constants.distinct(other), probe).mean() <= max(best, _MOSTLY) / 2:
            continue  # float32 values of a narrow range meet by chance
        present = _among(constants.distinct(other), values)
        if present.mean() > best:
            best, where, missing = float(present.mean()), other, values[~present]
            if best == 1.0:
                break
    if best == 1.0:
        compared.same.append(name)
    elif best > _MOSTLY:
        lost = f"{len(missing)} of {parameter.size} values"
        compared.changed[name] = f"{lost} are not in {where!r}, such as {missing[0]:.9g}"
    else:
        compared.absent.append(name)


def _among(distinct: Array, values: Array) -> np.ndarray[Any, np.dtype[np.bool_]]:
    """Which of the values are in `distinct`, which is in order and not empty."""
    places = np.minimum(np.searchsorted(distinct, values), len(distinct) - 1)
    present: np.ndarray[Any, np.dtype[np.bool_]] = distinct[places] == values
    return present


def _judge_small(name: str, parameter: Array, constants: Mapping[str, Array], compared: Compared) -> None:
    """Too few values to be found by chance alone: changed where a constant of that size is nearly the same."""
    values = parameter.ravel()
    for other, constant in constants.items():
        near = constant.ravel()
        if near.size == values.size and np.abs(near - values).max() <= _NEARLY * np.abs(values).max():
            held = near.astype(parameter.dtype)
            compared.changed[name] = f"{_difference(values.astype(constant.dtype), held)} in {other!r}"
            return
    compared.absent.append(name)


def _telling(values: Array) -> Array:
    flat = values.ravel()
    kept: Array = flat[(flat != 0) & (np.abs(flat) != 1)]
    return kept


def _difference(expected: Array, held: Array) -> str:
    different = np.argwhere(~((expected == held) | (np.isnan(expected) & np.isnan(held))))
    if not len(different):
        return "another dtype"
    place = tuple(int(index) for index in different[0])
    shown = f"{list(place)}: {expected[place]:.9g} is {held[place]:.9g}"
    return f"{len(different)} of {expected.size} values differ, such as {shown}"
