"""Activations: Keras's functions, layers and operations as torch's functions."""

from __future__ import annotations

from typing import Any

import numpy as np
from torch import nn

from onnxpress.export.port.from_keras.builder import Builder
from onnxpress.export.port.from_keras.registry import layer, operation
from onnxpress.export.port.from_keras.values import Value

PLAIN = {
    "relu": "relu", "sigmoid": "sigmoid", "tanh": "tanh", "softplus": "softplus", "softsign": "softsign",
    "silu": "silu", "swish": "silu", "mish": "mish", "selu": "selu", "elu": "elu", "celu": "celu", "relu6": "relu6",
    "hard_sigmoid": "hardsigmoid", "hard_silu": "hardswish", "hard_swish": "hardswish", "hard_tanh": "hardtanh",
    "log_sigmoid": "logsigmoid", "tanh_shrink": "tanhshrink", "exponential": "exp", "gelu": "gelu",
}  # fmt: skip
"""Keras's function → torch's, both as they are without arguments"""
_OPERATIONS = {
    "Relu": "relu", "Sigmoid": "sigmoid", "Tanh": "tanh", "Softplus": "softplus", "Softsign": "softsign",
    "Silu": "silu", "Selu": "selu", "Relu6": "relu6", "HardSigmoid": "hardsigmoid", "HardSilu": "hardswish",
    "HardTanh": "hardtanh", "LogSigmoid": "logsigmoid", "TanhShrink": "tanhshrink",
}  # fmt: skip


def activated(w: Any, x: Value, function: Any) -> Value:
    """The value behind a layer's activation."""
    if function is None:
        return x
    name = getattr(function, "__name__", type(function).__name__)
    is_keras = str(getattr(function, "__module__", "")).startswith("keras.")
    if is_keras and name == "linear":
        return x
    if is_keras and name in PLAIN:
        return w.like(x, PLAIN[name], x)
    if is_keras and name in ("softmax", "log_softmax"):
        return softmax(w, x, -1, name)
    if is_keras and name == "leaky_relu":
        return w.like(x, "leaky_relu", x, 0.2)
    found: Value = w.inline(function, (x,), {})
    return found


def softmax(w: Builder, x: Value, axis: Any, name: str = "softmax") -> Value:
    """Over one axis."""
    if not isinstance(axis, int):
        raise w.refuse("a softmax over several axes has no correspondence")
    if axis % x.rank == x.rank - 1 and x.order is not None:
        return w.like(x, name, x, dim=-1)
    x = w.settle(x)
    return w.like(x, name, x, dim=x.written_place(axis))


@operation(*_OPERATIONS)
def _plain(w: Builder, op: Any, x: Value) -> Value:
    x = w.made(x)
    return w.like(x, _OPERATIONS[type(op).__name__], x)


@operation("Elu", "Celu")
def _elu(w: Builder, op: Any, x: Value) -> Value:
    return w.like(x, type(op).__name__.lower(), x, alpha=float(op.alpha))


@operation("Gelu")
def _gelu(w: Builder, op: Any, x: Value) -> Value:
    return w.like(x, "gelu", x, **({"approximate": "tanh"} if op.approximate else {}))


@operation("LeakyRelu")
def _leaky_relu(w: Builder, op: Any, x: Value) -> Value:
    return w.like(x, "leaky_relu", x, float(op.negative_slope))


@operation("Softmax", "LogSoftmax")
def _softmax(w: Builder, op: Any, x: Value) -> Value:
    return softmax(w, x, op.axis, "softmax" if type(op).__name__ == "Softmax" else "log_softmax")


@operation("Glu")
def _glu(w: Builder, op: Any, x: Value) -> Value:
    x = w.settle(x)
    return w.function("glu", x, dim=x.place(op.axis), perm=x.perm)


@layer("Activation")
def _activation(w: Builder, keras_layer: Any, x: Value) -> Value:
    return activated(w, x, keras_layer.activation)


@layer("ReLU")
def _relu_layer(w: Builder, keras_layer: Any, x: Value) -> Value:
    slope, top, threshold = (
        float(v or 0) if v is not None else None
        for v in (keras_layer.negative_slope, keras_layer.max_value, keras_layer.threshold)
    )
    if threshold:
        raise w.refuse("a ReLU with a threshold has no correspondence")
    if slope and top is not None:
        return w.like(x, "clamp", w.like(x, "leaky_relu", x, slope), max=top)
    if slope:
        return w.like(x, "leaky_relu", x, slope)
    if top is not None:
        return w.like(x, "relu6", x) if top == 6 else w.like(x, "clamp", x, 0.0, top)
    return w.like(x, "relu", x)


@layer("LeakyReLU")
def _leaky_relu_layer(w: Builder, keras_layer: Any, x: Value) -> Value:
    return w.like(x, "leaky_relu", x, float(keras_layer.negative_slope))


@layer("ELU")
def _elu_layer(w: Builder, keras_layer: Any, x: Value) -> Value:
    return w.like(x, "elu", x, alpha=float(keras_layer.alpha))


@layer("Softmax")
def _softmax_layer(w: Builder, keras_layer: Any, x: Value, mask: Any = None) -> Value:
    if mask is not None or x.mask is not None:
        raise w.refuse("a Softmax behind a mask has no correspondence")
    return softmax(w, x, keras_layer.axis)


@layer("PReLU")
def _prelu(w: Builder, keras_layer: Any, x: Value) -> Value:
    x = w.settle(x)
    shape = tuple(keras_layer.alpha.shape)
    if x.place(-1) == 1 and all(size == 1 for size in shape[:-1]):
        module = nn.PReLU(shape[-1])
        number = w.layer(keras_layer, module, x, weights={"weight": ([keras_layer.alpha], np.ravel)})
        return w.value(number, x.perm)
    slope = w.parameter(keras_layer.alpha, tuple(a - 1 for a in x.perm if a), x.rank - 1)
    below = w.function("mul", slope, w.function("clamp", x, max=0.0, perm=x.perm), perm=x.perm)
    return w.function("add", w.function("relu", x, perm=x.perm), below, perm=x.perm)


@operation("Threshold", "HardShrink", "SoftShrink")
def _shrunk(w: Builder, op: Any, x: Value) -> Value:
    kind = type(op).__name__
    if kind == "Threshold":
        return w.like(x, "threshold", x, float(op.threshold), float(op.default_value))
    return w.like(x, kind.lower(), x, float(op.threshold))
