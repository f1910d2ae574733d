"""If, Loop and Scan: graphs within the graph.

Whatever decides which graph runs, and how often, has to be the same for every batch; then the batch and the row alone
go through the same steps. What a loop carries is widened until its body gives back what it was given.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from onnxpress.core.onnx_graph import Graph
from onnxpress.core.rows.call import Call, rule
from onnxpress.core.rows.sizes import Polynomial, Size
from onnxpress.core.rows.values import FREE, Rows, Taint, Value

_ROUNDS = 12
"""of widening; each round lowers at least one of a few things known of a value"""


@rule("If", pure=False)
def _if(call: Call) -> Sequence[Value]:
    condition = call.value(0)
    branches = [_graph(call, name) for name in ("then_branch", "else_branch")]
    if condition.elements is not None and len(condition.elements) == 1 and isinstance(condition.elements[0], bool):
        return _run(call, branches[0 if condition.elements[0] else 1])
    if condition.taint is not None or condition.rows is not None:
        raise call.refused("which branch runs is computed from the rows or their number")
    one, other = (_run(call, branch) for branch in branches)
    if len(one) != len(other):
        raise call.refused("its branches have different outputs")
    return [_either(call, *pair) for pair in zip(one, other, strict=True)]


def _graph(call: Call, name: str) -> Graph:
    attribute = call.attribute(name)
    graph = None if attribute is None else attribute.graph()
    if graph is None:
        raise call.refused(f"its graph {name} is missing")
    return graph


def _run(call: Call, graph: Graph, inputs: Sequence[Value] = ()) -> list[Value]:
    return call.walk.within(graph, call.scope, inputs, call.bound)


def _either(call: Call, one: Value, other: Value) -> Value:
    """What holds of both values."""
    if one == other:
        return one
    for value in (one, other):
        if value.taint is not None:
            return Value(taint=value.taint)
    if one.ragged != other.ragged or one.numbers != other.numbers:
        return _unlike(call)
    if one.numbers is not None and one.below != other.below:
        return _unlike(call)
    if one.rows != other.rows:
        return _unlike(call)
    if one.shape is None or other.shape is None or len(one.shape) != len(other.shape):
        return FREE if one.rows is None else _unlike(call)
    sizes = []
    for axis, (a, b) in enumerate(zip(one.shape, other.shape, strict=True)):
        if a == b or (one.rows is not None and axis == one.rows.axis):
            sizes.append(a)
        else:
            sizes.append(call.fresh())
    elements = one.elements if one.elements == other.elements else None
    below = one.below if one.below == other.below else None
    return Value(tuple(sizes), one.rows, None, elements, one.numbers, one.ragged, below)


def _unlike(call: Call) -> Value:
    reason = "its branches, or its steps, give rows in different places"
    return Value(taint=Taint(call.node.title, call.node.operator, reason, False))


def _fixpoint(call: Call, start: Sequence[Value], body: Callable[[list[Value]], list[Value]]) -> list[Value]:
    """What holds of the carried values before and after every step."""
    made = call.symbols.count
    carried = list(start)
    for _ in range(_ROUNDS):
        after = body(carried)
        if len(after) != len(carried):
            raise call.refused("its graph does not fit what it carries")
        widened = [_either(call, *pair) for pair in zip(carried, after, strict=True)]
        if all(_covers(call, old, new, made) for old, new in zip(carried, after, strict=True)):
            return carried
        # A size that changed once is left open, so that the next round sees it unchanged or open again.
        carried = widened
    raise call.refused("what it carries does not settle")


def _covers(call: Call, old: Value, new: Value, made: int) -> bool:
    """Whether the old description, in which sizes made since then stand for any, holds of the new value too."""
    if old == new or old.taint is not None:
        return True
    if new.taint is not None or old.rows != new.rows or old.numbers != new.numbers or old.ragged != new.ragged:
        return False
    if old.elements is not None and old.elements != new.elements:
        return False
    if old.below is not None and old.below != new.below:
        return False
    if old.shape is None:
        return True
    if new.shape is None or len(new.shape) != len(old.shape):
        return False
    # Only `_either` puts a size made since then into what is carried, and one of its own for each axis.
    return all(a == b or call.symbols.since(a, made) for a, b in zip(old.shape, new.shape, strict=True))


@rule("Loop", pure=False)
def _loop(call: Call) -> Sequence[Value]:
    graph = _graph(call, "body")
    for number, what in ((0, "how often it runs"), (1, "whether it runs")):
        if call.given(number):
            _decides(call, call.value(number), what)
    start = [call.value(number) for number in range(2, len(call.inputs))]
    made = call.symbols.count
    results: list[Value] = []

    def step(carried: list[Value]) -> list[Value]:
        results[:] = _run(call, graph, [Value(()), Value(()), *carried])
        if results:
            _decides(call, results[0], "whether it goes on")
        return results[1 : 1 + len(start)]

    final = _fixpoint(call, start, step)
    scanned = [_stacked(call, value, 0, call.fresh()) for value in results[1 + len(start) :]]
    return [_after(call, value, made) for value in [*final, *scanned]]


def _decides(call: Call, value: Value, what: str) -> None:
    if value.taint is not None or value.rows is not None:
        raise call.refused(f"{what} is computed from the rows or their number")


def _stacked(call: Call, value: Value, axis: int, count: Size) -> Value:
    """The values of all steps along a new axis."""
    if value.taint is not None:
        return value
    if value.numbers is not None or value.ragged is not None:
        raise call.refused("row numbers are collected")
    if value.shape is None:
        return FREE if value.rows is None else _unlike(call)
    at = call.axis(axis, len(value.shape) + 1)
    rows = value.rows
    if rows is not None and rows.axis >= at:
        rows = rows.at(rows.axis + 1)
    return Value((*value.shape[:at], count, *value.shape[at:]), rows)


def _after(call: Call, value: Value, made: int) -> Value:
    """With new names for the sizes made within the loop: there they stood for a different size in every step."""
    if value.shape is None or value.taint is not None:
        return value
    rows = value.rows
    if rows is not None and (call.symbols.since(rows.outer, made) or call.symbols.since(rows.inner, made)):
        raise call.refused("how its rows lie changes from step to step")
    sizes = [
        call.fresh() if (rows is None or axis != rows.axis) and call.symbols.since(size, made) else size
        for axis, size in enumerate(value.shape)
    ]
    elements, below = value.elements, value.below
    if any(isinstance(one, Polynomial) and call.symbols.since(one, made) for one in elements or ()):
        elements = None
    if below is not None and call.symbols.since(below, made):
        below = None
    stride = 1 if value.numbers is None else value.numbers.stride
    if value.numbers is not None and (call.symbols.since(stride, made) or (below is None and value.below is not None)):
        raise call.refused("what is added to row numbers changes from step to step")
    return Value(tuple(sizes), rows, None, elements, value.numbers, value.ragged, below)


@rule("Scan", pure=False)
def _scan(call: Call) -> Sequence[Value]:
    if call.version < 9:
        raise call.refused("before opset 9 it is not followed")
    graph, count = _graph(call, "body"), call.integer("num_scan_inputs", 0)
    carried = len(call.inputs) - count
    if count < 1 or carried < 0:
        raise call.refused("it scans nothing")
    start = [call.value(number) for number in range(carried)]
    axes = call.ints("scan_input_axes") or (0,) * count
    outputs = len(call.node.outputs) - carried
    stacked = call.ints("scan_output_axes") or (0,) * outputs
    made = call.symbols.count
    results: list[Value] = []
    slices = [_sliced(call, call.data(carried + at), axes[at]) for at in range(count)]

    def step(states: list[Value]) -> list[Value]:
        results[:] = _run(call, graph, [*states, *slices])
        return results[: len(start)]

    final = _fixpoint(call, start, step)
    scanned = [
        _stacked(call, value, axis, call.fresh()) for value, axis in zip(results[carried:], stacked, strict=False)
    ]
    return [_after(call, value, made) for value in [*final, *scanned]]


def _sliced(call: Call, value: Value, axis: int) -> Value:
    """One step's part of a scanned input."""
    shape = call.shape(value)
    at = call.axis(axis, len(shape))
    if value.rows is not None and value.rows.axis == at:
        raise call.refused("it goes through the rows one after another", definite=True)
    rows: Rows | None = value.rows
    if rows is not None and rows.axis > at:
        rows = rows.at(rows.axis - 1)
    return Value((*shape[:at], *shape[at + 1 :]), rows)
