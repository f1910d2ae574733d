"""Steps that make tensors of columns as ONNX nodes."""

from __future__ import annotations

import numpy as np

from onnxpress.core import processing
from onnxpress.export.graph.steps.fragment import ML, Fragment, float32, write


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
        domain=ML,
        keys_strings=step.values,
        values_int64s=numbers,
        default_int64=0,
    )


@write.register
def _(step: processing.OneHot, fragment: Fragment) -> None:
    last = fragment.constant("last", np.asarray([-1], np.int64))
    places = fragment.constant("places", np.arange(step.size))
    hit = fragment.then("Equal", [fragment.then("Unsqueeze", [step.input, last]), places])
    fragment.node("Cast", [hit], step.output, to=float32())
