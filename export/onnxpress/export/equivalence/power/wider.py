"""Inputs beyond the questions: wherever a graph decides, values on both sides; every row of a table; every word.

No original is asked about them. The sound graph and a faulty copy of it answer, and where they differ lies a question
that was not asked.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from onnxpress.core.arrays import Array
from onnxpress.core.tensors import FLOATS, TensorSpec
from onnxpress.export.equivalence.cases import Case, generate
from onnxpress.export.equivalence.values import (
    Shown,
    around,
    far_integers,
    integer_bounds,
    magnitudes,
    vocabulary,
    within,
)
from onnxpress.export.graph.editing import nodes

if TYPE_CHECKING:
    import onnx

_DECIDE = {
    "Greater", "GreaterOrEqual", "Less", "LessOrEqual", "Equal", "Clip", "Max", "Min", "ThresholdedRelu", "Shrink",
}  # fmt: skip
_MOST_BOUNDS = 64
_MODES = 9
_FEW, _MANY = 8, 64
"""rows of a case; many where that takes next to no time"""
_LARGE = 1e6
"""a larger bound is a guard against infinity and no value of anybody's"""


def wider(
    specs: Sequence[TensorSpec],
    samples: Mapping[str, Array],
    graph: onnx.ModelProto,
    shown: Shown,
    *,
    seed: int,
    light: bool,
) -> list[Case]:
    """Nine cases of the kind `wider`, the same for a seed, inside the declared domains; of 64 rows where `light`."""
    generator = np.random.default_rng(seed)
    bounds = bounds_of(graph)
    found = []
    for mode in range(_MODES):
        rows = _MANY if light and mode % 2 else _FEW
        feeds = generate(specs, samples, {"batch": rows}, generator, shown)
        for spec in specs:
            feeds[spec.name] = _values(spec, feeds[spec.name], samples.get(spec.name), shown, bounds, mode, generator)
        found.append(Case("wider", rows, feeds, about=str(mode + 1)))
    return found


def bounds_of(graph: onnx.ModelProto) -> Array:
    """The constants that the graph compares with or clips at: float64, sorted, at most 64."""
    from onnx import numpy_helper

    constants = {value.name: value for value in graph.graph.initializer}
    for node in nodes(graph.graph):
        if node.op_type == "Constant" and node.attribute and node.attribute[0].HasField("t"):
            constants[node.output[0]] = node.attribute[0].t
    seen: set[float] = set()
    for node in nodes(graph.graph):
        if node.op_type not in _DECIDE:
            continue
        for attribute in node.attribute:
            seen.add(float(attribute.f))
        for name in node.input:
            if name in constants and int(np.prod(constants[name].dims)) <= _MOST_BOUNDS:
                value = numpy_helper.to_array(constants[name])
                if value.dtype.kind in "fiu":
                    seen.update(float(one) for one in value.ravel())
    kept = sorted(value for value in seen if abs(value) < _LARGE and value != 0)
    return np.array(kept[:: max(1, -(-len(kept) // _MOST_BOUNDS))], np.float64)


def _values(
    spec: TensorSpec,
    drawn: Array,
    sample: Array | None,
    shown: Shown,
    bounds: Array,
    mode: int,
    generator: np.random.Generator,
) -> Array:
    shape = drawn.shape
    if spec.dtype == "string":
        words = vocabulary(spec, sample, shown)
        return _through(np.array(words, object), shape, generator) if mode % 2 else drawn
    if spec.dtype == "bool":
        return _whole(np.array([False, True]), shape, mode, generator)
    if spec.dtype not in FLOATS:
        low, high = integer_bounds(spec, sample, shown)
        kept = bounds[(bounds >= low) & (bounds <= high) & (bounds == np.round(bounds))]
        near = np.unique(np.clip(np.concatenate([kept - 1, kept, kept + 1]), low, high)) if kept.size else kept
        turns = around(spec, shown)
        if mode == 4 and turns.size:
            return generator.choice(turns, shape)
        if mode == 5 and turns.size:
            return _whole(turns, shape, 2, generator)
        if mode == 4 and near.size:
            return generator.choice(near, shape).astype(spec.dtype)
        if mode == 6 and spec.name in shown.anywhere and spec.domain is None:
            return far_integers(spec, shape, sample, generator)
        every = np.arange(low, min(high, low + 10_000_000) + 1)
        return _whole(every, shape, mode, generator).astype(spec.dtype)
    return within(spec, _floats(spec, drawn, sample, bounds, mode, generator))


def _whole(every: Array, shape: tuple[int, ...], mode: int, generator: np.random.Generator) -> Array:
    """All values in turn; a row's first so many at the largest and the rest at the smallest, as masks are; or one."""
    if mode % 3 == 0 or not shape:
        return _through(every, shape, generator)
    if mode % 3 == 1 and len(shape) > 1:
        lengths = generator.integers(0, shape[-1] + 1, (*shape[:-1], 1))
        first, last = (every[-1], every[0]) if mode % 2 else (every[0], every[-1])
        return np.where(np.arange(shape[-1]) < lengths, first, last)
    row = generator.choice(every, (shape[0], *(1,) * (len(shape) - 1)))
    return np.array(np.broadcast_to(row, shape))


def _through(every: Array, shape: tuple[int, ...], generator: np.random.Generator) -> Array:
    """Every value, one after the other, from a random place on; as many as there are places for."""
    start = int(generator.integers(len(every)))
    return every[(start + np.arange(int(np.prod(shape)))) % len(every)].reshape(shape)


def _floats(
    spec: TensorSpec, drawn: Array, sample: Array | None, bounds: Array, mode: int, generator: np.random.Generator
) -> Array:
    shape = drawn.shape
    unit: Array = np.asarray(generator.standard_normal(shape))
    match mode:
        case 0:
            return drawn
        case 1:
            return unit
        case 2:
            return magnitudes(spec, shape, sample, generator)
        case 3:
            return 30 * unit
        case 4 if bounds.size:
            chosen = generator.choice(bounds, shape)
            near = chosen + np.abs(chosen) * generator.choice([-0.5, -0.1, 0.0, 0.1, 0.5], shape)
            return np.where(generator.random(shape) < 0.2, -near, near)
        case 5:
            return np.abs(unit) * 3
        case 6:
            return -np.abs(unit) * 3
        case 7:
            return np.where(generator.random(shape) < 0.8, 0.0, 5 * unit)
        case _:
            row = generator.standard_normal((shape[0], *(1,) * (len(shape) - 1))) if shape else unit
            return np.array(np.broadcast_to(3 * row, shape))
