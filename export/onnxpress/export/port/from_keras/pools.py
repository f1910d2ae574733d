"""Pooling, padding, cropping and upsampling."""

from __future__ import annotations

from typing import Any

from torch import nn

from onnxpress.export.port.code import short
from onnxpress.export.port.from_keras.builder import Builder
from onnxpress.export.port.from_keras.convolutions import padded, same_widths, spans, spatial
from onnxpress.export.port.from_keras.masks import mask_of
from onnxpress.export.port.from_keras.registry import layer, operation
from onnxpress.export.port.from_keras.values import Value


@operation("MaxPool", "AveragePool")
def _pool_function(w: Builder, op: Any, x: Value) -> Value:
    strides = op.pool_size if op.strides is None else op.strides
    return _pool(w, op, x, strides)


@layer(*(f"{kind}Pooling{n}D" for kind in ("Max", "Average") for n in (1, 2, 3)))
def _pool(w: Builder, keras_layer: Any, x: Value, strides: Any = None) -> Value:
    x = spatial(w, x, keras_layer)
    window, strides = _tuple(keras_layer.pool_size, x), _tuple(strides or keras_layer.strides, x)
    is_average = type(keras_layer).__name__.startswith("Average")
    rank = len(window)
    options: dict[str, Any] = {}
    expected = [None if s is None else (s - k) // t + 1 for s, k, t in zip(spans(x), window, strides, strict=True)]
    if keras_layer.padding == "same":
        widths = same_widths(w, x, window, strides, (1,) * rank)
        expected = [None if s is None else -(-s // t) for s, t in zip(spans(x), strides, strict=True)]
        if any(b for _, b in widths):
            options["padding"] = short(tuple(a for a, _ in widths))
            if any(a != b for a, b in widths):
                if any(a != b and t == 1 for (a, b), t in zip(widths, strides, strict=True)):
                    return _padded_pool(w, keras_layer, x, window, strides, widths)
                options["ceil_mode"] = True  # a last window over the edge, of what is there
            if is_average:
                options["count_include_pad"] = False
    kind = {
        (False, 1): nn.MaxPool1d, (False, 2): nn.MaxPool2d, (False, 3): nn.MaxPool3d,
        (True, 1): nn.AvgPool1d, (True, 2): nn.AvgPool2d, (True, 3): nn.AvgPool3d,
    }[is_average, rank]  # fmt: skip
    module = kind(short(window), stride=short(strides), **options)
    found = w.value(w.layer(keras_layer, module, x), x.perm)
    if list(spans(found)) != expected and None not in spans(found):
        raise w.refuse(f"torch's pool answers {spans(found)} where Keras answers {tuple(expected)}")
    return found


def _padded_pool(w: Builder, keras_layer: Any, x: Value, window: Any, strides: Any, widths: Any) -> Value:
    """With what `same` pads at the end alone, which torch's pools do not."""
    rank = len(window)
    if type(keras_layer).__name__.startswith("Average"):
        raise w.refuse("average pooling by 1 with an even window and padding `same` has no correspondence")
    x = padded(w, x, widths, "`same` pads one more at the end", value=float("-inf"))
    kind = (nn.MaxPool1d, nn.MaxPool2d, nn.MaxPool3d)[rank - 1]
    return w.value(w.layer(keras_layer, kind(short(window), stride=short(strides)), x), x.perm)


def _tuple(value: Any, x: Value) -> tuple[int, ...]:
    return (value,) * (x.rank - 2) if isinstance(value, int) else tuple(value)


@layer(*(f"Global{kind}Pooling{n}D" for kind in ("Max", "Average") for n in (1, 2, 3)))
def _global_pool(w: Builder, keras_layer: Any, x: Value, mask: Any = None) -> Value:
    seen = mask_of(w, x)
    x = w.settle(w.made(x))
    is_average = "Average" in type(keras_layer).__name__
    is_first = keras_layer.data_format == "channels_first"
    axes = range(2, x.rank) if is_first else range(1, x.rank - 1)
    dims = tuple(sorted(x.place(axis) for axis in axes))
    keep = bool(keras_layer.keepdims)
    if seen is not None and is_average:
        if is_first or keep:
            raise w.refuse("a masked pool with keepdims, or of channels first, has no correspondence")
        x = w.plain(x, "the mask is over the second axis")
        weights = w.function("to", w.function("unsqueeze", seen, -1), f"torch.{x.dtype}")
        total = w.function("sum", w.function("mul", x, weights), dim=1)
        return w.function("div", total, w.function("sum", weights, dim=1))
    name = "mean" if is_average else "amax"
    perm = x.perm if keep else (0, 1)
    options: dict[str, Any] = {"keepdim": True} if keep else {}
    return w.function(name, x, dim=short(dims), perm=perm, **options)


@layer("ZeroPadding1D", "ZeroPadding2D", "ZeroPadding3D")
def _zero_padding(w: Builder, keras_layer: Any, x: Value) -> Value:
    x = spatial(w, x, keras_layer)
    widths = keras_layer.padding if x.rank > 3 else (keras_layer.padding,)
    return padded(w, x, [tuple(pair) for pair in widths], "")


@layer("Cropping1D", "Cropping2D", "Cropping3D")
def _cropping(w: Builder, keras_layer: Any, x: Value) -> Value:
    x = w.settle(w.made(x))
    widths = keras_layer.cropping if x.rank > 3 else (keras_layer.cropping,)
    first = 2 if getattr(keras_layer, "data_format", None) == "channels_first" else 1
    cuts = {first + n: slice(a or None, -b if b else None) for n, (a, b) in enumerate(widths)}
    index = tuple(cuts.get(axis, slice(None)) for axis in x.perm)
    return w.function("getitem", x, index, perm=x.perm)


@layer("UpSampling1D", "UpSampling2D", "UpSampling3D")
def _upsampling(w: Builder, keras_layer: Any, x: Value) -> Value:
    x = spatial(w, x, keras_layer)
    factors = _tuple(keras_layer.size, x)
    mode = getattr(keras_layer, "interpolation", "nearest")
    if mode not in ("nearest", "bilinear"):
        raise w.refuse(f"upsampling by {mode} has no correspondence", "nearest or bilinear")
    options = {"align_corners": False} if mode == "bilinear" else {}
    module = nn.Upsample(
        scale_factor=float(short(factors)) if len(set(factors)) == 1 else tuple(float(f) for f in factors),
        mode=mode,
        **options,
    )
    return w.value(w.layer(keras_layer, module, x), x.perm)
