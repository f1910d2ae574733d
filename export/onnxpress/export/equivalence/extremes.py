"""Rows that drive every tensor inside a graph furthest both ways, chosen among many that are drawn.

A converter that clips, drops an activation or takes the other branch shows itself only on a row that gets there. Few
drawn rows do. So the graph itself is run on many, with its inner tensors as outputs, and the furthest become questions.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from onnxpress.core import domains
from onnxpress.core.arrays import Array
from onnxpress.core.errors import OnnxpressError
from onnxpress.core.manifest import SessionSettings
from onnxpress.core.tensors import FLOATS, TensorSpec
from onnxpress.export.equivalence.cases import Case, generate
from onnxpress.export.equivalence.values import Shown, declared, far_integers, magnitudes, normal
from onnxpress.serving.engine import Engine

if TYPE_CHECKING:
    import onnx

MOST = 24
"""rows of a case: not so many that a channel's noise is told by itself, see `cases`"""
_LIGHT = 20_000_000
"""bytes of a graph that is loaded and run in next to no time"""
_DRAWN = (1021, 509, 251, 127, 61, 31)
"""rows, as many as memory allows: primes, so that an axis of as many is the batch"""
_MOST_BYTES = 32_000_000
"""of all inner tensors together"""
_WIDE = 256
"""elements of a row's tensor, each of which is driven both ways where the graph decides by them"""
_DECIDE = frozenset(
    {"Relu", "LeakyRelu", "PRelu", "ThresholdedRelu", "Clip", "Max", "Min", "Abs", "Sign", "Where", "Greater", "Less"}
    | {"GreaterOrEqual", "LessOrEqual", "Equal", "HardSigmoid", "HardSwish", "Elu", "Celu", "Selu", "Gelu", "Gather"}
)
_NO_TENSORS = frozenset(
    {"Constant", "ConstantOfShape", "Shape", "Size", "If", "Loop", "Scan", "ZipMap", "Optional", "OptionalGetElement"}
    | {"SequenceConstruct", "SequenceEmpty", "SequenceInsert", "SequenceErase", "SequenceMap", "SplitToSequence"}
)
"""operators whose outputs hold no values of a row, or may be no tensors"""
_SEED = 20_261_129


def extremes(
    graph: onnx.ModelProto, specs: Sequence[TensorSpec], samples: Mapping[str, Array], shown: Shown
) -> list[Case]:
    """Up to two cases of at most 24 rows, the same for the same arguments: `extremes near` and `extremes far`.

    Near are ordinary rows: generated and standard normal ones. Far ones have every magnitude. Of each kind up to 1,021
    are drawn. None for a graph that is large, that has no batch, or whose inner tensors cannot be looked at.
    """
    if graph.ByteSize() > _LIGHT or not any("batch" in spec.shape for spec in specs):
        return []
    inner = _inner(graph)
    try:
        engine = _showing(graph, inner)
        one = engine.run(generate(specs, samples, {"batch": 1}, np.random.default_rng(_SEED), shown), inner)
    except OnnxpressError:
        return []
    most = _MOST_BYTES / max(sum(value.nbytes for value in one.values()), 1)
    rows = next((count for count in _DRAWN if count <= most), 0)
    if not rows:
        return []
    deciding = {name for node in graph.graph.node if node.op_type in _DECIDE for name in node.input}
    found = []
    for about, feeds in _pools(specs, samples, shown, rows).items():
        try:
            tensors = engine.run(feeds, inner)
        except OnnxpressError:
            continue
        if chosen := _furthest(tensors, rows, deciding):
            found.append(Case("extremes", len(chosen), _taken(specs, feeds, chosen), about=about))
    return found


def _inner(graph: onnx.ModelProto) -> list[str]:
    """The tensors that the main graph's nodes make."""
    made = [name for node in graph.graph.node if node.op_type not in _NO_TENSORS for name in node.output if name]
    return list(dict.fromkeys(made))


def _showing(graph: onnx.ModelProto, inner: Sequence[str]) -> Engine:
    """An engine whose outputs are also the inner tensors. Raises OnnxpressError where one of them cannot be shown."""
    import onnx

    copy = onnx.ModelProto()
    copy.CopyFrom(graph)
    there = {value.name for value in copy.graph.output}
    copy.graph.output.extend(onnx.ValueInfoProto(name=name) for name in inner if name not in there)
    settings = SessionSettings(optimization="none")
    return Engine.load(copy.SerializeToString(), settings=settings, threads=1, self_test=False)


def _pools(
    specs: Sequence[TensorSpec], samples: Mapping[str, Array], shown: Shown, rows: int
) -> dict[str, dict[str, Array]]:
    """The rows to choose from, by what they are: near ones, and far ones where an input takes such."""
    generator = np.random.default_rng(_SEED)
    near = generate(specs, samples, {"batch": rows}, generator, shown)
    far = generate(specs, samples, {"batch": rows}, generator, shown)
    reaches = False
    for spec in specs:
        if "batch" not in spec.shape:
            far[spec.name] = near[spec.name]
        elif spec.dtype in FLOATS and not declared(spec):
            drawn = np.moveaxis(near[spec.name], spec.shape.index("batch"), 0)  # a view
            drawn[::2] = normal(spec, drawn[::2].shape, generator)
            far[spec.name] = magnitudes(spec, drawn.shape, samples.get(spec.name), generator)
            far[spec.name] = np.moveaxis(far[spec.name], 0, spec.shape.index("batch"))
            reaches = True
        elif spec.name in shown.anywhere and spec.domain is None:
            far[spec.name] = far_integers(spec, far[spec.name].shape, samples.get(spec.name), generator)
            reaches = True
    pools = {"near": near} | ({"far": far} if reaches else {})
    return {about: domains.inside(specs, feeds) for about, feeds in pools.items()}


def _furthest(tensors: Mapping[str, Array], rows: int, deciding: set[str]) -> list[int]:
    """At most 24 rows, in their order: first those that hold the largest or the smallest value of a tensor, then those
    that do so for single elements of tensors that the graph decides by."""
    whole, single = np.zeros(rows, np.int64), np.zeros(rows, np.int64)
    for name, value in tensors.items():
        flat = _by_row(value, rows)
        if flat is None:
            continue
        ends = flat.max(1), flat.min(1)
        if ends[0].max() > ends[0].min() or ends[1].max() > ends[1].min():
            whole[ends[0].argmax()] += 1
            whole[ends[1].argmin()] += 1
        if name in deciding and flat.shape[1] <= _WIDE:
            telling = flat.max(0) > flat.min(0)
            for places in (flat.argmax(0), flat.argmin(0)):
                single += np.bincount(places[telling], minlength=rows)
    order = np.lexsort((-single, -whole))[:MOST]
    return sorted(int(row) for row in order if whole[row] or single[row])


def _by_row(value: Array, rows: int) -> Array | None:
    """The tensor as (rows, elements), what is not finite as 0; None where it has no batch, or no numbers."""
    if value.dtype.kind not in "fiub" or not value.size:
        return None
    axes = [axis for axis, size in enumerate(value.shape) if size == rows]
    if axes:
        value = np.moveaxis(value, axes[0], 0)
    elif not value.ndim or value.shape[0] % rows:
        return None
    flat = value.reshape(rows, -1)
    if value.dtype.kind == "b":
        return flat.mean(1, keepdims=True)  # as many true ones as there are, and as few
    return flat if value.dtype.kind != "f" else np.nan_to_num(flat, nan=0.0, posinf=0.0, neginf=0.0)


def _taken(specs: Sequence[TensorSpec], feeds: Mapping[str, Array], rows: Sequence[int]) -> dict[str, Array]:
    axes = {spec.name: spec.shape.index("batch") for spec in specs if "batch" in spec.shape}
    return {name: np.take(value, rows, axes[name]) if name in axes else value for name, value in feeds.items()}
