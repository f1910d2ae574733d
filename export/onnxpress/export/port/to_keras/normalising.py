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


@function("pairwise_distance")
def _pairwise_distance(
    w: Writer, x1: Value, x2: Value, p: float = 2.0, eps: float = 1e-6, keepdim: bool = False
) -> Value:
    if p != 2:
        raise w.refuse(f"pairwise_distance of order {p} has no correspondence")
    (a, b), _ = w.together([w.plain(w.made(x1)), w.plain(w.made(x2))])
    kept = ", keepdims=True" if keepdim else ""
    apart = f"{w.operand(a)} - {w.operand(b)} + {eps}"
    return w.result(f"ops.sqrt(ops.sum(ops.square({apart}), axis=-1{kept}))")


@function("local_response_norm")
def _local_response_norm(
    w: Writer, x: Value, size: int, alpha: float = 1e-4, beta: float = 0.75, k: float = 1.0
) -> Value:
    x = w.in_layout(w.settle(w.made(x)), channels_last(x.rank), "channels last, as they are the neighbours")
    w.shared.helpers.add("local_response_norm")
    return w.like(x, f"local_response_norm({x.code}, {size}, {alpha}, {beta}, {k})")


@function("bilinear")
def _bilinear(w: Writer, x1: Value, x2: Value, weight: Value, bias: Value | None = None) -> Value:
    a, b = w.plain(w.made(x1)), w.plain(w.made(x2))
    code = f'ops.einsum("...i,oij,...j->...o", {a.code}, {w.made(weight).code}, {b.code})'
    return w.result(code if bias is None else f"{code} + {w.made(bias).code}", bare=bias is None)


def _convolution(rank: int) -> None:
    def write(w: Writer, x: Value, weight: Value, bias: Value | None = None, stride: Any = 1, padding: Any = 0,
              dilation: Any = 1, groups: int = 1) -> Value:  # fmt: skip
        if not isinstance(groups, int) or x.rank != rank + 2 or x.sizes[1] is None:
            raise w.refuse(f"conv{rank}d as a function of these arguments has no correspondence", "use the layer")
        x = w.in_layout(w.settle(w.made(x)), channels_last(rank + 2), "channels last, as a convolution has them")
        depthwise = groups > 1 and groups == x.sizes[1] == weight.shown.first[0] and rank < 3
        order = (*range(2, rank + 2), 0, 1) if depthwise else (*range(2, rank + 2), 1, 0)
        if weight.parameter is not None and not weight.stored:
            kernel = w.parameter(weight.parameter, weight.shown, order, rank + 2)
        else:
            kernel = w.in_layout(w.settle(w.made(weight)), order, "a kernel as Keras has it")
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
            if any(s != 1 for s in as_tuple(stride, rank)):
                raise w.refuse("a convolution with strides and dilation has no correspondence")
            options += f", dilation_rate={literal(short(as_tuple(dilation, rank)))}"
        name = "depthwise_conv" if depthwise else "conv"
        if depthwise and len(set(as_tuple(stride, rank))) > 1:
            raise w.refuse("a depthwise convolution with strides that differ has no correspondence")
        found = f'ops.{name}({code}, {kernel.code}, {options}, data_format="channels_last")'
        if bias is not None:
            found = f"{found} + {w.made(bias).code}"
        return Value(found, w.step.shown, channels_last(rank + 2), bare=bias is None)

    FUNCTIONS[f"conv{rank}d"] = write


for _rank in (1, 2, 3):
    _convolution(_rank)
