"""Dense layers, products by einsum, and embeddings."""

from __future__ import annotations

from typing import Any

import numpy as np
from torch import nn

from onnxpress.core.arrays import Array
from onnxpress.export.port.from_keras.activations import activated
from onnxpress.export.port.from_keras.builder import Builder
from onnxpress.export.port.from_keras.registry import layer
from onnxpress.export.port.from_keras.starts import kernel_and_bias, start
from onnxpress.export.port.from_keras.values import Value


def same(array: Array) -> Array:
    """As it is."""
    return array


@layer("Dense")
def _dense(w: Builder, keras_layer: Any, x: Value) -> Value:
    if getattr(keras_layer, "lora_enabled", False) or getattr(keras_layer, "quantization_mode", None):
        raise w.refuse("a Dense layer with LoRA or quantised has no correspondence")
    x = w.floats(x)
    if x.perm[-1] != x.rank - 1:
        x = w.plain(x, "this layer is over the last axis")
    order = x.order
    kernel = keras_layer.kernel
    module = nn.Linear(kernel.shape[0], kernel.shape[1], bias=keras_layer.use_bias)

    def carried(array: Array) -> Array:
        return array.T if order is None else array[order].T

    weights: dict[str, Any] = {"weight": ([kernel], carried)}
    if keras_layer.use_bias:
        weights["bias"] = ([keras_layer.bias], same)
    number = w.layer(keras_layer, module, x, weights=weights)
    start(w, keras_layer, kernel_and_bias(keras_layer))
    return activated(w, w.value(number, x.perm), keras_layer.activation)


@layer("EinsumDense")
def _einsum_dense(w: Builder, keras_layer: Any, x: Value) -> Value:
    x = w.plain(w.made(x))
    left, _, right = keras_layer.equation.replace(" ", "").partition(",")
    middle, _, out = right.partition("->")
    given = "".join(c for c in middle if c in left and c not in out)
    made = "".join(c for c in middle if c not in left)
    is_linear = (
        left.endswith(given)
        and out.endswith(made)
        and left[: len(left) - len(given)].replace("...", "") == (out[: len(out) - len(made)].replace("...", ""))
    )
    if not is_linear or not given or middle != given + made:
        raise w.refuse(f"an EinsumDense of {keras_layer.equation} has no correspondence")
    kernel = keras_layer.kernel
    shape = tuple(kernel.shape)
    columns, rows = int(np.prod(shape[: len(given)])), int(np.prod(shape[len(given) :]))
    if len(given) > 1:
        x = w.function("flatten", x, -len(given))
    has_bias = keras_layer.bias is not None
    bias_shape = tuple(keras_layer.bias.shape) if has_bias else ()
    if has_bias and bias_shape != shape[len(given) :]:
        raise w.refuse("an EinsumDense whose bias is shared over axes has no correspondence")
    weights: dict[str, Any] = {"weight": ([kernel], lambda a: a.reshape(columns, rows).T)}
    if has_bias:
        weights["bias"] = ([keras_layer.bias], np.ravel)
    value = w.value(w.layer(keras_layer, nn.Linear(columns, rows, bias=has_bias), x, weights=weights))
    start(w, keras_layer, kernel_and_bias(keras_layer))
    if len(made) > 1:
        value = w.function("unflatten", value, -1, shape[len(given) :])
    return activated(w, value, keras_layer.activation)


@layer("Embedding")
def _embedding(w: Builder, keras_layer: Any, ids: Value) -> Value:
    if getattr(keras_layer, "lora_enabled", False) or getattr(keras_layer, "quantization_mode", None):
        raise w.refuse("an Embedding with LoRA or quantised has no correspondence")
    ids = w.settle(w.made(ids))
    if not ids.dtype.startswith("int"):
        ids = w.function("to", ids, "torch.int64", perm=ids.perm)
    module = nn.Embedding(keras_layer.input_dim, keras_layer.output_dim)
    table = keras_layer.embeddings
    number = w.layer(keras_layer, module, ids, weights={"weight": ([table], same)})
    start(w, keras_layer, {"weight": (keras_layer.embeddings_initializer, table)})
    found = w.value(number, (*ids.perm, ids.rank))
    if keras_layer.mask_zero:
        found.mask = w.function("ne", ids, 0, perm=ids.perm, called="seen")
    return found


@layer("Masking")
def _masking(w: Builder, keras_layer: Any, x: Value) -> Value:
    x = w.plain(w.made(x), "the mask is told by the last axis")
    seen = w.function("any", w.function("ne", x, keras_layer.mask_value), dim=-1, called="seen")
    found = w.function("mul", x, w.function("unsqueeze", seen, -1))
    found.mask = seen
    return found
