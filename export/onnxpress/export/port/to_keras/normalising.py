"""Norms, similarities and convolutions that are called as functions, with weights of the block's own."""

from __future__ import annotations

from typing import Any

from onnxpress.export.port.code import literal, short
from onnxpress.export.port.layout import Value, channels_last
from onnxpress.export.port.to_keras.making import as_tuple
from onnxpress.export.port.to_keras.registry import FUNCTIONS, function
from onnxpress.export.port.to_keras.writer import Writer


@function("layer_norm")
def _layer_norm(w: Writer, x: Value, normalized_shape: Any, weight: Value | None = None, bias: Value | None = None,
                eps: float = 1e-5) -> Value:  # fmt: skip
    x = w.plain(w.made(x), "the norm is over the last axes")
    axis = _last(normalized_shape)
    name = w.fresh(w.step.variables[0] if w.step.variables else "x")
    w.lines.append(f"{name} = {w.operand(x)} - ops.mean({x.code}, axis={axis}, keepdims=True)")
    w.lines.append(f"{name} = {name} * ops.rsqrt(ops.mean(ops.square({name}), axis={axis}, keepdims=True) + {eps})")
    return _scaled(w, name, weight, bias)


@function("rms_norm")
def _rms_norm(
    w: Writer, x: Value, normalized_shape: Any, weight: Value | None = None, eps: float | None = None
) -> Value:
    x = w.plain(w.made(x), "the norm is over the last axes")
    eps = 1.1920928955078125e-07 if eps is None else eps
    mean = f"ops.mean(ops.square({x.code}), axis={_last(normalized_shape)}, keepdims=True)"
    name = w.fresh(w.step.variables[0] if w.step.variables else "x")
    w.lines.append(f"{name} = {w.operand(x)} * ops.rsqrt({mean} + {eps})")
    return _scaled(w, name, weight, None)


def _last(shape: Any) -> Any:
    return -1 if len(shape) == 1 else tuple(range(-len(shape), 0))


def _scaled(w: Writer, name: str, weight: Value | None, bias: Value | None) -> Value:
    code = name
    if weight is not None:
        code = f"{code} * {w.made(weight).code}"
    if bias is not None:
        code = f"{code} + {w.made(bias).code}"
    return w.result(code, bare=code == name)


@function("cosine_similarity")
def _cosine_similarity(w: Writer, x1: Value, x2: Value, dim: int = 1, eps: float = 1e-8) -> Value:
    (a, b), _ = w.together([w.plain(w.made(x1)), w.plain(w.made(x2))])
    axis = dim % a.rank
    norms = []
    for value, name in ((a, "length"), (b, "other_length")):
        norm = w.fresh(name)
        w.lines.append(f"{norm} = ops.sqrt(ops.sum(ops.square({value.code}), axis={axis}))")
        norms.append(f"ops.maximum({norm}, {eps})")
    product = f"ops.sum({w.operand(a)} * {w.operand(b)}, axis={axis})"
    return w.result(f"{product} / ({norms[0]} * {norms[1]})", bare=False)


def _convolution(rank: int) -> None:
    def write(w: Writer, x: Value, weight: Value, bias: Value | None = None, stride: Any = 1, padding: Any = 0,
              dilation: Any = 1, groups: int = 1) -> Value:  # fmt: skip
        if groups != 1 or weight.parameter is None or x.rank != rank + 2:
            raise w.refuse(f"conv{rank}d as a function of these arguments has no correspondence", "use the layer")
        x = w.in_layout(w.settle(w.made(x)), channels_last(rank + 2), "channels last, as a convolution has them")
        kernel = w.parameter(weight.parameter, weight.shown, (*range(2, rank + 2), 1, 0), rank + 2)
        code, mode = x.code, '"valid"'
        if padding == "same":
            mode = '"same"'
        elif padding != "valid" and any(as_tuple(padding, rank)):
            widths = ((0, 0), *((p, p) for p in as_tuple(padding, rank)), (0, 0))
            code = f"ops.pad({code}, {literal(widths)})"
        options = f"padding={mode}"
        if any(s != 1 for s in as_tuple(stride, rank)):
            options = f"strides={literal(short(as_tuple(stride, rank)))}, {options}"
        if any(d != 1 for d in as_tuple(dilation, rank)):
            options += f", dilation_rate={literal(short(as_tuple(dilation, rank)))}"
        found = f'ops.conv({code}, {kernel.code}, {options}, data_format="channels_last")'
        if bias is not None:
            found = f"{found} + {w.made(bias).code}"
        return Value(found, w.step.shown, channels_last(rank + 2), bare=bias is None)

    FUNCTIONS[f"conv{rank}d"] = write


for _rank in (1, 2, 3):
    _convolution(_rank)
