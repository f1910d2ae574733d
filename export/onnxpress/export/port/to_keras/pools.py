"""Pools, paddings, resizing and flattening."""

from __future__ import annotations

from typing import Any

from onnxpress.export.port.code import literal, short
from onnxpress.export.port.layout import Value
from onnxpress.export.port.steps import Ref
from onnxpress.export.port.to_keras.images import resized
from onnxpress.export.port.to_keras.making import (
    as_tuple,
    called,
    make,
    register,
    spatial,
)
from onnxpress.export.port.to_keras.registry import FUNCTIONS
from onnxpress.export.port.to_keras.reshaping import flatten, unflatten
from onnxpress.export.port.to_keras.windows import Windows, adapted
from onnxpress.export.port.to_keras.writer import Writer


@register("Identity")
def _identity(w: Writer, module: Any, x: Value) -> Value:
    return x


@register("Flatten")
def _flatten(w: Writer, module: Any, x: Value) -> Value:
    found = flatten(w, x, module.start_dim, module.end_dim)
    if module.start_dim == 1 and module.end_dim == -1 and found.code.startswith("ops.reshape(") and x.rank > 2:
        found.code = called(
            w, make(w, module, "Flatten"), Value(found.code.removeprefix("ops.reshape(").partition(", (")[0])
        )
    return found


@register("Unflatten")
def _unflatten(w: Writer, module: Any, x: Value) -> Value:
    return unflatten(w, x, module.dim, tuple(module.unflattened_size))


@register("MaxPool1d", "MaxPool2d", "MaxPool3d", "AvgPool1d", "AvgPool2d", "AvgPool3d")
def _pool(w: Writer, module: Any, x: Value) -> Value:
    kind = type(module).__name__
    rank = int(kind[-2])
    kernel, stride = as_tuple(module.kernel_size, rank), as_tuple(module.stride or module.kernel_size, rank)
    padding = as_tuple(module.padding, rank)
    if getattr(module, "dilation", 1) not in (1, (1,) * rank) or getattr(module, "return_indices", False):
        raise w.refuse(f"{kind} with dilation or return_indices has no correspondence")
    x = spatial(w, x, rank)
    average = kind.startswith("Avg")
    if average and getattr(module, "divisor_override", None):
        raise w.refuse("average pooling with divisor_override has no correspondence")
    options = {} if stride == kernel else {"strides": literal(short(stride))}
    windows = Windows(kernel, stride, padding, bool(module.ceil_mode), not average or bool(module.count_include_pad))
    more, before, share = windows.beyond(w, x), "", ""
    is_same = set(stride) == {1} and all(2 * p == k - 1 for p, k in zip(padding, kernel, strict=True)) and not any(more)
    if any(padding) and is_same and not (average and module.count_include_pad):
        options["padding"] = '"same"'
    elif average and any(padding) and module.count_include_pad and not any(more):
        before = f"layers.ZeroPadding{rank}D({literal(short(padding))})"
    elif not average and (any(padding) or any(more)) and _is_rectified(w):
        # A zero changes no maximum of what is never below zero.
        each = tuple((p, p + m) for p, m in zip(padding, more, strict=True))
        sizes = each if any(more) else short(padding)
        before = f"layers.ZeroPadding{rank}D({literal(sizes[0] if any(more) and rank == 1 else sizes)})"
    else:
        x, share = windows.padded(w, x, average=average)
    kind = "AveragePooling" if average else "MaxPooling"
    made = make(w, module, f"{kind}{rank}D({literal(short(kernel))})", before, **options)
    code = called(w, made, x)
    return w.like(x, f"{code} / {share}" if share else code, bare=not share)


def _is_rectified(w: Writer) -> bool:
    """Whether what is pooled comes out of a ReLU, whose gradient at zero is zero too."""
    ref = w.step.args[0]
    step = next((one for one in w.block.steps if isinstance(ref, Ref) and one.number == ref.number), None)
    if step is None:
        return False
    is_layer = step.kind == "layer" and type(w.block.children.get(step.name)).__name__ == "ReLU"
    return is_layer or (step.kind == "function" and step.name == "relu")


@register(*(f"Adaptive{kind}Pool{n}d" for kind in ("Avg", "Max") for n in (1, 2, 3)))
def _adaptive(w: Writer, module: Any, x: Value) -> Value:
    kind = type(module).__name__
    rank = int(kind[-2])
    sizes = as_tuple(module.output_size, rank)
    x = spatial(w, x, rank)
    average = "Avg" in kind
    if all(s == 1 for s in sizes):
        made = make(w, module, f"Global{'Average' if average else 'Max'}Pooling{rank}D", keepdims="True")
        return w.like(x, called(w, made, x))
    lengths = x.sizes[2:]
    if None in lengths or any(s is None or (a or 0) % s for a, s in zip(lengths, sizes, strict=True)):
        return adapted(w, x, sizes, "mean" if average else "max")
    kernel = tuple((a or 0) // s for a, s in zip(lengths, sizes, strict=True))
    made = make(w, module, f"{'AveragePooling' if average else 'MaxPooling'}{rank}D({literal(short(kernel))})")
    return w.like(x, called(w, made, x))


@register("ZeroPad1d", "ZeroPad2d")
def _zero_pad(w: Writer, module: Any, x: Value) -> Value:
    rank = int(type(module).__name__[-2])
    x = spatial(w, x, rank)
    widths = tuple((module.padding[2 * n], module.padding[2 * n + 1]) for n in reversed(range(rank)))
    if any(p < 0 for pair in widths for p in pair):
        raise w.refuse("a negative padding has no correspondence")
    made = make(w, module, f"ZeroPadding{rank}D({literal(widths if rank > 1 else widths[0])})")
    return w.like(x, called(w, made, x))


@register(*(f"{kind}Pad{n}d" for kind in ("Reflection", "Constant", "Replication", "Circular") for n in (1, 2, 3)))
def _other_pad(w: Writer, module: Any, x: Value) -> Value:
    kind = type(module).__name__.partition("Pad")[0]
    mode = {"Reflection": "reflect", "Replication": "replicate", "Circular": "circular"}.get(kind, "constant")
    return FUNCTIONS["pad"](w, w.made(x), tuple(module.padding), mode, getattr(module, "value", None))


@register("Upsample", "UpsamplingNearest2d", "UpsamplingBilinear2d")
def _upsample(w: Writer, module: Any, x: Value) -> Value:
    factor = module.scale_factor
    if x.rank != 4 or factor is None or module.mode not in ("nearest", "bilinear") or module.align_corners:
        return resized(w, x, module.mode, bool(module.align_corners), factor)
    factors = as_tuple(factor if isinstance(factor, tuple) else int(factor), 2)
    if tuple(float(f) for f in factors) != (factor if isinstance(factor, tuple) else (float(factor),) * 2):
        return resized(w, x, module.mode, aligned=False, factor=factor)
    x = spatial(w, x, 2)
    mode = None if module.mode == "nearest" else '"bilinear"'
    made = make(w, module, f"UpSampling2D({literal(short(tuple(int(f) for f in factors)))})", interpolation=mode)
    return w.like(x, called(w, made, x))


def _of_image(w: Writer, module: Any, x: Value) -> tuple[int, int, int]:
    """Channels, height and width. Raises NoCorrespondence where one of them varies."""
    channels, height, width = x.sizes[1:]
    if channels is None or height is None or width is None:
        raise w.refuse(f"{type(module).__name__} of sizes that vary has no correspondence")
    return channels, height, width


@register("LocalResponseNorm")
def _local_response_norm(w: Writer, module: Any, x: Value) -> Value:
    return FUNCTIONS["local_response_norm"](w, x, module.size, module.alpha, module.beta, module.k)


@register("ChannelShuffle")
def _channel_shuffle(w: Writer, module: Any, x: Value) -> Value:
    x = spatial(w, x, 2)
    channels, height, width = _of_image(w, module, x)
    name, groups = w.fresh("x"), module.groups
    w.lines.append(f"{name} = ops.reshape({x.code}, (-1, {height}, {width}, {groups}, {channels // groups}))")
    w.lines.append(f"{name} = ops.transpose({name}, (0, 1, 2, 4, 3))  # the groups take turns")
    return w.like(x, f"ops.reshape({name}, (-1, {height}, {width}, {channels}))")


@register("PixelUnshuffle")
def _pixel_unshuffle(w: Writer, module: Any, x: Value) -> Value:
    x = spatial(w, x, 2)
    factor = module.downscale_factor
    channels, height, width = _of_image(w, module, x)
    tall, wide = height // factor, width // factor
    name = w.fresh("x")
    w.lines.append(f"{name} = ops.reshape({x.code}, (-1, {tall}, {factor}, {wide}, {factor}, {channels}))")
    w.lines.append("# each block of pixels becomes a block of channels")
    w.lines.append(f"{name} = ops.transpose({name}, (0, 1, 3, 5, 2, 4))")
    return w.like(x, f"ops.reshape({name}, (-1, {tall}, {wide}, {channels * factor**2}))")


@register("PixelShuffle")
def _pixel_shuffle(w: Writer, module: Any, x: Value) -> Value:
    x = spatial(w, x, 2)
    factor = module.upscale_factor
    channels, height, width = _of_image(w, module, x)
    left = channels // factor**2
    name = w.fresh("x")
    w.lines.append(f"{name} = ops.reshape({x.code}, (-1, {height}, {width}, {left}, {factor}, {factor}))")
    w.lines.append("# each block of channels becomes a block of pixels")
    w.lines.append(f"{name} = ops.transpose({name}, (0, 1, 4, 2, 5, 3))")
    return w.like(x, f"ops.reshape({name}, (-1, {height * factor}, {width * factor}, {left}))")
