"""The proof: what is asked of a graph, and what the answer is."""

from __future__ import annotations

from dataclasses import dataclass

from onnxpress.core.onnx_graph import Model, ValueInfo
from onnxpress.core.rows import (  # noqa: F401  each brings its operators' rules
    attention,
    broadcasting,
    control,
    generating,
    images,
    indexing,
    layout,
    pieces,
    products,
    recurrent,
    reducing,
    tables,
    texts,
)
from onnxpress.core.rows.call import Symbols
from onnxpress.core.rows.scope import Scope
from onnxpress.core.rows.sizes import Size, symbol
from onnxpress.core.rows.values import Rows, Value
from onnxpress.core.rows.walk import Walk


@dataclass(frozen=True)
class Proven:
    """Every row of every output is computed from its own row of the inputs alone, whatever the batch."""


@dataclass(frozen=True)
class Dependent:
    """Not proven: the first output that is not, and the node that keeps it from being.

    With `definite` that node surely combines the rows, or counts them; without, it is not known whether it does.
    """

    output: str
    node: str
    operator: str
    reason: str
    definite: bool

    def __str__(self) -> str:
        node = f"{self.node} ({self.operator})" if self.operator else self.node
        return f"{node}: {self.reason}"


def prove(model: Model) -> Proven | Dependent:
    """Follow the rows of the inputs, which lie along their first axis, to the outputs.

    Raises BadModel where the model's file is damaged.
    """
    defaults = {tensor.name for tensor in model.graph.initializers}
    inputs = [value for value in model.graph.inputs if value.name not in defaults]
    batch = _batch(inputs)
    if isinstance(batch, Dependent):
        return batch
    symbols = Symbols(_named(batch) if batch else "?rows")
    scope = Scope()
    for value in inputs:
        scope[value.name] = _input(value, symbols)
    outputs = Walk(model, symbols).graph(model.graph, scope)
    for declared, found in zip(model.graph.outputs, outputs, strict=True):
        wrong = _wrong(declared.name, found)
        if wrong is not None:
            return wrong
    return Proven()


def _batch(inputs: list[ValueInfo]) -> str | Dependent:
    """The name of the first axis of all inputs."""
    if not inputs:
        return Dependent("", "", "", "there are no inputs", False)
    names = set()
    for value in inputs:
        if value.kind != "tensor" or not value.shape:
            return Dependent("", value.name, "", "the input has no rows", False)
        if isinstance(value.shape[0], int):
            return Dependent("", value.name, "", "the input has a fixed number of rows", False)
        if value.shape[0] is None and len(inputs) > 1:
            return Dependent("", value.name, "", "the input's number of rows has no name that it shares", False)
        names.add(value.shape[0] or "")
        if value.shape[0] is not None and value.shape[0] in value.shape[1:]:
            return Dependent("", value.name, "", "the number of rows is the size of another axis too", False)
    if len(names) > 1:
        return Dependent("", inputs[0].name, "", "the inputs have different numbers of rows", False)
    return names.pop()


def _named(size: str) -> str:
    """The symbol for a named size; those that begin with ? and go on otherwise are made up."""
    return f"?{size}" if size.startswith("?") else size


def _input(value: ValueInfo, symbols: Symbols) -> Value:
    def size(declared: int | str | None) -> Size:
        if isinstance(declared, str):
            return symbol(_named(declared))
        return symbols.fresh() if declared is None else declared

    return Value((symbols.rows, *map(size, (value.shape or ())[1:])), Rows(0))


def _wrong(output: str, found: Value) -> Dependent | None:
    """Why an output is not row by row; None where it is."""
    if found.taint is not None:
        taint = found.taint
        return Dependent(output, taint.node, taint.operator, taint.reason, taint.definite)
    if found.rows is None:
        return Dependent(output, output, "", "the output has no row for each row of the inputs", False)
    if found.numbers is not None:
        return Dependent(output, output, "", "the number of the row is in the output", True)
    if found.ragged is not None or found.rows != Rows(0):
        return Dependent(output, output, "", "the output's rows are not its first axis", False)
    return None
