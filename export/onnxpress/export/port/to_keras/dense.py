"""Dense layers, convolutions and embeddings."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from onnxpress.core.arrays import Array
from onnxpress.export.port.code import literal, short
from onnxpress.export.port.layout import Value, channels_last
from onnxpress.export.port.steps import Shown
from onnxpress.export.port.to_keras.edges import at_edges
from onnxpress.export.port.to_keras.making import (
    called,
    make,
    member,
    register,
    spatial,
    with_start,
    without_learning,
)
from onnxpress.export.port.to_keras.writer import Writer


@register("Linear")
def _linear(w: Writer, module: Any, x: Value) -> Value:
    x = w.made(x)
    if x.perm[-1] != x.rank - 1 or (x.rank > 2 and x.order is None and x.perm[0] != 0):
        x = w.plain(x, "this layer is over the last axis")
    if (table := w.shared.tied.get(w.full(f"{w.step.name}.weight"))) is not None:
        return w.result(_tied(w, module, w.settle(x), table), x.perm, bare=module.bias is None)
    order = x.order
    options = {} if module.bias is not None else {"use_bias": "False"}
    made = make(w, module, f"Dense({module.out_features})", **options)
    made = with_start(w, made)
    take = (lambda a: a.T) if order is None else (lambda a: a.T[order])
    made.weight("kernel", "weight", take)
    if module.bias is not None:
        made.weight("bias", "bias")
    return w.result(called(w, made, x), x.perm)


def _tied(w: Writer, module: Any, x: Value, table: str) -> str:
    """The product with the weight of another layer of the same block, which is this one's too, and its own bias."""
    path = table.removeprefix(f"{w.path}." if w.path else "").removesuffix(".weight")
    other = w.block.children.get(path)
    kind = type(other).__name__
    if kind not in ("Embedding", "Linear") or path not in w.attributes:
        raise w.refuse(f"its weight is that of {table} too, which has no correspondence", "give each its own")
    held = f"{member(w.attribute(path))}."
    held = f"{held}kernel" if kind == "Linear" else f"ops.transpose({held}embeddings)"
    code = f"ops.matmul({x.code}, {held})"
    if module.bias is None:
        return code
    size = (module.out_features,)
    bias = w.parameter(f"{w.step.name}.bias", Shown(size, size, w.step.shown.dtype), (0,), 1)
    return f"{code} + {bias.code}"


@register("Conv1d", "Conv2d", "Conv3d")
def _convolution(w: Writer, module: Any, x: Value) -> Value:
    rank = len(module.kernel_size)
    x = spatial(w, x, rank)
    kernel, stride, dilation = module.kernel_size, module.stride, module.dilation
    pad, options = "", {}
    padding = module.padding
    if module.padding_mode == "reflect" and not isinstance(padding, str) and any(padding):
        name = w.fresh("padded")
        widths = ((0, 0), *((p, p) for p in padding), (0, 0))
        w.lines.append(f'{name} = ops.pad({x.code}, {literal(widths)}, mode="reflect")')
        x, padding = Value(name, x.shown, x.perm), (0,) * rank
    elif module.padding_mode in ("replicate", "circular") and not isinstance(padding, str):
        name = w.fresh("padded")
        ends = {n + 2: (p, p) for n, p in enumerate(padding)}
        w.lines.append(f"{name} = {at_edges(w, x, module.padding_mode, ends)}")
        x, padding = Value(name, x.shown, x.perm), (0,) * rank
    elif module.padding_mode != "zeros":
        raise w.refuse(f"a convolution padded by {module.padding_mode!r} has no correspondence")
    if padding == "same":
        options["padding"] = '"same"'
    elif padding != "valid" and any(padding):
        span = [d * (k - 1) for k, d in zip(kernel, dilation, strict=True)]
        centred = all(2 * p == s for p, s in zip(padding, span, strict=True))
        if centred and w.shared.padding.is_same(w.full(w.step.name), is_strided=any(s != 1 for s in stride)):
            options["padding"] = '"same"'
        else:
            pad = f"layers.ZeroPadding{rank}D({literal(short(tuple(padding)))})"
    depthwise = module.groups == module.in_channels and module.groups > 1 and rank < 3
    if any(s != 1 for s in stride):
        options = {"strides": literal(short(tuple(stride))), **options}
    if any(d != 1 for d in dilation):
        options["dilation_rate"] = literal(short(tuple(dilation)))
        if any(s != 1 for s in stride):
            raise w.refuse("a convolution with strides and dilation has no correspondence")
    if module.bias is None:
        options["use_bias"] = "False"
    size = literal(short(tuple(kernel)))
    axes = (*range(2, rank + 2), 1, 0)
    carry: Callable[[Array], Array]
    if depthwise:
        multiplier = module.out_channels // module.in_channels
        if multiplier > 1:
            options["depth_multiplier"] = str(multiplier)
        if len(set(stride)) > 1:
            raise w.refuse("a depthwise convolution with strides that differ has no correspondence")
        made = make(w, module, f"DepthwiseConv{rank}D({size})", pad, **options)
        made = with_start(w, made)

        def carry(a: Array) -> Array:
            return a.reshape(module.in_channels, multiplier, *kernel).transpose(*range(2, rank + 2), 0, 1)
    else:
        if module.groups > 1:
            options["groups"] = str(module.groups)
        made = make(w, module, f"Conv{rank}D({module.out_channels}, {size})", pad, **options)
        made = with_start(w, made)

        def carry(a: Array) -> Array:
            return a.transpose(axes)

    made.weight("kernel", "weight", carry, call=1 if pad else 0)
    if module.bias is not None:
        made.weight("bias", "bias", call=1 if pad else 0)
    return w.result(called(w, made, x), channels_last(rank + 2))


@register("ConvTranspose1d", "ConvTranspose2d", "ConvTranspose3d")
def _transposed(w: Writer, module: Any, x: Value) -> Value:
    rank = len(module.kernel_size)
    if module.groups != 1 or any(d != 1 for d in module.dilation):
        raise w.refuse("a transposed convolution with groups or dilation has no correspondence")
    if any(more > p for more, p in zip(module.output_padding, module.padding, strict=True)):
        raise w.refuse("a transposed convolution with output_padding beyond its padding has no correspondence")
    x = spatial(w, x, rank)
    options: dict[str, Any] = {}
    if any(s != 1 for s in module.stride):
        options["strides"] = literal(short(tuple(module.stride)))
    if module.bias is None:
        options["use_bias"] = "False"
    cut = tuple((p, p - more) for p, more in zip(module.padding, module.output_padding, strict=True))
    crops = short(tuple(module.padding)) if not any(module.output_padding) else (cut if rank > 1 else cut[0])
    crop = f"layers.Cropping{rank}D({literal(crops)})" if any(module.padding) else ""
    size = literal(short(tuple(module.kernel_size)))
    # Keras's `valid` is as long as torch's but where the stride is wider than the kernel.
    if any(s > k for s, k in zip(module.stride, module.kernel_size, strict=True)):
        raise w.refuse("a transposed convolution whose stride is wider than its kernel has no correspondence")
    made = make(w, module, f"Conv{rank}DTranspose({module.out_channels}, {size})", "", crop, **options)
    made = with_start(w, made)
    made.weight("kernel", "weight", lambda a: a.transpose(*range(2, rank + 2), 1, 0))
    if module.bias is not None:
        made.weight("bias", "bias")
    return w.result(called(w, made, x), channels_last(rank + 2))


@register("Embedding")
def _embedding(w: Writer, module: Any, x: Value) -> Value:
    if module.max_norm is not None or module.scale_grad_by_freq:
        raise w.refuse("an embedding with max_norm or scale_grad_by_freq has no correspondence")
    x = w.plain(w.made(x))
    options = {"embeddings_initializer": "keras.initializers.RandomNormal(stddev=1.0)"}
    made = make(w, module, f"Embedding({module.num_embeddings}, {module.embedding_dim})", **options)
    made.weight("embeddings", "weight")
    code = called(w, made, x)
    if module.padding_idx is None:
        return w.result(code)
    if np.any(w.array(f"{w.step.name}.weight")[module.padding_idx]):
        return without_learning(w, code, x, module.padding_idx)
    name = w.fresh("vectors")
    w.lines.append("# the row of the padding stays zero and learns nothing")
    w.lines.append(f"{name} = {code}")
    kept = f"ops.expand_dims({x.code} != {module.padding_idx}, -1)"
    return w.result(f"{name} * ops.cast({kept}, {name}.dtype)", bare=False)


@register("EmbeddingBag")
def _embedding_bag(w: Writer, module: Any, x: Value, offsets: Any = None, per_sample_weights: Any = None) -> Value:
    plain = module.padding_idx is None and module.max_norm is None and not module.scale_grad_by_freq
    if x.rank != 2 or offsets is not None or per_sample_weights is not None or not plain:
        raise w.refuse("EmbeddingBag with offsets, weights of samples or a padding has no correspondence")
    options = {"embeddings_initializer": "keras.initializers.RandomNormal(stddev=1.0)"}
    made = make(w, module, f"Embedding({module.num_embeddings}, {module.embedding_dim})", **options)
    made.weight("embeddings", "weight")
    return w.result(f"ops.{module.mode}({called(w, made, w.plain(w.made(x)))}, axis=1)")
