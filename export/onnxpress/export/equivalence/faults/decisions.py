"""Faults in what a graph decides: comparisons, conditions, masks, extremes, activations, rows of tables."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import numpy as np
import onnx

from onnxpress.core.arrays import Array
from onnxpress.export.equivalence.faults.planting import (
    Edit,
    Random,
    Sites,
    attribute,
    change,
    change_input,
    constant,
    label,
    numbered,
    plants,
    scalar,
    taken,
)
from onnxpress.export.equivalence.turns import Turn, turns
from onnxpress.export.graph.editing import nodes

_TURNED = {
    "Greater": ("GreaterOrEqual", "Less"),
    "GreaterOrEqual": ("Greater", "LessOrEqual"),
    "Less": ("LessOrEqual", "Greater"),
    "LessOrEqual": ("Less", "GreaterOrEqual"),
}
"""operator → the same without its own bound, and the other way round"""
_EXTREMES = {"Max": "Min", "Min": "Max", "ReduceMax": "ReduceMin", "ReduceMin": "ReduceMax", "And": "Or", "Or": "And"}


def _another_operator(place: int, operator: str) -> Edit:
    def edit(model: onnx.ModelProto) -> None:
        list(nodes(model.graph))[place].op_type = operator

    return edit


@plants("comparison turned")
def comparison(model: onnx.ModelProto, rng: Random) -> Sites:
    """`>` for `>=`, and `<` for `>`. Not where a loop could then run without end."""
    if any(True for _ in numbered(model, "Loop")):
        return
    for place, node in numbered(model, *_TURNED):
        for other in _TURNED[node.op_type]:
            yield f"{label(place, node)} → {other}", _another_operator(place, other)


@plants("integer threshold moved")
def threshold(model: onnx.ModelProto, rng: Random) -> Sites:
    """A bound of integers by one, and by a quarter: 4000 for 4001, and for 5000. Behind casts and scaling too."""
    known = {node.output[0]: (place, node) for place, node in numbered(model) if node.output}
    for turn in turns_of(model):
        place, node = known[turn.output]
        bound = constant(model, turn.constant) if turn.constant else None
        if bound is None or not bound.size or not turn.values.size:
            continue
        itself, at = turn.constant == node.input[turn.place], int(rng.integers(bound.size))
        for share, told in ((0.0, "one"), (0.25, "a quarter")):
            moved = partial(_moved, at=at, share=share)
            edit = change_input(place, turn.place, moved) if itself else change(turn.constant, moved)
            yield f"{label(place, node)} by {told}", edit


def turns_of(model: onnx.ModelProto) -> Sequence[Turn]:
    """Where the graph turns at a value of an integer input."""
    kinds = {kind for kind in onnx.TensorProto.DataType.values() if "INT" in onnx.TensorProto.DataType.Name(kind)}
    whole = [value.name for value in model.graph.input if value.type.tensor_type.elem_type in kinds]
    return turns(model, whole).found


def _moved(bounds: Array, *, at: int, share: float) -> Array:
    bounds.flat[at] += max(1, abs(bounds.flat[at]) * share)
    return bounds


@plants("condition or mask ignored")
def condition(model: onnx.ModelProto, rng: Random) -> Sites:
    """The same branch of a Where whatever its condition says."""
    for place, node in enumerate(model.graph.node):
        if node.op_type == "Where":
            for value in (True, False):
                yield f"{label(place, node)} always {value}", partial(_decided, node.output[0], value)


def _decided(output: str, value: bool, model: onnx.ModelProto) -> None:
    at, node = next((at, node) for at, node in enumerate(model.graph.node) if output in node.output)
    node.input[0] = f"{output}/decided"
    model.graph.node.insert(at, scalar(f"{output}/decided", value, np.bool_))


@plants("smallest for largest")
def extreme(model: onnx.ModelProto, rng: Random) -> Sites:
    """Max for Min, and `and` for `or`."""
    for place, node in numbered(model, *_EXTREMES):
        if len(node.input) > 1 or node.op_type.startswith("Reduce"):
            yield label(place, node), _another_operator(place, _EXTREMES[node.op_type])


@plants("activation dropped")
def activation(model: onnx.ModelProto, rng: Random) -> Sites:
    """A Relu that lets everything through."""
    for place, node in numbered(model, "Relu"):
        yield label(place, node), _another_operator(place, "Identity")


@plants("two rows of a table exchanged")
def row(model: onnx.ModelProto, rng: Random) -> Sites:
    """An embedding's row and the one after it."""
    for place, node in numbered(model, "Gather"):
        table = taken(model, node, 0)
        if table is None or table.ndim < 2 or table.dtype.kind != "f" or (attribute(node, "axis") or 0) != 0:
            continue
        at = int(rng.integers(len(table) - 1)) if len(table) > 1 else -1
        if at >= 0 and not np.array_equal(table[at], table[at + 1]):
            yield f"{label(place, node)} row {at}", change_input(place, 0, partial(_exchanged, at=at))


def _exchanged(table: Array, at: int) -> Array:
    table[[at, at + 1]] = table[[at + 1, at]]
    return table
