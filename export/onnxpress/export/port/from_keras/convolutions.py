"""Convolutions: kernels put in torch's order, `same` padding told from the sizes."""

from __future__ import annotations

from typing import Any

import numpy as np
from torch import nn

from onnxpress.core.arrays import Array
from onnxpress.export.port.code import short
from onnxpress.export.port.from_keras.activations import activated
from onnxpress.export.port.from_keras.builder import Builder
from onnxpress.export.port.from_keras.dense import same
from onnxpress.export.port.from_keras.registry import layer
from onnxpress.export.port.from_keras.starts import kernel_and_bias, start
from onnxpress.export.port.from_keras.values import Value, channels_first
from onnxpress.export.port.layout import identity

_WHY = "channels first, as this layer has them"


def spatial(w: Builder, x: Value, keras_layer: Any) -> Value:
    """The value with its channels first, wherever Keras has them."""
    x = w.settle(w.made(x))
    is_first = getattr(keras_layer, "data_format", None) == "channels_first"
    return w.in_layout(x, identity(x.rank) if is_first else channels_first(x.rank), _WHY)


def spans(x: Value) -> tuple[int | None, ...]:
    """The sizes of the axes that are neither rows nor channels, as they lie."""
    return tuple(x.sizes[axis] for axis in x.perm[2:])


def around(size: int, kernel: int, stride: int, dilation: int = 1) -> tuple[int, int]:
    """What `same` pads at the start and at the end."""
    total = max((-(-size // stride) - 1) * stride + dilation * (kernel - 1) + 1 - size, 0)
    return total // 2, total - total // 2


def same_widths(w: Builder, x: Value, kernel: Any, strides: Any, dilation: Any) -> list[tuple[int, int]]:
    """For each axis what `same` pads. Raises NoCorrespondence where that depends on a size that varies."""
    found = []
    for size, k, s, d in zip(spans(x), kernel, strides, dilation, strict=True):
        if size is None and s != 1:
            raise w.refuse(
                "padding `same` with a stride, over an axis whose size varies, has no correspondence",
                "give the model a fixed size",
            )
        found.append(around(size or 1_000_000, k, s, d))
    return found


def padded(w: Builder, x: Value, widths: list[tuple[int, int]], comment: str, **kwargs: Any) -> Value:
    """Torch's own padding, which names the last axis first."""
    flat = tuple(p for pair in reversed(widths) for p in pair)
    return w.function("pad", x, flat, perm=x.perm, comment=comment, **kwargs)


def _kernel(array: Array) -> Array:
    """(…, in, out) → (out, in, …), and for a transposed one (…, out, in) → (in, out, …)."""
    return np.moveaxis(array, (-1, -2), (0, 1))


def _depthwise_kernel(array: Array) -> Array:
    """(…, in, multiplier) → (in · multiplier, 1, …)."""
    moved = np.moveaxis(array, (-2, -1), (0, 1))
    return moved.reshape(-1, 1, *array.shape[:-2])


def _convolved(w: Builder, keras_layer: Any, x: Value, channels: tuple[int, int], groups: int, bias: Any,
               kernel: Any, carry: Any, *, part: str = "", window: Any = None) -> Value:  # fmt: skip
    """A convolution of torch; what it cannot pad itself is padded before it."""
    window = tuple(kernel.shape[:-2]) if window is None else window
    rank = len(window)
    strides, dilation = tuple(keras_layer.strides)[:rank], tuple(keras_layer.dilation_rate)[:rank]
    if part == "pointwise":
        strides = dilation = (1,) * rank
    padding: Any = (0,) * rank
    if part != "pointwise" and keras_layer.padding == "same":
        widths = same_widths(w, x, window, strides, dilation)
        if all(a == b for a, b in widths):
            padding = tuple(a for a, _ in widths)
        else:
            x = padded(w, x, widths, "`same` pads one more at the end")
    elif part != "pointwise" and keras_layer.padding == "causal":
        x = padded(w, x, [(dilation[0] * (window[0] - 1), 0)], "causal: only what came before is seen")
    kind = (nn.Conv1d, nn.Conv2d, nn.Conv3d)[rank - 1]
    module = kind(
        *channels, short(window), stride=short(strides), padding=short(padding), dilation=short(dilation),
        groups=groups, bias=bias is not None,
    )  # fmt: skip
    weights: dict[str, Any] = {"weight": ([kernel], carry)}
    if bias is not None:
        weights["bias"] = ([bias], same)
    return w.value(w.layer(keras_layer, module, x, part=part, weights=weights), x.perm)


@layer("Conv1D", "Conv2D", "Conv3D")
def _convolution(w: Builder, keras_layer: Any, x: Value) -> Value:
    x = spatial(w, x, keras_layer)
    kernel, bias = keras_layer.kernel, keras_layer.bias if keras_layer.use_bias else None
    channels = (kernel.shape[-2] * keras_layer.groups, kernel.shape[-1])
    found = _convolved(w, keras_layer, x, channels, keras_layer.groups, bias, kernel, _kernel)
    start(w, keras_layer, kernel_and_bias(keras_layer))
    return activated(w, found, keras_layer.activation)


@layer("DepthwiseConv1D", "DepthwiseConv2D")
def _depthwise(w: Builder, keras_layer: Any, x: Value) -> Value:
    x = spatial(w, x, keras_layer)
    kernel, bias = keras_layer.kernel, keras_layer.bias if keras_layer.use_bias else None
    channels, multiplier = kernel.shape[-2:]
    found = _convolved(w, keras_layer, x, (channels, channels * multiplier), channels, bias, kernel, _depthwise_kernel)
    begins = {
        "weight": (keras_layer.depthwise_initializer, kernel),
        "bias": (keras_layer.bias_initializer, bias),
    }
    start(w, keras_layer, begins)
    return activated(w, found, keras_layer.activation)


@layer("SeparableConv1D", "SeparableConv2D")
def _separable(w: Builder, keras_layer: Any, x: Value) -> Value:
    x = spatial(w, x, keras_layer)
    depthwise, pointwise = keras_layer.depthwise_kernel, keras_layer.pointwise_kernel
    bias = keras_layer.bias if keras_layer.use_bias else None
    channels, multiplier = depthwise.shape[-2:]
    inner = channels * multiplier
    x = _convolved(w, keras_layer, x, (channels, inner), channels, None, depthwise, _depthwise_kernel, part="depthwise")
    start(w, keras_layer, {"weight": (keras_layer.depthwise_initializer, depthwise)}, "depthwise")
    x = _convolved(w, keras_layer, x, (inner, pointwise.shape[-1]), 1, bias, pointwise, _kernel, part="pointwise")
    begins = {"weight": (keras_layer.pointwise_initializer, pointwise), "bias": (keras_layer.bias_initializer, bias)}
    start(w, keras_layer, begins, "pointwise")
    return activated(w, x, keras_layer.activation)


@layer("Conv1DTranspose", "Conv2DTranspose", "Conv3DTranspose")
def _transposed(w: Builder, keras_layer: Any, x: Value) -> Value:
    x = spatial(w, x, keras_layer)
    kernel, bias = keras_layer.kernel, keras_layer.bias if keras_layer.use_bias else None
    window = tuple(kernel.shape[:-2])
    if keras_layer.output_padding is not None or any(d != 1 for d in keras_layer.dilation_rate):
        raise w.refuse("a transposed convolution with output_padding or dilation has no correspondence")
    padding, more, cut = [], [], []
    for k, s in zip(window, keras_layer.strides, strict=True):
        total = max(k - s, 0) if keras_layer.padding == "same" else 0
        padding.append(total // 2)
        more.append(max(s - k, 0))
        cut.append(total % 2)
    kind = (nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d)[len(window) - 1]
    module = kind(
        kernel.shape[-1], kernel.shape[-2], short(window), stride=short(tuple(keras_layer.strides)),
        padding=short(tuple(padding)), output_padding=short(tuple(more)), bias=bias is not None,
    )  # fmt: skip
    weights: dict[str, Any] = {"weight": ([kernel], _kernel)}
    if bias is not None:
        weights["bias"] = ([bias], same)
    found = w.value(w.layer(keras_layer, module, x, weights=weights), x.perm)
    start(w, keras_layer, kernel_and_bias(keras_layer))
    if any(cut):
        index = (Ellipsis, *(slice(None, -c) if c else slice(None) for c in cut))
        found = w.function("getitem", found, index, perm=x.perm, comment="`same` cuts one more off at the end")
    return activated(w, found, keras_layer.activation)
