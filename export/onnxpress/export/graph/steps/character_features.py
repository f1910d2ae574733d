"""Figures of a text's characters as ONNX nodes."""

from __future__ import annotations

import math

import numpy as np

from onnxpress.core import processing
from onnxpress.core.processing.text import PADDING
from onnxpress.export.graph.steps.fragment import Fragment, write

_TO_THE_END = np.iinfo(np.int64).max


@write.register
def _(step: processing.CharacterFeatures, fragment: Fragment) -> None:
    along = fragment.sizes("along_the_text", [1])
    counts = fragment.then("ReduceSum", [_equal(fragment, step.input, step.ids), along], keepdims=0)
    parts = []
    classes = step.classes("float32")
    if classes.shape[1]:
        parts.append(fragment.then("MatMul", [counts, fragment.constant("classes", classes)]))
    zero, one = (fragment.constant(name, np.asarray(v, np.float32)) for name, v in (("zero", 0), ("one", 1)))
    if "distinct" in step.features:
        present = _floats(fragment, fragment.then("Greater", [counts, zero]))
        parts.append(fragment.then("ReduceSum", [present, along], keepdims=1))
    if "entropy" in step.features:
        length = fragment.then("Max", [fragment.then("ReduceSum", [counts, along], keepdims=1), one])
        share = fragment.then("Div", [counts, length])
        logarithm = fragment.then(
            "Log", [fragment.then("Where", [fragment.then("Greater", [share, zero]), share, one])]
        )
        per_bit = fragment.constant("per_bit", np.asarray(1 / math.log(2), np.float32))
        bits = fragment.then("Mul", [share, fragment.then("Mul", [logarithm, per_bit])])
        parts.append(fragment.then("Neg", [fragment.then("ReduceSum", [bits, along], keepdims=1)]))
    fragment.node("Concat", parts, step.output, axis=1)


@write.register
def _(step: processing.CharacterNgrams, fragment: Fragment) -> None:
    axis = fragment.sizes("along_the_text", [1])
    total = last = ""
    for place, factor in enumerate(step.factors):
        end = place - step.n + 1
        start = fragment.sizes(f"start_{place}", [place])
        stop = fragment.sizes(f"end_{place}", [end or _TO_THE_END])
        last = fragment.then("Slice", [step.input, start, stop, axis])
        part = fragment.then("Mul", [last, fragment.constant(f"factor_{place}", np.asarray(factor, np.int64))])
        total = fragment.then("Add", [total, part]) if total else part
    buckets = fragment.constant("buckets", np.asarray(step.buckets, np.int64))
    is_padding = fragment.then("Equal", [last, fragment.constant("padding", np.asarray(PADDING, np.int64))])
    nowhere = fragment.constant("nowhere", np.asarray(-1, np.int64))
    bucket = fragment.then("Where", [is_padding, nowhere, fragment.then("Mod", [total, buckets])])
    inside = _equal(fragment, bucket, np.arange(step.buckets))
    fragment.node("ReduceSum", [inside, axis], step.output, keepdims=0)


def _equal(fragment: Fragment, numbers: str, known: np.ndarray) -> str:
    """(batch, length) int64 → (batch, length, known) float32: 1 where it is that number."""
    last = fragment.sizes("last", [-1])
    each = fragment.constant("known", known.astype(np.int64))
    return _floats(fragment, fragment.then("Equal", [fragment.then("Unsqueeze", [numbers, last]), each]))


def _floats(fragment: Fragment, flags: str) -> str:
    import onnx

    return fragment.then("Cast", [flags], to=onnx.TensorProto.FLOAT)
