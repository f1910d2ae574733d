"""Operators that move, cut, join, count and reduce axes."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from onnxpress.export.port.from_onnx.elementwise import short
from onnxpress.export.port.from_onnx.nodes import operator
from onnxpress.export.port.from_onnx.reader import Reading, Val

_FAR = 2**31 - 1


@operator("Transpose")
def _transpose(r: Reading, attributes: Any, x: Val) -> Val:
    return permuted(r, x, tuple(attributes.get("perm", range(x.rank)[::-1])))


def permuted(r: Reading, x: Val, perm: tuple[int, ...]) -> Val:
    """The axes so; two moves one after the other are one, or none."""
    step = r.step(x)
    if step is not None and step.kind == "function" and step.name == "permute":
        perm = tuple(step.args[1][axis] for axis in perm)
        x = r.source(x)
    return x if perm == tuple(range(len(perm))) else r.call("permute", x, perm)


@operator("Reshape")
def _reshape(r: Reading, attributes: Any, x: Val, shape: Val) -> Val:
    wanted = list(r.sizes(shape))
    if not attributes.get("allowzero"):
        wanted = [size_of(r, x, n) if item == 0 else item for n, item in enumerate(wanted)]
    return reshaped(r, x, wanted)


def reshaped(r: Reading, x: Val, wanted: list[Any]) -> Val:
    """The shape, as a flattening where it is one; one size that varies is −1."""
    if -1 in wanted:
        place = wanted.index(-1)
        others = [item for n, item in enumerate(wanted) if n != place]
        total = [math.prod(v.shape) for v in x.pair]
        rest = [math.prod(i if isinstance(i, int) else i.pair[w] for i in others) for w in (0, 1)]
        sizes = [t // n if n else 0 for t, n in zip(total, rest, strict=True)]
    else:
        place, sizes = -1, [0, 0]
    shapes = [
        tuple(sizes[w] if n == place else (i if isinstance(i, int) else i.pair[w]) for n, i in enumerate(wanted))
        for w in (0, 1)
    ]
    if shapes == [tuple(v.shape) for v in x.pair]:
        return x
    step = r.step(x)
    if step is not None and step.kind == "function" and step.name in ("unflatten", "unsqueeze"):
        before = r.source(x)
        if shapes == [tuple(v.shape) for v in before.pair]:
            return before
    kept = 0
    while kept < min(x.rank, len(wanted)) and all(
        s[kept] == v.shape[kept] for s, v in zip(shapes, x.pair, strict=True)
    ):
        kept += 1
    if len(wanted) == kept + 1 and x.rank > kept + 1:
        return r.call("flatten", x, kept)
    if kept == len(wanted) - 1 == x.rank:  # an axis of 1 at the end
        return r.call("unsqueeze", x, -1)
    written = list(wanted)
    if place < 0:
        varying = [n for n, item in enumerate(written) if not isinstance(item, int)]
        if len(varying) == 1:
            written[varying[0]] = -1
    elif sizes[0] == sizes[1] and any(not isinstance(item, int) for item in written):
        written[place] = sizes[0]
        varying = [n for n, item in enumerate(written) if not isinstance(item, int)]
        if len(varying) == 1:
            written[varying[0]] = -1
    return r.call("reshape", x, tuple(written))


def size_of(r: Reading, x: Val, axis: int) -> Any:
    """A size as a number, or as a step where it varies."""
    size = x.size(axis)
    return size if size is not None else r.call("size", x, axis % x.rank)


@operator("Flatten")
def _flatten(r: Reading, attributes: Any, x: Val) -> Val:
    axis = attributes.get("axis", 1)
    axis = axis + x.rank if axis < 0 else axis
    if axis == 1:
        return x if x.rank == 2 else r.call("flatten", x, 1)
    if axis == 0:
        return r.call("unsqueeze", r.call("flatten", x), 0)
    first = r.call("flatten", x, 0, axis - 1)
    return first if x.rank - axis == 1 else r.call("flatten", first, 1)


def _given(r: Reading, attributes: Any, name: str, value: Val | None) -> tuple[int, ...] | None:
    if value is not None:
        return tuple(int(n) for n in r.constant(value).reshape(-1))
    return tuple(attributes[name]) if name in attributes else None


@operator("Squeeze")
def _squeeze(r: Reading, attributes: Any, x: Val, axes: Val | None = None) -> Val:
    given = _given(r, attributes, "axes", axes)
    if given is None:
        given = tuple(n for n in range(x.rank) if x.size(n) == 1)
    step = r.step(x)
    if step is not None and step.name == "unsqueeze" and len(given) == 1 and step.args[1] == given[0] % x.rank:
        return r.source(x)
    for axis in sorted((axis % x.rank for axis in given), reverse=True):
        x = r.call("squeeze", x, axis)
    return x


@operator("Unsqueeze")
def _unsqueeze(r: Reading, attributes: Any, x: Val, axes: Val | None = None) -> Val:
    given = _given(r, attributes, "axes", axes) or ()
    for axis in sorted(axis % (x.rank + len(given)) for axis in given):
        x = r.call("unsqueeze", x, axis)
    return x


@operator("Concat")
def _concat(r: Reading, attributes: Any, *values: Val) -> Val:
    tensors = tuple(r.tensor(value) for value in values)
    if len(tensors) == 1:
        return tensors[0]
    return r.call("cat", tensors, dim=_last(attributes["axis"], tensors[0].rank))


def _last(axis: int, rank: int) -> int:
    return -1 if axis % rank == rank - 1 else axis % rank


@operator("Split")
def _split(r: Reading, attributes: Any, x: Val, split: Val | None = None) -> tuple[Val, ...]:
    axis = _last(attributes.get("axis", 0), x.rank)
    count = len(r.node.output)
    sizes = _given(r, attributes, "split", split)
    if sizes is None or len(set(sizes)) == 1:
        found = r.call("chunk", x, count, dim=axis)
    else:
        found = r.call("split", x, sizes, dim=axis)
    return tuple(r.part(found, place) for place in range(count))


@operator("Slice")
def _slice(
    r: Reading, attributes: Any, x: Val, starts: Any = None, ends: Any = None, axes: Any = None, steps: Any = None
) -> Val:
    begins = list(attributes["starts"]) if starts is None else r.sizes(starts)
    stops = list(attributes["ends"]) if ends is None else r.sizes(ends)
    over = _given(r, attributes, "axes", axes) or tuple(range(len(begins)))
    strides = _given(r, {}, "steps", steps) or (1,) * len(begins)
    index: list[Any] = [slice(None)] * x.rank
    for axis, start, stop, stride in zip(over, begins, stops, strides, strict=True):
        if stride < 0:
            x, start, stop, stride = _backwards(r, x, axis % x.rank, start, stop, stride)
        size = x.size(axis)
        ends_it = isinstance(stop, int) and (stop >= _FAR or (size is not None and stop >= size))
        index[axis % x.rank] = slice(
            None if isinstance(start, int) and start == 0 else start,
            None if ends_it else stop,
            None if stride == 1 else stride,
        )
    if all(item == slice(None) for item in index):
        return x
    while index[-1] == slice(None):
        index.pop()
    return r.call("getitem", x, index[0] if len(index) == 1 else tuple(index))


def _backwards(r: Reading, x: Val, axis: int, start: Any, stop: Any, stride: int) -> tuple[Val, int, int, int]:
    """The value turned around, and the bounds of the same slice forwards."""
    size = x.size(axis)
    if not isinstance(start, int) or not isinstance(stop, int):
        raise r.refuse("a slice backwards between bounds that vary has no correspondence")
    if size is not None:
        if stop < 0:
            stop = max(stop + size, -1)
        chosen = range(*slice(start, None if stop == -1 else stop, stride).indices(size))
        first = size - 1 - chosen.start if chosen else 0
        bounds = (first, size if chosen and chosen[-1] + stride < 0 else first + len(chosen) * -stride)
        return (r.call("flip", x, (axis,)), *bounds, -stride)
    if (start != -1 and start < _FAR - 1) or stop > -_FAR // 2:
        raise r.refuse("a slice backwards of a part of an axis that varies has no correspondence")
    return r.call("flip", x, (axis,)), 0, _FAR, -stride


@operator("GatherElements")
def _gather_elements(r: Reading, attributes: Any, x: Val, index: Val) -> Val:
    return r.call("gather", r.tensor(x), attributes.get("axis", 0) % r.tensor(x).rank, r.tensor(index))


@operator("ScatterElements")
def _scatter(r: Reading, attributes: Any, x: Val, index: Val, updates: Val) -> Val:
    if attributes.get("reduction", b"none") != b"none":
        raise r.refuse("ScatterElements that reduces has no correspondence")
    return r.call("scatter", r.tensor(x), attributes.get("axis", 0), r.tensor(index), r.tensor(updates))


_REDUCED = {"ReduceMean": "mean", "ReduceSum": "sum", "ReduceMax": "amax", "ReduceMin": "amin",
            "ReduceLogSumExp": "logsumexp"}  # fmt: skip


@operator(*_REDUCED, "ReduceL2", "ReduceL1", "ReduceSumSquare", "ReduceProd")
def _reduce(r: Reading, attributes: Any, x: Val, axes: Val | None = None) -> Val:
    given = _given(r, attributes, "axes", axes)
    if not given and attributes.get("noop_with_empty_axes"):
        return x
    dims = tuple(axis % x.rank for axis in given) if given else tuple(range(x.rank))
    if len(dims) == 1:
        dims = (_last(dims[0], x.rank),)
    kind = r.node.op_type
    kept = {"keepdim": True} if attributes.get("keepdims", 1) else {}
    if kind == "ReduceL1":
        return r.call("sum", r.call("abs", x), dim=dims, **kept)
    if kind == "ReduceSumSquare":
        return r.call("sum", r.call("square", x), dim=dims, **kept)
    if kind == "ReduceL2":
        return r.call("norm", x, dim=dims, **kept)
    if kind == "ReduceProd":
        if len(dims) != 1:
            raise r.refuse("a product over several axes has no correspondence")
        return r.call("prod", x, dim=dims[0], **kept)
    return r.call(_REDUCED[kind], x, dim=dims if len(dims) > 1 else dims[0], **kept)


@operator("ArgMax", "ArgMin")
def _extreme(r: Reading, attributes: Any, x: Val) -> Val:
    if attributes.get("select_last_index"):
        raise r.refuse("the last of several extremes has no correspondence")
    kept = {"keepdim": True} if attributes.get("keepdims", 1) else {}
    name = r.node.op_type.lower()
    return r.call(name, x, dim=_last(attributes.get("axis", 0), x.rank), **kept)


@operator("TopK")
def _topk(r: Reading, attributes: Any, x: Val, k: Val) -> tuple[Val, Val]:
    axis = _last(attributes.get("axis", -1), x.rank)
    number = r.sizes(k, "a number of largest")[0]
    numbers = [number] * 2 if isinstance(number, int) else number.pair
    whole = all(int(n) == value.shape[axis] for n, value in zip(numbers, x.pair, strict=True))
    if whole or not x.first.is_floating_point():  # of equal ones the graph has the first first, which topk does not say
        ordered = r.call("sort", x, dim=axis, descending=bool(attributes.get("largest", 1)), stable=True)
        parts = [r.part(ordered, place) for place in (0, 1)]
        first, second = parts if whole else [r.call("narrow", part, axis, 0, number) for part in parts]
        return first, second
    args: list[Any] = [] if axis == -1 and attributes.get("largest", 1) else [axis]
    if not attributes.get("largest", 1):
        args.append(False)
    found = r.call("topk", x, number, *args)
    return r.part(found, 0), r.part(found, 1)


@operator("CumSum")
def _cumsum(r: Reading, attributes: Any, x: Val, axis: Val) -> Val:
    if attributes.get("exclusive") or attributes.get("reverse"):
        raise r.refuse("a cumulative sum that is exclusive or backwards has no correspondence")
    return r.call("cumsum", x, dim=_last(int(r.constant(axis).reshape(-1)[0]), x.rank))


@operator("Expand")
def _expand(r: Reading, attributes: Any, x: Val, shape: Val) -> Val:
    x = r.tensor(x)
    wanted = r.sizes(shape)
    missing = len(wanted) - x.rank
    target: list[Any] = []
    for n in range(max(len(wanted), x.rank)):
        own, other = n - max(missing, 0), n + min(missing, 0)
        size = x.size(own) if own >= 0 else 1
        item = wanted[other] if other >= 0 else 1
        target.append(-1 if own >= 0 and (size != 1 or item == 1) else item)
    return x if all(item == -1 for item in target) else r.call("expand", x, tuple(target))


@operator("Tile")
def _tile(r: Reading, attributes: Any, x: Val, repeats: Val) -> Val:
    return r.call("repeat", r.tensor(x), tuple(r.sizes(repeats)))


@operator("Pad")
def _pad(
    r: Reading, attributes: Any, x: Val, pads: Val | None = None, value: Val | None = None, axes: Val | None = None
) -> Val:
    given = _given(r, attributes, "pads", pads) or ()
    over = _given(r, {}, "axes", axes) or tuple(range(x.rank))
    widths = [(0, 0)] * x.rank
    for n, axis in enumerate(over):
        widths[axis] = (given[n], given[n + len(over)])
    filled = attributes.get("value", 0.0) if value is None else r.constant(value).item()
    return padded(r, x, widths, filled, attributes.get("mode", b"constant").decode())


def padded(r: Reading, x: Val, widths: list[tuple[int, int]], value: float = 0.0, mode: str = "constant") -> Val:
    """With so much before and behind each axis."""
    while widths and widths[0] == (0, 0):
        widths = widths[1:]
    if not widths:
        return x
    flat = tuple(n for pair in reversed(widths) for n in pair)
    if mode == "constant":
        return r.call("pad", x, flat, value=short(value)) if value else r.call("pad", x, flat)
    name = {"reflect": "reflect", "edge": "replicate", "wrap": "circular"}[mode]
    return r.call("pad", x, flat, mode=name)


@operator("Trilu")
def _triangle(r: Reading, attributes: Any, x: Val, k: Val | None = None) -> Val:
    number = 0 if k is None else int(r.constant(k).reshape(-1)[0])
    return r.call("triu" if attributes.get("upper", 1) else "tril", r.tensor(x), *([number] if number else []))


@operator("Einsum")
def _einsum(r: Reading, attributes: Any, *values: Val) -> Val:
    return r.call("einsum", attributes["equation"].decode().replace(" ", ""), *(r.tensor(value) for value in values))


@operator("ai.onnx.ml.ArrayFeatureExtractor")
def _extracted(r: Reading, attributes: Any, table: Val, index: Val) -> Val:
    array = r.constant(table)
    if array.ndim != 1 and array.shape[0] != 1:
        raise r.refuse("features of several rows have no correspondence")
    flat = Val((table.first, table.first), const=np.reshape(array, -1), initializer=None)
    found = r.call("getitem", r.tensor(flat), r.call("flatten", index) if index.rank > 1 else index)
    return r.call("unsqueeze", found, 0)


@operator("ai.onnx.ml.Normalizer")
def _normalizer(r: Reading, attributes: Any, x: Val) -> Val:
    kind = attributes.get("norm", b"MAX")
    if kind == b"L1":
        return r.call("div", x, r.call("sum", r.call("abs", x), dim=-1, keepdim=True))
    if kind == b"L2":
        return r.call("normalize", x, dim=-1)
    raise r.refuse("a Normalizer by the maximum has no correspondence")
