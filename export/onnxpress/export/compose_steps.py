"""The ONNX form of every processing step: the nodes that say what its numpy form says."""

from __future__ import annotations

from functools import singledispatch
from typing import TYPE_CHECKING, Any

import numpy as np

from onnxpress.core import processing
from onnxpress.core.processing import Step

if TYPE_CHECKING:
    import onnx

_ML = "ai.onnx.ml"


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

    def node(
        self, operator: str, inputs: list[str], output: str, *more: str, domain: str = "", **attributes: Any
    ) -> str:
        """Add a node; `output` (and `more` of them) is taken as it is. Returns the first."""
        import onnx

        name = f"{self._prefix}/{operator}_{len(self.nodes)}"
        node = onnx.helper.make_node(operator, inputs, [output, *more], name=name, domain=domain, **attributes)
        node.metadata_props.append(
            onnx.StringStringEntryProto(key="onnxpress.layer", value=f"processing.{self._prefix}")
        )
        self.nodes.append(node)
        return output

    def then(self, operator: str, inputs: list[str], **attributes: Any) -> str:
        """Add a node whose output only this step sees; returns that name."""
        return self.node(operator, inputs, self.inner(f"{operator}_{len(self.nodes)}"), **attributes)

    def inner(self, name: str) -> str:
        """A name for a tensor that only this step sees."""
        return f"{self._prefix}/{name}"


@singledispatch
def write(step: Step, fragment: Fragment) -> None:
    """Add the nodes of one step. Registered once for every kind of step."""
    raise TypeError(f"no ONNX form is registered for the step {type(step).__name__}")


@write.register
def _(step: processing.Scale, fragment: Fragment) -> None:
    offset = fragment.constant("offset", np.asarray(step.offset, np.float32))
    factor = fragment.constant("factor", np.asarray(step.factor, np.float32))
    fragment.node("Mul", [fragment.node("Sub", [step.input, offset], fragment.inner("shifted")), factor], step.output)


@write.register
def _(step: processing.Unscale, fragment: Fragment) -> None:
    unit = fragment.constant("unit", np.asarray(step.unit, np.float32))
    offset = fragment.constant("offset", np.asarray(step.offset, np.float32))
    fragment.node("Add", [fragment.node("Mul", [step.input, unit], fragment.inner("spread")), offset], step.output)


@write.register
def _(step: processing.MeanSquaredError, fragment: Fragment) -> None:
    difference = fragment.node("Sub", [step.input, step.target], fragment.inner("difference"))
    square = fragment.node("Mul", [difference, difference], fragment.inner("square"))
    axes = fragment.constant("axes", np.asarray([-1], np.int64))
    fragment.node("ReduceMean", [square, axes], step.output, keepdims=0)


@write.register
def _(step: processing.Threshold, fragment: Fragment) -> None:
    value = fragment.constant("value", np.asarray(step.value, np.float32))
    fragment.node("Greater", [step.input, value], step.output)


@write.register
def _(step: processing.Impute, fragment: Fragment) -> None:
    values = fragment.constant("values", np.asarray(step.values, np.float32))
    fragment.node("Where", [fragment.then("IsNaN", [step.input]), values, step.input], step.output)


@write.register
def _(step: processing.Stack, fragment: Fragment) -> None:
    last = fragment.constant("last", np.asarray([-1], np.int64))
    columns = [fragment.then("Unsqueeze", [name, last]) for name in step.inputs]
    fragment.node("Concat", columns, step.output, axis=-1)


@write.register
def _(step: processing.Concatenate, fragment: Fragment) -> None:
    fragment.node("Concat", step.inputs, step.output, axis=-1)


@write.register
def _(step: processing.Squeeze, fragment: Fragment) -> None:
    fragment.node("Squeeze", [step.input, fragment.constant("last", np.asarray([-1], np.int64))], step.output)


@write.register
def _(step: processing.Lookup, fragment: Fragment) -> None:
    numbers = list(range(1, len(step.values) + 1))
    fragment.node(
        "LabelEncoder",
        [step.input],
        step.output,
        domain=_ML,
        keys_strings=step.values,
        values_int64s=numbers,
        default_int64=0,
    )


@write.register
def _(step: processing.OneHot, fragment: Fragment) -> None:
    last = fragment.constant("last", np.asarray([-1], np.int64))
    places = fragment.constant("places", np.arange(step.size))
    hit = fragment.then("Equal", [fragment.then("Unsqueeze", [step.input, last]), places])
    fragment.node("Cast", [hit], step.output, to=_float32())


@write.register
def _(step: processing.Characters, fragment: Fragment) -> None:
    # The tokenizer answers an empty batch with another rank, so it never gets one: an empty text stands at the end.
    empty = fragment.constant("empty", np.array([""], object))
    characters = fragment.then(
        "Tokenizer",
        [fragment.then("Concat", [step.input, empty], axis=0)],
        domain="com.microsoft",
        mark=0,
        pad_value="",
        separators=[""],
        mincharnum=1,
    )
    ids = {"": 0} | step.ids()  # the tokenizer fills shorter rows with its pad value
    found = fragment.then(
        "LabelEncoder",
        [characters],
        domain=_ML,
        keys_strings=list(ids),
        values_int64s=list(ids.values()),
        default_int64=1,
    )
    # As many zeros after every row as it may lack, then cut: the tokenizer's rows are as long as the longest text.
    rows = fragment.then("Shape", [found], start=0, end=1)
    shape = fragment.then("Concat", [rows, _shape(fragment, "length", [step.length])], axis=0)
    zeros = fragment.then("Expand", [fragment.constant("padding", np.zeros((1, 1), np.int64)), shape])
    start, end = _shape(fragment, "start", [0, 0]), _shape(fragment, "end", [-1, step.length])
    fragment.node("Slice", [fragment.then("Concat", [found, zeros], axis=1), start, end], step.output)


@write.register
def _(step: processing.Magnitude, fragment: Fragment) -> None:
    last = fragment.constant("last", np.asarray([-1], np.int64))
    squares = fragment.then("Mul", [step.input, step.input])
    fragment.node("Sqrt", [fragment.then("ReduceSum", [squares, last], keepdims=1)], step.output)


@write.register
def _(step: processing.Standardise, fragment: Fragment) -> None:
    time = fragment.constant("time", np.asarray([1], np.int64))
    epsilon = fragment.constant("epsilon", np.asarray(step.epsilon, np.float32))
    centred = fragment.then("Sub", [step.input, fragment.then("ReduceMean", [step.input, time], keepdims=1)])
    variance = fragment.then("ReduceMean", [fragment.then("Mul", [centred, centred]), time], keepdims=1)
    deviation = fragment.then("Add", [fragment.then("Sqrt", [variance]), epsilon])
    fragment.node("Div", [centred, deviation], step.output)


@write.register
def _(step: processing.Spectrogram, fragment: Fragment) -> None:
    # A convolution over each channel alone: its kernels are the windowed cosines and sines.
    kernels = np.concatenate(step.bases("float32"), axis=1).T[:, None, :]
    channel_first = fragment.then("Transpose", [step.input], perm=[0, 2, 1])
    alone = fragment.then(
        "Concat",
        [_shape(fragment, "each", [-1, 1]), fragment.then("Shape", [channel_first], start=2, end=3)],
        axis=0,
    )
    flat = fragment.then("Reshape", [channel_first, alone])
    waves = fragment.then("Conv", [flat, fragment.constant("bases", kernels)], strides=[step.hop])
    squares = fragment.then("Mul", [waves, waves])
    real, imaginary = fragment.inner("real"), fragment.inner("imaginary")
    fragment.node("Split", [squares], real, imaginary, axis=1, num_outputs=2)
    magnitude = fragment.then("Sqrt", [fragment.then("Add", [real, imaginary])])  # (batch × channels, bins, frames)
    shape = fragment.then(
        "Concat",
        [
            fragment.then("Shape", [step.input], start=0, end=1),
            fragment.then("Shape", [step.input], start=2, end=3),
            fragment.then("Shape", [magnitude], start=1, end=3),
        ],
        axis=0,
    )
    frames_first = fragment.then("Transpose", [fragment.then("Reshape", [magnitude, shape])], perm=[0, 3, 1, 2])
    fragment.node("Reshape", [frames_first, _shape(fragment, "joined", [0, 0, -1])], step.output)


@write.register
def _(step: processing.Softmax, fragment: Fragment) -> None:
    fragment.node("Softmax", [step.input], step.output, axis=-1)


@write.register
def _(step: processing.Sigmoid, fragment: Fragment) -> None:
    fragment.node("Sigmoid", [step.input], step.output)


@write.register
def _(step: processing.Platt, fragment: Fragment) -> None:
    slope = fragment.constant("slope", np.asarray(step.slope, np.float32))
    intercept = fragment.constant("intercept", np.asarray(step.intercept, np.float32))
    line = fragment.then("Add", [fragment.then("Mul", [step.input, slope]), intercept])
    fragment.node("Sigmoid", [line], step.output)


@write.register
def _(step: processing.Temperature, fragment: Fragment) -> None:
    temperature = fragment.constant("temperature", np.asarray(step.temperature, np.float32))
    fragment.node("Div", [step.input, temperature], step.output)


@write.register
def _(step: processing.Isotonic, fragment: Fragment) -> None:
    start, width, slope = (
        fragment.constant(name, part)
        for name, part in zip(("start", "width", "slope"), step.pieces("float32"), strict=True)
    )
    last = fragment.constant("last", np.asarray([-1], np.int64))
    zero = fragment.constant("zero", np.asarray(0, np.float32))
    beyond = fragment.then("Sub", [fragment.then("Unsqueeze", [step.input, last]), start])
    within = fragment.then("Min", [fragment.then("Max", [beyond, zero]), width])
    first = fragment.constant("first", np.asarray(step.y[0], np.float32))
    fragment.node("Add", [fragment.then("MatMul", [within, slope]), first], step.output)


@write.register
def _(step: processing.Any, fragment: Fragment) -> None:
    found = step.inputs[0]
    for name in step.inputs[1:]:
        found = fragment.then("Or", [found, name])
    fragment.node("Identity", [found], step.output)


@write.register
def _(step: processing.Label, fragment: Fragment) -> None:
    _name(fragment, fragment.then("ArgMax", [step.input], axis=-1, keepdims=0), step.labels, step.output)


@write.register
def _(step: processing.BinaryLabel, fragment: Fragment) -> None:
    import onnx

    number = fragment.then("Cast", [step.input], to=onnx.TensorProto.INT64)
    _name(fragment, number, step.labels, step.output)


@write.register
def _(step: processing.TopK, fragment: Fragment) -> None:
    k = fragment.constant("k", np.asarray([step.k], np.int64))
    places = fragment.inner("places")
    fragment.node("TopK", [step.input, k], step.scores, places, axis=-1)
    _name(fragment, places, step.labels, step.output)


@write.register
def _(step: processing.Maximum, fragment: Fragment) -> None:
    last = fragment.constant("last", np.asarray([-1], np.int64))
    fragment.node("ReduceMax", [step.input, last], step.output, keepdims=0)


@write.register
def _(step: processing.IsolationForest, fragment: Fragment) -> None:
    nodes = [(tree, node) for tree, found in enumerate(step.trees) for node in range(len(found.feature))]
    inner = [step.trees[tree].feature[node] >= 0 for tree, node in nodes]
    leaves = [pair for pair, is_inner in zip(nodes, inner, strict=True) if not is_inner]
    paths = fragment.then(
        "TreeEnsembleRegressor",
        [step.input],
        domain=_ML,
        n_targets=1,
        nodes_treeids=[tree for tree, _ in nodes],
        nodes_nodeids=[node for _, node in nodes],
        nodes_featureids=[max(0, step.trees[tree].feature[node]) for tree, node in nodes],
        nodes_modes=["BRANCH_LEQ" if is_inner else "LEAF" for is_inner in inner],
        nodes_values=[step.trees[tree].cut[node] for tree, node in nodes],
        nodes_truenodeids=[max(0, step.trees[tree].left[node]) for tree, node in nodes],
        nodes_falsenodeids=[max(0, step.trees[tree].right[node]) for tree, node in nodes],
        target_treeids=[tree for tree, _ in leaves],
        target_nodeids=[node for _, node in leaves],
        target_ids=[0] * len(leaves),
        target_weights=[step.trees[tree].value[node] for tree, node in leaves],
    )
    total = fragment.then("Squeeze", [paths, fragment.constant("last", np.asarray([-1], np.int64))])
    scale = fragment.constant("scale", np.asarray(step.scale, np.float32))
    two = fragment.constant("two", np.asarray(2, np.float32))
    fragment.node("Pow", [two, fragment.then("Mul", [total, scale])], step.output)


def _name(fragment: Fragment, numbers: str, labels: list[str], output: str) -> None:
    fragment.node(
        "LabelEncoder",
        [numbers],
        output,
        domain=_ML,
        keys_int64s=list(range(len(labels))),
        values_strings=labels,
        default_string="",
    )


def _float32() -> int:
    import onnx

    return int(onnx.TensorProto.FLOAT)


def _shape(fragment: Fragment, name: str, sizes: list[int]) -> str:
    return fragment.constant(name, np.asarray(sizes, np.int64))
