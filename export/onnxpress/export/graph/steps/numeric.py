"""Steps over columns of numbers as ONNX nodes."""

from __future__ import annotations

import numpy as np

from onnxpress.core import processing
from onnxpress.export.graph.steps.fragment import Fragment, write


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
def _(step: processing.Impute, fragment: Fragment) -> None:
    values = fragment.constant("values", np.asarray(step.values, np.float32))
    fragment.node("Where", [fragment.then("IsNaN", [step.input]), values, step.input], step.output)
