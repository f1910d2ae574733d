"""Handlers for TensorFlow operators that tf2onnx 1.17 lacks or converts wrongly: Erfc, Expm1, integer FloorDiv."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np


@cache
def register() -> None:
    """Add the handlers to tf2onnx's table, once."""
    from onnx import TensorProto
    from tf2onnx.handler import tf_op
    from tf2onnx.onnx_opset import math as converters

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


def _stock(handler: Any, ctx: Any, node: Any, **kwargs: Any) -> None:
    versions = [name for name in dir(handler) if name.startswith("version_")]
    getattr(handler, max(versions, key=lambda name: int(name.removeprefix("version_"))))(ctx, node, **kwargs)


def _replace(ctx: Any, node: Any, operator: str, inputs: list[str]) -> None:
    shapes, dtypes, outputs = node.output_shapes, node.output_dtypes, node.output
    ctx.remove_node(node.name)
    ctx.make_node(operator, inputs, outputs=outputs, name=node.name, shapes=shapes, dtypes=dtypes)


def _numpy(element_type: int) -> Any:
    from tf2onnx.utils import map_onnx_to_numpy_type

    return map_onnx_to_numpy_type(element_type)
