"""Pre- and post-processing written into the graph: each step of `core.processing` as ONNX nodes around the network."""

from __future__ import annotations

from functools import singledispatch
from typing import TYPE_CHECKING

import numpy as np

from onnxpress.core.processing import MeanSquaredError, Processing, Scale, Step, Threshold, Unscale
from onnxpress.core.tensors import TensorSpec
from onnxpress.export.graph import set_signature

if TYPE_CHECKING:
    import onnx


class Fragment:
    """Nodes and constants that one step adds; constants are named after the step's output."""

    def __init__(self, prefix: str) -> None:
        self._prefix = prefix
        self.nodes: list[onnx.NodeProto] = []
        self.constants: list[onnx.TensorProto] = []

    def constant(self, name: str, value: np.ndarray[tuple[int, ...], np.dtype[np.generic]]) -> str:
        """Add an initializer; returns its name."""
        import onnx

        full = f"{self._prefix}/{name}"
        self.constants.append(onnx.numpy_helper.from_array(value, full))
        return full

    def node(self, operator: str, inputs: list[str], output: str, **attributes: int) -> str:
        """Add a node; `output` is taken as it is. Returns it."""
        import onnx

        node = onnx.helper.make_node(operator, inputs, [output], name=f"{self._prefix}/{operator}", **attributes)
        node.metadata_props.append(onnx.StringStringEntryProto(key="onnxpress.layer", value=f"processing.{output}"))
        self.nodes.append(node)
        return output

    def inner(self, name: str) -> str:
        """A name for a tensor that only this step sees."""
        return f"{self._prefix}/{name}"


@singledispatch
def write(step: Step, fragment: Fragment) -> None:
    """Add the nodes of one step. Registered once for every kind of step."""
    raise TypeError(f"no ONNX form is registered for the step {type(step).__name__}")


@write.register
def _(step: Scale, fragment: Fragment) -> None:
    offset = fragment.constant("offset", np.asarray(step.offset, np.float32))
    factor = fragment.constant("factor", np.asarray(step.factor, np.float32))
    fragment.node("Mul", [fragment.node("Sub", [step.input, offset], fragment.inner("shifted")), factor], step.output)


@write.register
def _(step: Unscale, fragment: Fragment) -> None:
    unit = fragment.constant("unit", np.asarray(step.unit, np.float32))
    offset = fragment.constant("offset", np.asarray(step.offset, np.float32))
    fragment.node("Add", [fragment.node("Mul", [step.input, unit], fragment.inner("spread")), offset], step.output)


@write.register
def _(step: MeanSquaredError, fragment: Fragment) -> None:
    difference = fragment.node("Sub", [step.input, step.target], fragment.inner("difference"))
    square = fragment.node("Mul", [difference, difference], fragment.inner("square"))
    axes = fragment.constant("axes", np.asarray([-1], np.int64))
    fragment.node("ReduceMean", [square, axes], step.output, keepdims=0)


@write.register
def _(step: Threshold, fragment: Fragment) -> None:
    value = fragment.constant("value", np.asarray(step.value, np.float32))
    fragment.node("Greater", [step.input, value], step.output)


def compose(
    network: onnx.ModelProto, processing: Processing, inputs: list[TensorSpec], outputs: list[TensorSpec]
) -> onnx.ModelProto:
    """`processing.before` → network → `processing.after` as one graph with the given inputs and outputs.

    The network's inner names get the prefix `network/`, so that they cannot meet a step's.
    """
    import onnx

    proto = onnx.compose.add_prefix(network, "network/", rename_inputs=False, rename_outputs=False)
    before, after = _fragments(processing.before), _fragments(processing.after)
    graph = proto.graph
    body = list(graph.node)
    del graph.node[:]
    for fragment in before:
        graph.node.extend(fragment.nodes)
    graph.node.extend(body)
    for fragment in after:
        graph.node.extend(fragment.nodes)
    for fragment in (*before, *after):
        graph.initializer.extend(fragment.constants)
    for values, specs in ((graph.input, inputs), (graph.output, outputs)):
        del values[:]
        values.extend(onnx.ValueInfoProto(name=spec.name) for spec in specs)
        set_signature(values, specs)
    return proto


def constants_of(processing: Processing) -> dict[str, np.ndarray[tuple[int, ...], np.dtype[np.generic]]]:
    """What `compose` writes as initializers: name → array."""
    import onnx

    fragments = _fragments([*processing.before, *processing.after])
    return {v.name: onnx.numpy_helper.to_array(v) for fragment in fragments for v in fragment.constants}


def _fragments(steps: list[Step]) -> list[Fragment]:
    fragments = []
    for step in steps:
        fragment = Fragment(step.output)
        write(step, fragment)
        fragments.append(fragment)
    return fragments
