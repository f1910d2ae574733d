"""Faults in what a graph does: axes, padding, strides, casts, norms in training, baked sizes, indices, ranges."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper

from onnxpress.core.arrays import Array
from onnxpress.export.equivalence.faults.planting import (
    Random,
    Sites,
    attribute,
    change_input,
    insert_after,
    label,
    numbered,
    plants,
    replace_node,
    scalar,
    set_attribute,
    taken,
)

EXAMPLE_BATCH = 3


def _all(array: Array, other: int) -> Array:
    return np.full_like(array, other)


def _plus(array: Array, step: int) -> Array:
    return array + step


@plants("wrong axis in softmax, concat or reduce")
def axis(model: onnx.ModelProto, rng: Random) -> Sites:
    """Where the other axis fits, nothing but the values tells."""
    reduces = ("ReduceMean", "ReduceSum", "ReduceMax", "ReduceMin", "ReduceProd", "ReduceL2", "CumSum")
    for place, node in numbered(model, "Softmax", "LogSoftmax", "Concat", "ArgMax", "Split", "TopK", "GatherElements"):
        now = attribute(node, "axis")
        now = -1 if now is None else now
        for other in (-1, -2, 0, 1):
            if other != now:
                yield f"{label(place, node)} {now} → {other}", set_attribute(place, "axis", other)
    for place, node in numbered(model, *reduces):
        if len(node.input) > 1 and (held := taken(model, node, 1)) is not None and held.size == 1:
            for other in (-1, -2, 1):
                if other != int(held.ravel()[0]):
                    edit = change_input(place, 1, partial(_all, other=other))
                    yield f"{label(place, node)} → {other}", edit
        elif attribute(node, "axes"):
            for other in (-1, -2, 1):
                if [other] != list(attribute(node, "axes")):
                    yield f"{label(place, node)} → {other}", set_attribute(place, "axes", [other])


@plants("GELU by tanh instead of erf")
def gelu(model: onnx.ModelProto, rng: Random) -> Sites:
    """erf(z) → tanh(2/√π z + 0.1009 z³): 0.5 x (1 + tanh(√(2/π)(x + 0.044715 x³))) with z = x/√2."""
    for place, node in numbered(model, "Erf"):

        def tanh(old: onnx.NodeProto) -> list[onnx.NodeProto]:
            z, y = old.input[0], old.output[0]
            cubic = 0.044715 * np.sqrt(2 / np.pi) * 2**1.5
            return [
                scalar(f"{y}/a", 2 / np.sqrt(np.pi)),
                scalar(f"{y}/b", cubic),
                helper.make_node("Mul", [z, z], [f"{y}/zz"]),
                helper.make_node("Mul", [f"{y}/zz", f"{y}/b"], [f"{y}/bzz"]),
                helper.make_node("Add", [f"{y}/bzz", f"{y}/a"], [f"{y}/s"]),
                helper.make_node("Mul", [f"{y}/s", z], [f"{y}/t"]),
                helper.make_node("Tanh", [f"{y}/t"], [y]),
            ]

        yield label(place, node), replace_node(place, tanh)
    for place, node in numbered(model, "Gelu"):
        now = attribute(node, "approximate") or b"none"
        yield label(place, node), set_attribute(place, "approximate", "tanh" if now == b"none" else "none")


@plants("padding moved by one")
def padding(model: onnx.ModelProto, rng: Random) -> Sites:
    """One more before, one fewer after: TensorFlow's SAME in PyTorch's place."""
    for place, node in numbered(model, "Conv", "ConvTranspose", "MaxPool", "AveragePool"):
        pads = list(attribute(node, "pads") or [])
        half = len(pads) // 2
        kernel = attribute(node, "kernel_shape") or []
        for at in range(half):
            if pads[half + at] > 0 and (not kernel or pads[at] + 1 < kernel[at]):
                moved = list(pads)
                moved[at], moved[half + at] = pads[at] + 1, pads[half + at] - 1
                yield f"{label(place, node)} axis {at}", set_attribute(place, "pads", moved)
    for place, node in numbered(model, "Pad"):
        held = taken(model, node, 1)
        if held is None:
            continue
        half = held.size // 2
        for at in map(int, np.flatnonzero(held[half:] > 0)):

            def moved_by_one(v: Array, at: int = at, half: int = half) -> Array:
                v[at] += 1
                v[half + at] -= 1
                return v

            yield f"{label(place, node)} axis {at}", change_input(place, 1, moved_by_one)


@plants("stride or dilation")
def stride(model: onnx.ModelProto, rng: Random) -> Sites:
    """Dilated with the padding that keeps the shape; pooled at another stride."""
    for place, node in numbered(model, "Conv", "MaxPool", "AveragePool"):
        kernel = attribute(node, "kernel_shape")
        if kernel is None and node.op_type == "Conv":
            weight = taken(model, node, 1)
            kernel = list(weight.shape[2:]) if weight is not None else None
        if not kernel:
            continue
        strides = list(attribute(node, "strides") or [1] * len(kernel))
        yield f"{label(place, node)} strides", set_attribute(place, "strides", [1 if s > 1 else 2 for s in strides])
        if node.op_type == "Conv" and all(size % 2 for size in kernel) and max(kernel) > 1:
            now = attribute(node, "dilations") or [1] * len(kernel)
            pads = list(attribute(node, "pads") or [0] * 2 * len(kernel))
            other = [2 if d == 1 else 1 for d in now]
            more = [(size - 1) // 2 * (o - d) for size, o, d in zip(kernel, other, now, strict=True)] * 2
            wide = [max(p + m, 0) for p, m in zip(pads, more, strict=True)]

            def both(copy: onnx.ModelProto, place: int = place, other: Any = other, wide: Any = wide) -> None:
                set_attribute(place, "dilations", other)(copy)
                set_attribute(place, "pads", wide)(copy)

            yield f"{label(place, node)} dilations", both


@plants("dropout or batch norm left in training")
def training(model: onnx.ModelProto, rng: Random) -> Sites:
    """The batch's own statistics; a Dropout that drops; and the flags that say so."""
    for place, node in numbered(model, "BatchNormalization"):
        yield f"{label(place, node)} statistics of the batch", replace_node(place, _batch_statistics)
    produced = [
        node.output[0] for _, node in numbered(model, "Relu", "LeakyRelu", "Gemm", "Tanh", "LayerNormalization")
    ]
    for tensor in produced[:-1]:
        seed = int(rng.integers(1000))

        def drops(inner: str, outer: str, seed: int = seed) -> list[onnx.NodeProto]:
            return [
                scalar(f"{outer}/ratio", 0.1),
                scalar(f"{outer}/training", True, np.bool_),
                helper.make_node("Dropout", [inner, f"{outer}/ratio", f"{outer}/training"], [outer], seed=seed),
            ]

        yield f"Dropout after {tensor}", insert_after(tensor, drops)


def _batch_statistics(old: onnx.NodeProto) -> list[onnx.NodeProto]:
    """(batch, channels[, length...]): reduced over the batch alone, so that any rank will do."""
    x, scale, offset = old.input[:3]
    y = old.output[0]
    gain = [helper.make_node("Mul", [f"{y}/n", f"{y}/scale"], [f"{y}/g"])]
    return [
        scalar(f"{y}/axes", [0], np.int64),
        scalar(f"{y}/eps", attribute(old, "epsilon") or 1e-5),
        helper.make_node("ReduceMean", [x, f"{y}/axes"], [f"{y}/mean"]),
        helper.make_node("Sub", [x, f"{y}/mean"], [f"{y}/d"]),
        helper.make_node("Mul", [f"{y}/d", f"{y}/d"], [f"{y}/dd"]),
        helper.make_node("ReduceMean", [f"{y}/dd", f"{y}/axes"], [f"{y}/var"]),
        helper.make_node("Add", [f"{y}/var", f"{y}/eps"], [f"{y}/ve"]),
        helper.make_node("Sqrt", [f"{y}/ve"], [f"{y}/sd"]),
        helper.make_node("Div", [f"{y}/d", f"{y}/sd"], [f"{y}/n"]),
        # (channels,) → (channels, 1, ...) for any rank: the shape of x without its batch, ones after the channels.
        helper.make_node("Shape", [x], [f"{y}/tail"], start=2),
        _ones(y),
        scalar(f"{y}/minus", [-1], np.int64),
        helper.make_node("Concat", [f"{y}/minus", f"{y}/ones"], [f"{y}/shape"], axis=0),
        helper.make_node("Reshape", [scale, f"{y}/shape"], [f"{y}/scale"]),
        helper.make_node("Reshape", [offset, f"{y}/shape"], [f"{y}/offset"]),
        *gain,
        helper.make_node("Add", [f"{y}/g", f"{y}/offset"], [y]),
    ]


def _ones(y: str) -> onnx.NodeProto:
    """Each size divided by itself."""
    return helper.make_node("Div", [f"{y}/tail", f"{y}/tail"], [f"{y}/ones"])


@plants("baked batch size")
def baked(model: onnx.ModelProto, rng: Random) -> Sites:
    """The example's batch written into a Reshape or an Expand."""
    for place, node in numbered(model, "Reshape", "Expand"):
        held = taken(model, node, 1)
        if held is not None and held.ndim == 1 and held.size and held[0] in (-1, 0):

            def fixed(v: Array) -> Array:
                v[0] = EXAMPLE_BATCH
                return v

            yield label(place, node), change_input(place, 1, fixed)
    for place, node in numbered(model, "Shape"):
        # Only the batch: what a tracer does that took x.shape[0] for a number.
        tensor = node.output[0]

        def fixed_first(inner: str, outer: str) -> list[onnx.NodeProto]:
            return [
                scalar(f"{outer}/zero", [[0]], np.int64),
                scalar(f"{outer}/batch", [EXAMPLE_BATCH], np.int64),
                helper.make_node("ScatterND", [inner, f"{outer}/zero", f"{outer}/batch"], [outer]),
            ]

        start = attribute(node, "start") or 0
        if start == 0 and any(tensor in other.output for other in model.graph.node):
            yield label(place, node), insert_after(tensor, fixed_first)


@plants("int64 narrowed")
def narrowed(model: onnx.ModelProto, rng: Random) -> Sites:
    """Ids through int8: those above 127 come out negative."""
    integers = [v for v in model.graph.input if v.type.tensor_type.elem_type in (TensorProto.INT64, TensorProto.INT32)]
    for value in integers:
        kind = value.type.tensor_type.elem_type

        def through(inner: str, outer: str, kind: int = kind) -> list[onnx.NodeProto]:
            return [
                helper.make_node("Cast", [inner], [f"{outer}/narrow"], to=TensorProto.INT8),
                helper.make_node("Cast", [f"{outer}/narrow"], [outer], to=kind),
            ]

        yield f"input {value.name}", insert_after(value.name, through)
    for place, node in numbered(model, "Shape", "ArgMax", "TopK"):
        tensor = node.output[-1]
        if any(tensor in other.output for other in model.graph.node):

            def short(inner: str, outer: str) -> list[onnx.NodeProto]:
                return [
                    helper.make_node("Cast", [inner], [f"{outer}/narrow"], to=TensorProto.INT8),
                    helper.make_node("Cast", [f"{outer}/narrow"], [outer], to=TensorProto.INT64),
                ]

            yield label(place, node), insert_after(tensor, short)


_SHAPE_SIZED = 1024
"""elements; a larger constant is no shape"""
_SMOOTH = (
    "Gemm", "MatMul", "Conv", "Add", "Mul", "Tanh", "Sigmoid", "Relu", "LeakyRelu", "Softmax", "LayerNormalization",
    "BatchNormalization", "Div", "Sub", "Erf", "Elu",
)  # fmt: skip


def _float_tensors(model: onnx.ModelProto) -> list[str]:
    """Tensors of the main graph that are float32, as far as shape inference tells."""
    inferred = onnx.shape_inference.infer_shapes(_without_weights(model))
    kinds = {v.name: v.type.tensor_type.elem_type for v in (*inferred.graph.value_info, *inferred.graph.output)}
    produced = [name for node in model.graph.node if node.op_type in _SMOOTH for name in node.output[:1]]
    return [name for name in produced if kinds.get(name) == TensorProto.FLOAT]


def _without_weights(model: onnx.ModelProto) -> onnx.ModelProto:
    """What inference of types needs: no large constant, and no operator of another domain, of which onnx 1.23 dies."""
    bare = onnx.ModelProto(ir_version=model.ir_version, opset_import=model.opset_import)
    bare.graph.name = model.graph.name
    bare.graph.input.extend(model.graph.input)
    bare.graph.output.extend(model.graph.output)
    bare.graph.value_info.extend(model.graph.value_info)
    bare.graph.node.extend(node for node in model.graph.node if node.domain in ("", "ai.onnx"))
    for value in model.graph.initializer:
        if int(np.prod(value.dims)) <= _SHAPE_SIZED:
            bare.graph.initializer.append(value)
        else:
            bare.graph.input.append(helper.make_tensor_value_info(value.name, value.data_type, list(value.dims)))
    return bare


@plants("cast to half in one place")
def half(model: onnx.ModelProto, rng: Random) -> Sites:
    """A mixed-precision region that was not meant."""
    for tensor in _float_tensors(model):
        yield (
            f"after {tensor}",
            insert_after(
                tensor,
                lambda inner, outer: [
                    helper.make_node("Cast", [inner], [f"{outer}/half"], to=TensorProto.FLOAT16),
                    helper.make_node("Cast", [f"{outer}/half"], [outer], to=TensorProto.FLOAT),
                ],
            ),
        )


@plants("clipped range")
def clipped(model: onnx.ModelProto, rng: Random) -> Sites:
    """A relu6 in a relu's place, bounds a tenth off, or a guard against large values that cuts into the usual ones."""
    for place, node in numbered(model, "Clip"):
        for at in (1, 2):
            if at < len(node.input) and node.input[at]:
                held = taken(model, node, at)
                if held is not None and held.any():
                    yield f"{label(place, node)} bound {at}", change_input(place, at, lambda v: v * 0.9)
    for tensor in _float_tensors(model):
        bound = float(rng.choice([1.0, 3.0, 6.0, 20.0]))

        def guard(inner: str, outer: str, bound: float = bound) -> list[onnx.NodeProto]:
            low, high = scalar(f"{outer}/low", -bound), scalar(f"{outer}/high", bound)
            return [low, high, helper.make_node("Clip", [inner, f"{outer}/low", f"{outer}/high"], [outer])]

        yield f"after {tensor} at {bound:g}", insert_after(tensor, guard)


@plants("off by one in a gather or slice")
def off_by_one(model: onnx.ModelProto, rng: Random) -> Sites:
    """An index or a bound, and ids that are counted from one."""
    for place, node in numbered(model, "Gather", "Slice"):
        for at in (1,) if node.op_type == "Gather" else (1, 2):
            held = taken(model, node, at)
            if held is not None and held.size and abs(int(held.ravel()[0])) < 2**20:
                step = -1 if int(held.ravel()[0]) > 0 else 1
                yield f"{label(place, node)} {step:+}", change_input(place, at, partial(_plus, step=step))
            elif held is None and node.op_type == "Gather":
                inner = node.input[1]

                def shifted(old: onnx.NodeProto, inner: str = inner) -> list[onnx.NodeProto]:
                    y = old.output[0]
                    new = onnx.NodeProto()
                    new.CopyFrom(old)
                    new.input[1] = f"{y}/shifted"
                    return [
                        scalar(f"{y}/one", 1, np.int64),
                        helper.make_node("Cast", [inner], [f"{y}/wide"], to=TensorProto.INT64),
                        helper.make_node("Sub", [f"{y}/wide", f"{y}/one"], [f"{y}/shifted"]),
                        new,
                    ]

                if place < len(model.graph.node) and model.graph.node[place] == node:
                    yield label(place, node), replace_node(place, shifted)
