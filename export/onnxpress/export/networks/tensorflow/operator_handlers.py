"""Handlers for TensorFlow operators that tf2onnx 1.17 lacks or converts wrongly.

Erfc, Expm1, Bucketize, FloorDiv and FloorMod of integers, OneHot, DenseBincount, ScaleAndTranslate, resizing to sizes
that scales miss, look-ups from number to number, and strings held against a constant.
"""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np


@cache
def register() -> None:
    """Add the handlers to tf2onnx's table, once."""
    from onnx import TensorProto
    from tf2onnx.custom_opsets import onnx_ml as tables
    from tf2onnx.handler import tf_op
    from tf2onnx.onnx_opset import logical, tensor
    from tf2onnx.onnx_opset import math as converters
    from tf2onnx.onnx_opset import nn as pictures

    @tf_op("Erfc")
    class Erfc:
        """erfc(x) = 1 - erf(x); keras.activations.gelu becomes this."""

        @classmethod
        def version_9(cls, ctx: Any, node: Any, **_: Any) -> None:
            dtype = ctx.get_dtype(node.output[0])
            erf = ctx.make_node("Erf", node.input, dtypes=[dtype])
            one = ctx.make_const(f"{node.name}_one", np.ones((), _numpy(dtype)))
            _replace(ctx, node, "Sub", [one.output[0], erf.output[0]])

    @tf_op("Expm1")
    class Expm1:
        """2t / (1 - t) with t = tanh(x / 2) near zero and below, where exp(x) - 1 cancels; exp(x) - 1 above."""

        @classmethod
        def version_9(cls, ctx: Any, node: Any, **_: Any) -> None:
            dtype = ctx.get_dtype(node.output[0])
            one, two = (
                ctx.make_const(f"{node.name}_{label}", np.asarray(value, _numpy(dtype))).output[0]
                for label, value in (("one", 1), ("two", 2))
            )
            x = node.input[0]

            def make(operator: str, *inputs: str, dtype: Any = dtype) -> str:
                return str(ctx.make_node(operator, list(inputs), dtypes=[dtype]).output[0])

            t = make("Tanh", make("Div", x, two))
            small = make("Div", make("Mul", two, t), make("Sub", one, t))
            large = make("Sub", make("Exp", x), one)
            _replace(ctx, node, "Where", [make("Less", x, one, dtype=TensorProto.BOOL), small, large])

    stock = converters.FloorDiv

    @tf_op("FloorDiv")
    class FloorDiv:
        """Rounds towards minus infinity; tf2onnx's rounds integers towards zero, as ONNX's Div does."""

        @classmethod
        def version_7(cls, ctx: Any, node: Any, **kwargs: Any) -> None:
            dtype = ctx.get_dtype(node.input[0])
            if np.dtype(_numpy(dtype)).kind != "i":
                _stock(stock, ctx, node, **kwargs)
                return
            a, b = node.input
            # Mod has the divisor's sign, so that (a - a mod b) / b is exact and floored.
            remainder = ctx.make_node("Mod", [a, b], dtypes=[dtype]).output[0]
            difference = ctx.make_node("Sub", [a, remainder], dtypes=[dtype]).output[0]
            _replace(ctx, node, "Div", [difference, b])

    stock_remainder = converters.FloorMod

    @tf_op("FloorMod")
    class FloorMod:
        """Has the divisor's sign; tf2onnx's has the dividend's for integers."""

        @classmethod
        def version_10(cls, ctx: Any, node: Any, **kwargs: Any) -> None:
            if np.dtype(_numpy(ctx.get_dtype(node.input[0]))).kind == "i":
                _replace(ctx, node, "Mod", list(node.input))
            else:
                _stock(stock_remainder, ctx, node, **kwargs)

    @tf_op("Bucketize")
    class Bucketize:
        """How many of the boundaries are at most x; Keras's Discretization becomes this."""

        @classmethod
        def version_9(cls, ctx: Any, node: Any, **_: Any) -> None:
            # Boundaries are float32 in TensorFlow. In float64 whole numbers of any size are held against them exactly.
            boundaries = np.asarray(node.get_attr("boundaries").floats, np.float64)

            def make(operator: str, inputs: list[str], dtype: Any, **attributes: Any) -> str:
                return str(ctx.make_node(operator, inputs, dtypes=[dtype], attr=attributes).output[0])

            one, last = (ctx.make_const(f"{node.name}_{label}", value).output[0] for label, value in (
                ("boundaries", boundaries), ("last", np.asarray([-1], np.int64)),
            ))  # fmt: skip
            x = make("Cast", [node.input[0]], TensorProto.DOUBLE, to=TensorProto.DOUBLE)
            below = make("Less", [make("Unsqueeze", [x, last], TensorProto.DOUBLE), one], TensorProto.BOOL)
            reached = make("Cast", [make("Not", [below], TensorProto.BOOL)], TensorProto.INT32, to=TensorProto.INT32)
            _replace(ctx, node, "ReduceSum", [reached, last], keepdims=0)

    look_up = tables.LookupTableFind

    @tf_op("LookupTableFindV2")
    class LookupTableFind:
        """From whole number to whole number, as IntegerLookup; tf2onnx has those with strings alone."""

        @classmethod
        def version_9(cls, ctx: Any, node: Any, initialized_tables: Any, **kwargs: Any) -> None:
            kinds = [ctx.get_dtype(node.input[1]), ctx.get_dtype(node.output[0])]
            _spread_shape(ctx, node.output[0], ctx.get_shape(node.input[1]))
            if kinds != [TensorProto.INT64, TensorProto.INT64] or node.inputs[1].is_const():
                look_up.version_8(ctx, node, initialized_tables=initialized_tables, **kwargs)
                return
            table = node.inputs[0]
            while table.type == "Identity":
                table = table.inputs[0]
            keys, values = initialized_tables[table.get_attr_value("shared_name")]
            other = int(node.inputs[2].get_tensor_value())
            _replace(
                ctx,
                node,
                "LabelEncoder",
                [node.input[1]],
                domain="ai.onnx.ml",
                keys_int64s=[int(key) for key in keys],
                values_int64s=[int(value) for value in values],
                default_int64=other,
            )

    @tf_op("DenseBincount")
    class DenseBincount:
        """How often each number is there, row by row; tf2onnx counts all rows together."""

        @classmethod
        def version_13(cls, ctx: Any, node: Any, **_: Any) -> None:
            dtype = ctx.get_dtype(node.output[0])

            def make(operator: str, *inputs: str, kind: Any = dtype, **attributes: Any) -> str:
                return str(ctx.make_node(operator, list(inputs), dtypes=[kind], attr=attributes).output[0])

            def constant(label: str, value: Any, kind: Any) -> str:
                return str(ctx.make_const(f"{node.name}_{label}", np.asarray(value, kind)).output[0])

            fixed = _fixed_size(node.inputs[1])
            size = make("Cast", node.input[1], kind=TensorProto.INT64, to=TensorProto.INT64)
            size = size if fixed is None else constant("size", fixed, np.int64)
            zero, one, last = (
                constant(label, value, np.int64) for label, value in (("zero", 0), ("one", 1), ("last", [-1]))
            )
            numbers = make("Cast", node.input[0], kind=TensorProto.INT64, to=TensorProto.INT64)
            bins = make("Range", zero, size, one, kind=TensorProto.INT64)
            there = make("Equal", make("Unsqueeze", numbers, last, kind=TensorProto.INT64), bins, kind=TensorProto.BOOL)
            counted = make("Cast", there, to=dtype)
            weights = node.inputs[2]
            if not (weights.is_const() and weights.get_tensor_value(as_list=False).size == 0):
                counted = make("Mul", counted, make("Unsqueeze", node.input[2], last))
            if node.get_attr_value("binary_output"):
                _replace(ctx, node, "ReduceMax", [counted, constant("axis", [-2], np.int64)], keepdims=0)
            else:
                _replace(ctx, node, "ReduceSum", [counted, constant("axis", [-2], np.int64)], keepdims=0)

    @tf_op("ScaleAndTranslate")
    class ScaleAndTranslate:
        """Sums over rows and over columns with fixed weights; a resize with antialias becomes this.

        TensorFlow tells the weights itself: they are what it makes of pictures with a single 1.
        """

        @classmethod
        def version_9(cls, ctx: Any, node: Any, **_: Any) -> None:
            dtype, shape = ctx.get_dtype(node.output[0]), ctx.get_shape(node.input[0])
            size, moved = (node.inputs[place].get_tensor_value(as_list=False) for place in (1, 3))
            settings = [size, _scale(node, size, shape[1:3]), moved]
            kernel, smooth = node.get_attr("kernel_type").s.decode(), bool(node.get_attr_value("antialias"))

            def make(operator: str, *inputs: str, **attributes: Any) -> str:
                return str(ctx.make_node(operator, list(inputs), dtypes=[dtype], attr=attributes).output[0])

            rows, columns = (
                ctx.make_const(
                    f"{node.name}_{axis}", _resizing(axis, shape[1 + axis], settings, kernel, smooth)
                ).output[0]
                for axis in (0, 1)
            )
            channels_first = make("Transpose", node.input[0], perm=[0, 3, 1, 2])
            resized = make("MatMul", rows, make("MatMul", channels_first, make("Transpose", columns, perm=[1, 0])))
            _replace(ctx, node, "Transpose", [resized], perm=[0, 2, 3, 1])

    resize = pictures.Resize

    @tf_op(["ResizeBilinear", "ResizeBicubic", "ResizeNearestNeighbor"])
    class Resize:
        """Of scales that come out below the new size, 5 / 6 of 6 in float32 being 4.9999998, the next ones above."""

        @classmethod
        def version_11(cls, ctx: Any, node: Any, **kwargs: Any) -> None:
            before, after, output = ctx.get_shape(node.input[0]), node.inputs[1], node.output[0]
            wanted = after.get_tensor_value(as_list=False) if after.is_const() else None
            _stock(resize, ctx, node, **kwargs)
            made = ctx.get_node_by_output(output).inputs[0]
            scales = made.inputs[2]
            if wanted is None or not scales.is_const() or scales.get_tensor_value(as_list=False).size != 4:
                return
            values = np.array(scales.get_tensor_value(as_list=False), np.float32)
            for axis, (old, new) in enumerate(zip(before[1:3], wanted, strict=True)):
                while float(values[2 + axis]) * old < new:
                    values[2 + axis] = np.nextafter(values[2 + axis], np.float32(np.inf))
            scales.set_tensor_value(values)
            ctx.set_shape(made.output[0], [before[0], before[3], *map(int, wanted)])

    one_hot = tensor.OneHot

    @tf_op("OneHot")
    class OneHot:
        """All off where an index is negative, which ONNX counts from the end; of any dtype, where tf2onnx gathers."""

        @classmethod
        def version_13(cls, ctx: Any, node: Any, **kwargs: Any) -> None:
            shape = ctx.get_shape(node.input[0])

            def cast(name: str, to: Any) -> str:
                return str(ctx.make_node("Cast", [name], dtypes=[to], attr={"to": to}).output[0])

            index, depth = (cast(name, TensorProto.INT64) for name in node.input[:2])
            zero = ctx.make_const(f"{node.name}_zero", np.zeros((), np.int64)).output[0]
            negative = ctx.make_node("Less", [index, zero], dtypes=[TensorProto.BOOL]).output[0]
            inside = ctx.make_node("Where", [negative, depth, index], dtypes=[TensorProto.INT64], shapes=[shape])
            ctx.replace_input(node, node.input[0], inside.output[0], 0)
            dtype = ctx.get_dtype(node.input[2])
            if dtype != TensorProto.FLOAT:
                for place in (2, 3):
                    ctx.replace_input(node, node.input[place], cast(node.input[place], TensorProto.FLOAT), place)
                back = ctx.insert_new_node_on_output("Cast", node.output[0], name=f"{node.name}_back", to=dtype)
                ctx.set_dtype(back.output[0], dtype)
                ctx.copy_shape(node.output[0], back.output[0])
                ctx.set_dtype(node.output[0], TensorProto.FLOAT)
            _stock(one_hot, ctx, node, **kwargs)

    equal = logical.Equal

    @tf_op("Equal")
    class Equal:
        """A string held against a constant, as StringLookup's mask is; tf2onnx would read both as numbers."""

        @classmethod
        def version_11(cls, ctx: Any, node: Any, **kwargs: Any) -> None:
            constant = next((place for place in (0, 1) if node.inputs[place].is_const()), None)
            if ctx.get_dtype(node.input[0]) != TensorProto.STRING or constant is None:
                _stock(equal, ctx, node, **kwargs)
                return
            (word,) = np.ravel(node.inputs[constant].get_tensor_value(as_list=False)).tolist()
            keys = [word.decode() if isinstance(word, bytes) else str(word)]
            same = ctx.make_node(
                "LabelEncoder",
                [node.input[1 - constant]],
                domain="ai.onnx.ml",
                attr={"keys_strings": keys, "values_int64s": [1], "default_int64": 0},
                dtypes=[TensorProto.INT64],
            )
            _replace(ctx, node, "Cast", [same.output[0]], to=TensorProto.BOOL)


def _resizing(axis: int, size: int, settings: Any, kernel: str, antialias: bool) -> Any:
    """The weights (new size, size) of one axis of ScaleAndTranslate; `settings`: new sizes, scales, translations."""
    import tensorflow as tf

    unit = np.eye(size, dtype=np.float32).reshape((1, size, 1, size) if axis == 0 else (1, 1, size, size))
    only = [np.array([1, 1], one.dtype) * still for one, still in zip(settings, (1, 1, 0), strict=True)]
    for one, given in zip(only, settings, strict=True):
        one[axis] = given[axis]
    with tf.Graph().as_default(), tf.compat.v1.Session() as session:  # tf2onnx is at work in a graph of its own
        made = tf.raw_ops.ScaleAndTranslate(
            images=unit, size=only[0], scale=only[1], translation=only[2], kernel_type=kernel, antialias=antialias
        )
        return session.run(made).reshape(int(only[0][axis]), size)


def _scale(node: Any, size: Any, before: Any) -> Any:
    """The scales: a constant, or new sizes over the picture's own, as tf.image.resize computes them."""
    scale = node.inputs[2]
    if scale.is_const():
        return scale.get_tensor_value(as_list=False)
    new, own = scale.inputs
    new = new.inputs[0] if new.type == "Cast" else new
    while own.type in ("Cast", "Slice", "StridedSlice", "Squeeze"):
        own = own.inputs[0]
    of_the_picture = own.type == "Shape" and own.input[0] == node.input[0]
    if scale.type not in ("Div", "RealDiv") or not of_the_picture or not new.is_const():
        raise ValueError("a scale that is computed has no ONNX form")
    return new.get_tensor_value(as_list=False).astype(np.float32) / np.asarray(before, np.float32)


def _fixed_size(node: Any) -> int | None:
    """The number where a size is held between two that are equal, as tf.math.bincount's minlength and maxlength."""
    bounds = []
    for kinds in (("Minimum", "Min"), ("Maximum", "Max")):
        if node.type not in kinds:
            return None
        known = [one for one in node.inputs if one.is_const()]
        others = [one for one in node.inputs if not one.is_const()]
        if len(known) != 1 or len(others) != 1:
            return None
        bounds.append(int(known[0].get_tensor_value(as_list=False)))
        node = others[0]
    return bounds[0] if bounds[0] == bounds[1] else None


def _spread_shape(ctx: Any, tensor: str, shape: Any) -> None:
    """The shape of what a table answers, which TensorFlow does not tell, and of what a mask makes of it."""
    ctx.set_shape(tensor, shape)
    for node in ctx.find_output_consumers(tensor):
        if node.type in ("SelectV2", "Identity") and ctx.get_shape(node.output[0]) is None:
            _spread_shape(ctx, node.output[0], shape)


def _stock(handler: Any, ctx: Any, node: Any, **kwargs: Any) -> None:
    versions = [name for name in dir(handler) if name.startswith("version_")]
    getattr(handler, max(versions, key=lambda name: int(name.removeprefix("version_"))))(ctx, node, **kwargs)


def _replace(ctx: Any, node: Any, operator: str, inputs: list[str], *, domain: str = "", **attributes: Any) -> None:
    shapes, dtypes, outputs = node.output_shapes, node.output_dtypes, node.output
    ctx.remove_node(node.name)
    ctx.make_node(
        operator, inputs, outputs=outputs, name=node.name, shapes=shapes, dtypes=dtypes, domain=domain, attr=attributes
    )


def _numpy(element_type: int) -> Any:
    from tf2onnx.utils import map_onnx_to_numpy_type

    return map_onnx_to_numpy_type(element_type)
