"""A file whose batch is fixed, as exporters write it where nobody names a dynamic axis: carried for any number of rows.

The axis is opened, and what the exporter wrote down of it, as the sizes of reshapes, is read from the data again. Then
both graphs are asked. Where the opened one does not answer rows as the file answers them, the file stays as it was.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

import numpy as np
import onnx
from onnx import helper, numpy_helper
from onnx.reference import ReferenceEvaluator

from onnxpress.core.arrays import Array
from onnxpress.core.errors import OnnxpressError
from onnxpress.core.manifest import SessionSettings
from onnxpress.export.equivalence.cases import generate
from onnxpress.export.equivalence.graph_domain import shown
from onnxpress.export.networks.onnx_file import OnnxNetwork
from onnxpress.export.port.from_onnx.batch_axes import BatchAxes
from onnxpress.export.source import Source
from onnxpress.serving.engine import Engine

NEAR = 1e-5
"""of an answer's largest value: kernels add up otherwise where there are more rows"""
_SEEDS = (11, 12, 13)
_STATES = {"LSTM": (5, 6), "GRU": (5,), "RNN": (5,)}
"""recurrent operators → the places of their first states, which are zero where none is given"""
_SIZES = {"Reshape": 1, "Expand": 1, "Resize": 3, "ConstantOfShape": 0}
"""operators → the place of the sizes that they make"""


def with_free_batch(source: Source) -> tuple[Source, int]:
    """The source with its batch opened, and how many rows the file asks for; the source as it is and 0 else."""
    proto: onnx.ModelProto = source.network
    rows = _fixed_rows(proto)
    has_graphs = any(one.HasField("g") for node in proto.graph.node for one in node.attribute)
    if not rows or source.network_inputs or has_graphs:
        return source, 0
    try:
        opened = dataclasses.replace(source, network=_opened(proto, rows))
        same = _answers_rows_as(proto, OnnxNetwork(opened), rows)
    except (OnnxpressError, IndexError, ValueError, onnx.checker.ValidationError, onnx.shape_inference.InferenceError):
        return source, 0  # an axis was followed wrong, and sizes do not fit
    return (opened, rows) if same else (source, 0)


def _inputs(proto: onnx.ModelProto) -> list[Any]:
    """Those that are no weights."""
    weights = {one.name for one in proto.graph.initializer}
    return [value for value in proto.graph.input if value.name not in weights]


def _fixed_rows(proto: onnx.ModelProto) -> int:
    """The first size of every input; 0 where they differ, or one varies."""
    found = set()
    for value in _inputs(proto):
        sizes = value.type.tensor_type.shape.dim
        found.add(sizes[0].dim_value if sizes and all(size.HasField("dim_value") for size in sizes) else 0)
    return found.pop() if len(found) == 1 else 0


def _opened(proto: onnx.ModelProto, rows: int) -> onnx.ModelProto:
    """The graph with a first axis that varies."""
    found = onnx.ModelProto()
    found.CopyFrom(proto)
    graph = found.graph
    known = _constants(found)
    axes = BatchAxes(found, known)
    del graph.value_info[:]
    for value in [*_inputs(found), *graph.output]:
        sizes = value.type.tensor_type.shape.dim
        if sizes and sizes[0].dim_value == rows:
            sizes[0].dim_param = "batch"
    nodes = list(graph.node)
    producers = {output: node for node in nodes for output in node.output}
    made = _Made(found)
    for node in nodes:
        for place in _STATES.get(node.op_type, ()):
            if place < len(node.input) and _is_zero(node.input[place], known, producers):
                node.input[place] = ""
        if node.op_type == "Concat" and helper.get_node_attr_value(node, "axis"):
            for place, name in enumerate(node.input):
                if (row := _repeated(known.get(name), rows)) is not None:
                    node.input[place] = made.expanded(name, row, len(known[name]) == 1)
        place = _SIZES.get(node.op_type, -1)
        shape = known.get(node.input[place]) if 0 <= place < len(node.input) else None
        if shape is not None and shape.ndim == 1 and shape.size:
            if node.op_type == "Reshape":
                if (sizes := axes.reshaped(node)) is not None:
                    node.input[place] = made.constant(sizes)
            elif shape[0] == rows and not any(one.name == "axes" for one in node.attribute):
                node.input[place] = made.sizes(shape[1:])
        made.nodes.append(node)
    read = {value.name for value in graph.output}
    alive = []
    for node in reversed([*made.first, *made.nodes]):
        if read & set(node.output):
            alive.append(node)
            read |= set(node.input)
    del graph.node[:]
    graph.node.extend(reversed(alive))
    before = {name for node in proto.graph.node for name in node.input}
    kept = [one for one in graph.initializer if one.name in read or one.name not in before]
    del graph.initializer[:]
    graph.initializer.extend(kept)
    return found


def _is_zero(name: str, known: Mapping[str, Array], producers: Mapping[str, Any]) -> bool:
    """Whether it is a constant of zeros, or one that is made as large as it has to be."""
    node = producers.get(name)
    name = node.input[0] if node is not None and node.op_type == "Expand" else name
    return name in known and not known[name].any()


def _repeated(array: Array | None, rows: int) -> Array | None:
    """The row of a constant that is the same for each, as the token of a vision transformer; None of all else."""
    if array is None or array.ndim < 2 or len(array) != rows or any(not np.array_equal(array[0], row) for row in array):
        return None
    return array[:1]


class _Made:
    """Sizes that are put in the stead of those that the exporter wrote down."""

    def __init__(self, model: onnx.ModelProto) -> None:
        self._model, self.nodes, self.first = model, list[Any](), list[Any]()

    def constant(self, values: Any) -> str:
        """The name of a new constant of whole numbers."""
        name = f"free_batch/{len(self._model.graph.initializer)}"
        self._model.graph.initializer.append(numpy_helper.from_array(np.array(values, np.int64), name))
        return name

    def expanded(self, name: str, row: Array, is_one: bool) -> str:
        """The row as often as the batch has rows; the constant itself is kept where it `is_one`."""
        if not is_one:
            self._model.graph.initializer.append(numpy_helper.from_array(row, f"{name}/row"))
            name = f"{name}/row"
        output = f"{name}/{len(self.nodes)}"
        sizes = self.sizes(np.array(row.shape[1:]))
        self.nodes.append(helper.make_node("Expand", [name, sizes], [output]))
        return output

    def sizes(self, rest: Array) -> str:
        """The batch, and these sizes behind it."""
        if not self.first:
            first, zero = _inputs(self._model)[0].name, self.constant([0])
            self.first.append(helper.make_node("Shape", [first], ["free_batch/sizes"]))
            self.first.append(helper.make_node("Gather", ["free_batch/sizes", zero], ["free_batch/rows"], axis=0))
        output = f"free_batch/of_{len(self.nodes)}"
        parts = ["free_batch/rows", *([self.constant(rest)] if len(rest) else [])]
        self.nodes.append(helper.make_node("Concat", parts, [output], axis=0))
        return output


def _constants(proto: onnx.ModelProto) -> Mapping[str, Array]:
    """The values of initializers, of constants among the nodes, and of what is made of these alone."""
    found = {one.name: numpy_helper.to_array(one) for one in proto.graph.initializer}
    for node in proto.graph.node:
        if all(name in found for name in node.input if name):
            try:
                values = ReferenceEvaluator(node).run(None, {name: found[name] for name in node.input if name})
            except Exception:  # an operator that it does not know
                continue
            found.update(zip(node.output, map(np.asarray, values), strict=False))
    return found


def _answers_rows_as(proto: onnx.ModelProto, network: OnnxNetwork, rows: int) -> bool:
    """Whether the opened graph answers three times the file's rows as the file answers each third of them."""
    content = proto.SerializeToString(deterministic=True)
    file = Engine.load(content, settings=SessionSettings(optimization="none"), self_test=False)
    for seed in _SEEDS:
        feeds = generate(network.inputs, {}, {"batch": 3 * rows}, np.random.default_rng(seed), shown(proto))
        parts = [file.run({n: v[k * rows : (k + 1) * rows] for n, v in feeds.items()}) for k in range(3)]
        for name, answer in network.run(feeds, "float32").items():
            if not answer.ndim or any(len(part[name]) != rows for part in parts):
                return False
            wanted = np.concatenate([part[name] for part in parts])
            reach = float(np.abs(np.nan_to_num(wanted)).max(initial=0)) if wanted.dtype.kind == "f" else 0.0
            near = wanted.shape == answer.shape and np.allclose(answer, wanted, 0, NEAR * reach, equal_nan=True)
            if not near:
                return False
    return True
