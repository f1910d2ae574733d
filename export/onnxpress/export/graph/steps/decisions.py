"""Steps behind the network as ONNX nodes: scores to probabilities, decisions and labels."""

from __future__ import annotations

import numpy as np

from onnxpress.core import processing
from onnxpress.export.graph.steps.fragment import ML, Fragment, write


@write.register
def _(step: processing.Threshold, fragment: Fragment) -> None:
    value = fragment.constant("value", np.asarray(step.value, np.float32))
    fragment.node("Greater", [step.input, value], step.output)


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
def _(step: processing.AnyOf, fragment: Fragment) -> None:
    joined = step.inputs[0]
    for name in step.inputs[1:]:
        joined = fragment.then("Or", [joined, name])
    fragment.node("Identity", [joined], step.output)


@write.register
def _(step: processing.AllOf, fragment: Fragment) -> None:
    joined = step.inputs[0]
    for name in step.inputs[1:]:
        joined = fragment.then("And", [joined, name])
    fragment.node("Identity", [joined], step.output)


@write.register
def _(step: processing.WeightedSum, fragment: Fragment) -> None:
    total = ""
    for number, (name, weight) in enumerate(zip(step.inputs, step.weights, strict=True)):
        part = fragment.then("Mul", [name, fragment.constant(f"weight_{number}", np.asarray(weight, np.float32))])
        total = fragment.then("Add", [total, part]) if total else part
    fragment.node("Identity", [total], step.output)


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
def _(step: processing.Pick, fragment: Fragment) -> None:
    column = fragment.constant("column", np.asarray(step.column, np.int64))
    fragment.node("Gather", [step.input, column], step.output, axis=-1)


def _name(fragment: Fragment, numbers: str, labels: list[str], output: str) -> None:
    fragment.node(
        "LabelEncoder",
        [numbers],
        output,
        domain=ML,
        keys_int64s=list(range(len(labels))),
        values_strings=labels,
        default_string="",
    )
