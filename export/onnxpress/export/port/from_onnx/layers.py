"""Operators that are layers of torch: products with weights, convolutions, norms, tables, pools."""

from __future__ import annotations

from typing import Any

import numpy as np
from torch import nn

from onnxpress.export.port.from_onnx import patterns
from onnxpress.export.port.from_onnx.axes import padded
from onnxpress.export.port.from_onnx.elementwise import short
from onnxpress.export.port.from_onnx.nodes import operator
from onnxpress.export.port.from_onnx.reader import Reading, Val

_CONVOLUTIONS = {1: nn.Conv1d, 2: nn.Conv2d, 3: nn.Conv3d}
_TRANSPOSED = {1: nn.ConvTranspose1d, 2: nn.ConvTranspose2d, 3: nn.ConvTranspose3d}
_NORMS = {0: nn.BatchNorm1d, 1: nn.BatchNorm1d, 2: nn.BatchNorm2d, 3: nn.BatchNorm3d}
_INSTANCES = {1: nn.InstanceNorm1d, 2: nn.InstanceNorm2d, 3: nn.InstanceNorm3d}
_MAXIMA = {1: nn.MaxPool1d, 2: nn.MaxPool2d, 3: nn.MaxPool3d}
_MEANS = {1: nn.AvgPool1d, 2: nn.AvgPool2d, 3: nn.AvgPool3d}
_GLOBAL = {
    "GlobalAveragePool": {1: nn.AdaptiveAvgPool1d, 2: nn.AdaptiveAvgPool2d, 3: nn.AdaptiveAvgPool3d},
    "GlobalMaxPool": {1: nn.AdaptiveMaxPool1d, 2: nn.AdaptiveMaxPool2d, 3: nn.AdaptiveMaxPool3d},
}


def _linear(r: Reading, x: Val, weight: Val, bias: Val | None, *, transposed: bool) -> Val:
    """`weight` is (inputs, outputs), or the other way round where `transposed`."""
    array = r.constant(weight)
    outputs, inputs = array.shape if transposed else array.shape[::-1]
    weights: dict[str, Any] = {"weight": (weight, None if transposed else np.transpose)}
    if bias is not None:
        weights["bias"] = (bias, lambda a: np.broadcast_to(a.reshape(-1), (outputs,)))
    return r.placed("linear", nn.Linear(inputs, outputs, bias=bias is not None), weights, x)


@operator("MatMul")
def _matmul(r: Reading, attributes: Any, a: Val, b: Val) -> Val:
    if b.const is None or b.const.ndim != 2 or b.const.dtype.kind != "f" or a.ref is None:
        return patterns.attention(r, a, b) or r.call("matmul", r.tensor(a), r.tensor(b))
    name = r.node.output[0]
    bias = _bias_behind(r, name, b.const.shape[1])
    found = _linear(r, a, b, bias[1] if bias else None, transposed=False)
    if bias:
        r.ahead[bias[0]] = found
        r.unchecked.add(name)
    return found


def _bias_behind(r: Reading, name: str, size: int) -> tuple[str, Val] | None:
    """The output of an addition of a constant, which alone reads the product, and the constant."""
    readers = r.readers.get(name, [])
    if r.uses.get(name) != 1 or len(readers) != 1 or readers[0].op_type != "Add":
        return None
    node = readers[0]
    other = r.values.get(node.input[1] if node.input[0] == name else node.input[0])
    if other is None or other.const is None or other.const.shape != (size,):
        return None
    return node.output[0], other


@operator("Gemm")
def _gemm(r: Reading, attributes: Any, a: Val, b: Val, c: Val | None = None) -> Val:
    if attributes.get("transA"):
        a = r.call("transpose", a, 0, 1)
    factors = attributes.get("alpha", 1.0), attributes.get("beta", 1.0)
    is_plain = factors[0] == 1 and (c is None or factors[1] == 1)
    transposed = bool(attributes.get("transB"))
    is_bias = c is None or (c.const is not None and c.const.size in (1, b.first.shape[0 if transposed else 1]))
    if b.const is not None and is_plain and is_bias and a.ref is not None:
        return _linear(r, a, b, c, transposed=transposed)
    other = r.tensor(b)
    found = r.call("matmul", r.tensor(a), r.call("transpose", other, 0, 1) if transposed else other)
    if factors[0] != 1:
        found = r.call("mul", found, short(factors[0]))
    if c is None:
        return found
    added = r.tensor(c)
    return r.call("add", found, added if factors[1] == 1 else r.call("mul", added, short(factors[1])))


def _pads(r: Reading, attributes: dict[str, Any], x: Val, kernel: tuple[int, ...]) -> list[tuple[int, int]]:
    """What is padded before and behind each axis. Raises NoCorrespondence where that follows a size that varies."""
    rank = len(kernel)
    kind = attributes.get("auto_pad", b"NOTSET").decode()
    strides, dilations = (attributes.get(name, [1] * rank) for name in ("strides", "dilations"))
    if kind == "NOTSET":
        flat = attributes.get("pads", [0] * 2 * rank)
        return list(zip(flat[:rank], flat[rank:], strict=True))
    if kind == "VALID":
        return [(0, 0)] * rank
    found = []
    for axis in range(rank):
        reach = (kernel[axis] - 1) * dilations[axis] + 1
        size = x.size(axis + 2)
        if size is None and strides[axis] != 1:
            raise r.refuse("a padding that follows a size that varies has no correspondence")
        total = reach - 1 if size is None else max((-(-size // strides[axis]) - 1) * strides[axis] + reach - size, 0)
        less = total // 2
        found.append((less, total - less) if kind == "SAME_UPPER" else (total - less, less))
    return found


def _spatial(attributes: dict[str, Any], name: str, rank: int) -> tuple[int, ...]:
    return tuple(attributes.get(name, [1] * rank))


@operator("Conv")
def _conv(r: Reading, attributes: Any, x: Val, weight: Val, bias: Val | None = None) -> Val:
    array = r.constant(weight)
    kernel = array.shape[2:]
    rank = len(kernel)
    pads = _pads(r, attributes, x, kernel)
    padding: tuple[int, ...] = tuple(before for before, _ in pads)
    if any(before != behind for before, behind in pads):
        x, padding = padded(r, x, [(0, 0), (0, 0), *pads]), (0,) * rank
    groups = attributes.get("group", 1)
    module = _CONVOLUTIONS[rank](
        array.shape[1] * groups, array.shape[0], kernel, _spatial(attributes, "strides", rank), padding,
        _spatial(attributes, "dilations", rank), groups, bias is not None,
    )  # fmt: skip
    return r.placed("conv", module, {"weight": (weight, None), **_given(bias=bias)}, x)


def _given(**values: Val | None) -> dict[str, Any]:
    return {name: (value, None) for name, value in values.items() if value is not None}


@operator("ConvTranspose")
def _conv_transposed(r: Reading, attributes: Any, x: Val, weight: Val, bias: Val | None = None) -> Val:
    array = r.constant(weight)
    kernel = array.shape[2:]
    rank = len(kernel)
    if "output_shape" in attributes or attributes.get("auto_pad", b"NOTSET") not in (b"NOTSET", b"VALID"):
        raise r.refuse("a transposed convolution to a given size has no correspondence")
    pads = _pads(r, attributes, x, kernel)
    extra = tuple(attributes.get("output_padding", [0] * rank))
    cut = [(0, 0)] * rank
    if any(before != behind for before, behind in pads):
        pads, cut = [(0, 0)] * rank, pads
    groups = attributes.get("group", 1)
    module = _TRANSPOSED[rank](
        array.shape[0], array.shape[1] * groups, kernel, _spatial(attributes, "strides", rank),
        tuple(before for before, _ in pads), extra, groups, bias is not None, _spatial(attributes, "dilations", rank),
    )  # fmt: skip
    found = r.placed("conv", module, {"weight": (weight, None), **_given(bias=bias)}, x)
    if any(pair != (0, 0) for pair in cut):
        index = tuple(slice(before or None, -behind or None) for before, behind in cut)
        found = r.call("getitem", found, (slice(None), slice(None), *index))
    return found


@operator("BatchNormalization")
def _batch_norm(r: Reading, attributes: Any, x: Val, scale: Val, bias: Val, mean: Val, variance: Val) -> Val:
    if attributes.get("training_mode"):
        raise r.refuse("a batch norm in training mode has no correspondence")
    momentum = float(f"{1 - attributes.get('momentum', 0.9):.6g}")
    kind = _NORMS[max(x.rank - 2, 0)]
    module = kind(r.constant(scale).size, eps=short(attributes.get("epsilon", 1e-5)), momentum=momentum)
    weights = {"weight": scale, "bias": bias, "running_mean": mean, "running_var": variance}
    return r.placed("norm", module, _given(**weights), x)


@operator("InstanceNormalization")
def _instance_norm(r: Reading, attributes: Any, x: Val, scale: Val, bias: Val) -> Val:
    module = _INSTANCES[x.rank - 2](r.constant(scale).size, eps=short(attributes.get("epsilon", 1e-5)), affine=True)
    return r.placed("norm", module, _given(weight=scale, bias=bias), x)


@operator("LRN")
def _local_response_norm(r: Reading, attributes: Any, x: Val) -> Val:
    numbers = {name: short(attributes.get(name, usual)) for name, usual in (("alpha", 1e-4), ("beta", 0.75))}
    return r.call("local_response_norm", x, attributes["size"], **numbers, k=short(attributes.get("bias", 1.0)))


@operator("LayerNormalization")
def _layer_norm(r: Reading, attributes: Any, x: Val, scale: Val, bias: Val | None = None) -> tuple[Val, None, None]:
    axis = attributes.get("axis", -1) % x.rank
    shape = tuple(x.size(n) or 0 for n in range(axis, x.rank))
    if 0 in shape:
        raise r.refuse("a layer norm over a size that varies has no correspondence")
    module = nn.LayerNorm(shape, eps=short(attributes.get("epsilon", 1e-5)), bias=bias is not None)
    whole = {
        name: (value, lambda a: np.broadcast_to(a, shape))
        for name, value in (("weight", scale), ("bias", bias))
        if value is not None
    }
    return r.placed("norm", module, whole, x), None, None


@operator("RMSNormalization")
def _rms_norm(r: Reading, attributes: Any, x: Val, scale: Val) -> Val:
    axis = attributes.get("axis", -1) % x.rank
    shape = tuple(x.size(n) or 0 for n in range(axis, x.rank))
    module = nn.RMSNorm(shape, eps=short(attributes.get("epsilon", 1e-5)))
    return r.placed("norm", module, _given(weight=scale), x)


@operator("GroupNormalization")
def _group_norm(r: Reading, attributes: Any, x: Val, scale: Val, bias: Val) -> Val:
    channels, groups = x.size(1) or 0, attributes["num_groups"]
    module = nn.GroupNorm(groups, channels, eps=short(attributes.get("epsilon", 1e-5)))

    def whole(a: Any) -> Any:
        return a if a.size == channels else np.repeat(a, channels // groups)

    return r.placed("norm", module, {"weight": (scale, whole), "bias": (bias, whole)}, x)


@operator("Gather")
def _gather(r: Reading, attributes: Any, x: Val, index: Val) -> Val:
    x_rank = x.rank
    axis = attributes.get("axis", 0) % x_rank
    if x.const is not None and x.const.ndim == 2 and axis == 0 and x.const.dtype.kind == "f" and x.initializer:
        module = nn.Embedding(*x.const.shape)
        return r.placed("embedding", module, {"weight": (x, None)}, index)
    x = r.tensor(x)
    if index.const is not None and index.const.ndim == 0:
        place = int(index.const)
        return r.call("getitem", x, place if axis == 0 else (*[slice(None)] * axis, place))
    if index.items is not None:
        raise r.refuse("an index that follows a size has no correspondence")
    index = r.tensor(index)
    if axis == 0:
        return r.call("getitem", x, index)
    return r.call("getitem", x, (*[slice(None)] * axis, index))


def _pooled(r: Reading, attributes: dict[str, Any], x: Val, kinds: Any, filled: float, **more: Any) -> Val:
    kernel = tuple(attributes["kernel_shape"])
    rank = len(kernel)
    pads = _pads(r, attributes, x, kernel)
    padding: tuple[int, ...] = tuple(before for before, _ in pads)
    is_apart = any(before != behind for before, behind in pads)
    is_wide = any(2 * before > size for before, size in zip(padding, kernel, strict=True))
    ceiled = bool(attributes.get("ceil_mode"))
    if is_apart or is_wide:
        if ceiled or (filled == 0 and not more.get("count_include_pad", True)):
            raise r.refuse("a pool padded unevenly, that rounds up or leaves the border out, has no correspondence")
        x, padding = padded(r, x, [(0, 0), (0, 0), *pads], filled), (0,) * rank
    if any(padding) is False:
        more.pop("count_include_pad", None)
    module = kinds[rank](kernel, _spatial(attributes, "strides", rank), padding, ceil_mode=ceiled, **more)
    return r.placed("pool", module, {}, x)


@operator("MaxPool")
def _max_pool(r: Reading, attributes: Any, x: Val) -> Val:
    if len(r.node.output) > 1 and r.uses.get(r.node.output[1]):
        raise r.refuse("the places that a pool finds have no correspondence")
    dilation = _spatial(attributes, "dilations", len(attributes["kernel_shape"]))
    return _pooled(r, attributes, x, _MAXIMA, -np.inf, dilation=dilation)


@operator("AveragePool")
def _average_pool(r: Reading, attributes: Any, x: Val) -> Val:
    if any(n != 1 for n in attributes.get("dilations", [])):
        raise r.refuse("an average pool with gaps has no correspondence")
    return _pooled(r, attributes, x, _MEANS, 0.0, count_include_pad=bool(attributes.get("count_include_pad")))


@operator("GlobalAveragePool", "GlobalMaxPool")
def _global_pool(r: Reading, attributes: Any, x: Val) -> Val:
    return r.placed("pool", _GLOBAL[r.node.op_type][x.rank - 2](1), {}, x)


@operator("Resize", "Upsample")
def _resize(r: Reading, attributes: Any, x: Val, *given: Val | None) -> Val:
    mode = attributes.get("mode", b"nearest").decode()
    place = attributes.get("coordinate_transformation_mode", b"half_pixel").decode()
    if r.node.op_type == "Upsample":
        scales, sizes, place = given[0] if given else None, None, "asymmetric"
    else:
        scales, sizes = (given[1] if len(given) > 1 else None), (given[2] if len(given) > 2 else None)
    aligned = place == "align_corners"
    names = {"nearest": ["nearest"] * 4, "linear": ["", "linear", "bilinear", "trilinear"],
             "cubic": ["", "", "bicubic", ""]}  # fmt: skip
    name = names[mode][x.rank - 2]
    if not name or "axes" in attributes:
        raise r.refuse(f"a resize of mode {mode!r} over these axes has no correspondence")
    options: dict[str, Any] = {"mode": name} if name != "nearest" else {}
    if aligned:
        options["align_corners"] = True
    elif name != "nearest":
        options["align_corners"] = False
    if sizes is not None and (sizes.const is None or sizes.const.size):
        return r.call("interpolate", x, size=tuple(r.sizes(sizes)[2:]), **options)
    factors = [short(float(n)) for n in r.constant(scales).reshape(-1)[2:]]
    factor: Any = factors[0] if len(set(factors)) == 1 else tuple(factors)
    if isinstance(factor, float) and factor.is_integer():
        factor = int(factor)
    return r.call("interpolate", x, scale_factor=factor, **options)


@operator("DepthToSpace", "SpaceToDepth")
def _shuffled(r: Reading, attributes: Any, x: Val) -> Val:
    """torch counts channels before the places of a block; the other way, and back, is a reshape."""
    side = attributes["blocksize"]
    if r.node.op_type == "DepthToSpace" and attributes.get("mode", b"DCR") == b"CRD":
        return r.placed("shuffle", nn.PixelShuffle(side), {}, x)
    channels, height, width = (x.size(axis) for axis in (1, 2, 3))
    if channels is None or height is None or width is None:
        raise r.refuse(f"{r.node.op_type} of sizes that vary has no correspondence")
    if r.node.op_type == "DepthToSpace":
        left = channels // side**2
        apart = r.call("reshape", x, (-1, side, side, left, height, width))
        return r.call("reshape", r.call("permute", apart, (0, 3, 4, 1, 5, 2)), (-1, left, height * side, width * side))
    tall, wide = height // side, width // side
    apart = r.call("reshape", x, (-1, channels, tall, side, wide, side))
    return r.call("reshape", r.call("permute", apart, (0, 3, 5, 1, 2, 4)), (-1, channels * side**2, tall, wide))
