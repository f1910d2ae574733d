"""Operations that sort, pick, put in place and count."""

from __future__ import annotations

from typing import Any

import numpy as np

from onnxpress.export.port.from_keras.arithmetic import over_axes
from onnxpress.export.port.from_keras.axes import transposed
from onnxpress.export.port.from_keras.builder import Builder
from onnxpress.export.port.from_keras.registry import operation
from onnxpress.export.port.from_keras.values import Value
from onnxpress.export.port.steps import Ref


def whole(w: Builder, indices: Any) -> Value:
    """Indices as torch takes them: int64."""
    indices = w.settle(w.made(indices))
    return indices if indices.dtype == "int64" else w.like(indices, "to", indices, "torch.int64")


@operation("TopK")
def _top_k(w: Builder, op: Any, x: Value) -> list[Value]:
    x = w.settle(w.made(x))
    why = "of equal ones the first comes first, which topk does not say"
    options = {"dim": x.written_place(-1), "descending": True, "stable": True}
    number = w.step("function", "sort", (x,), options, comment=why)
    values, places = (w.value(w.step("function", "getitem", (Ref(number), n)), x.perm) for n in (0, 1))
    cut = (*(slice(None),) * x.place(-1), slice(None, int(op.k)))
    values, places = (w.function("getitem", one, cut, perm=x.perm) for one in (values, places))
    return [values, w.like(places, "to", places, "torch.int32")]


@operation("Sort")
def _sort(w: Builder, op: Any, x: Value) -> Value:
    x = w.settle(w.made(x))
    if not isinstance(op.axis, int):
        raise w.refuse("a sort over all axes has no correspondence", "give one axis")
    number = w.step("function", "sort", (x,), {"dim": x.written_place(op.axis)})
    return w.value(w.step("function", "getitem", (Ref(number), 0)), x.perm)


@operation("TakeAlongAxis")
def _take_along_axis(w: Builder, op: Any, x: Value, indices: Any) -> Value:
    x = w.settle(w.made(x))
    indices = w.made(indices)
    if not isinstance(op.axis, int) or indices.rank != x.rank:
        raise w.refuse("take_along_axis without an axis, or of another rank, has no correspondence")
    indices = w.in_layout(whole(w, indices), x.perm, "in the order of axes of what is picked from")
    return w.function("take_along_dim", x, indices, dim=x.written_place(op.axis), perm=x.perm)


@operation("Slice")
def _slice(w: Builder, op: Any, x: Value, start_indices: Any) -> Value:
    x = w.settle(w.made(x))
    starts = _numbers(w, start_indices)
    cuts: list[Any] = []
    for axis, (first, size) in enumerate(zip(starts, op.shape, strict=True)):
        whole_axis = first == 0 and (size == x.sizes[axis] or size == w.stand_ins(x)[axis])
        last = w.told(size) if w.varies(size) and not whole_axis else first + size
        if w.varies(size) and not whole_axis and first:
            raise w.refuse("a slice of a size that varies, from elsewhere than the start, has no correspondence")
        cuts.append(slice(None) if whole_axis else slice(first or None, last))
    index = tuple(cuts[axis] for axis in x.perm)
    while len(index) > 1 and index[-1] == slice(None):
        index = index[:-1]
    return x if index == (slice(None),) else w.function("getitem", x, index, perm=x.perm)


def _numbers(w: Builder, value: Any) -> list[int]:
    if isinstance(value, Value) and value.variable is not None and not hasattr(value.variable, "assign"):
        value = value.variable
    if any(isinstance(one, Value) for one in (value if isinstance(value, list | tuple) else [value])):
        raise w.refuse("places that depend on a tensor have no correspondence")
    return [int(one) for one in np.ravel(value)]


@operation("SliceUpdate")
def _slice_update(w: Builder, op: Any, x: Any, start_indices: Any, updates: Value) -> Value:
    x, updates = w.plain(w.made(x)), w.plain(w.made(updates))
    starts = _numbers(w, start_indices)
    if sum(a != b for a, b in zip(x.shown.sizes, updates.shown.sizes, strict=True)) != 1:
        raise w.refuse("a slice_update over several axes has no correspondence", "one axis after the other")
    axis = next(n for n, (a, b) in enumerate(zip(x.shown.sizes, updates.shown.sizes, strict=True)) if a != b)
    size = updates.sizes[axis]
    if size is None:
        raise w.refuse("a slice_update over a size that varies has no correspondence")
    return w.function("slice_scatter", x, updates, dim=axis, start=starts[axis], end=starts[axis] + size)


@operation("ScatterUpdate")
def _scatter_update(w: Builder, op: Any, x: Any, indices: Any, updates: Value) -> Value:
    if op.reduction not in (None, "add"):
        raise w.refuse(f"a scatter_update by {op.reduction} has no correspondence")
    return _put(w, w.plain(w.made(x)), indices, updates, accumulate=op.reduction == "add")


@operation("Scatter")
def _scatter(w: Builder, op: Any, indices: Any, values: Value) -> Value:
    values = w.plain(w.made(values))
    if any(w.varies(size) for size in op.shape):
        raise w.refuse("a scatter into a size that varies has no correspondence")
    empty = w.function("new_zeros", values, tuple(int(size) for size in op.shape))
    return _put(w, empty, indices, values, accumulate=True)


def _put(w: Builder, x: Value, indices: Any, updates: Value, *, accumulate: bool) -> Value:
    indices, updates = w.plain(w.made(indices)), w.plain(w.made(updates))
    if indices.rank != 2 or indices.sizes[1] is None:
        raise w.refuse("a scatter by indices of another rank than two has no correspondence")
    each = tuple(w.function("select", whole(w, indices), 1, n) for n in range(indices.shown.first[1]))
    options: dict[str, Any] = {"accumulate": True} if accumulate else {}
    return w.function("index_put", x, each, updates, **options)


@operation("SegmentSum", "SegmentMax")
def _segments(w: Builder, op: Any, data: Value, segment_ids: Value) -> Value:
    data, ids = w.plain(w.made(data)), whole(w, w.plain(w.made(segment_ids)))
    count = op.num_segments
    if not isinstance(count, int) or w.varies(count):
        raise w.refuse("segments whose number is not told have no correspondence", "give num_segments")
    if type(op).__name__ == "SegmentMax":
        raise w.refuse("segment_max has no correspondence")
    empty = w.function("new_zeros", data, (count, *(w.size(data, axis) for axis in range(1, data.rank))))
    return w.function("index_add", empty, 0, ids, data)


@operation("Tril", "Triu")
def _triangle(w: Builder, op: Any, x: Value) -> Value:
    x = w.plain(w.made(x), "over the last two axes")
    return w.function(type(op).__name__.lower(), x, *([int(op.k)] if op.k else []))


@operation("Diagonal")
def _diagonal(w: Builder, op: Any, x: Value) -> Value:
    x = w.plain(w.made(x))
    return w.function("diagonal", x, int(op.offset), op.axis1 % x.rank, op.axis2 % x.rank)


@operation("Trace")
def _trace(w: Builder, op: Any, x: Value) -> Value:
    return w.function("sum", _diagonal(w, op, x), dim=-1)


@operation("MultiHot")
def _multi_hot(w: Builder, op: Any, x: Value) -> Value:
    if op.axis not in (-1, x.rank):
        raise w.refuse("multi_hot along another axis than the last has no correspondence")
    hot = w.function("one_hot", whole(w, w.plain(w.made(x))), op.num_classes)
    hot = w.function("amax", hot, dim=-2) if x.rank > 1 else hot
    return w.function("to", hot, f"torch.{op.dtype or 'float32'}")


@operation("Moments")
def _moments(w: Builder, op: Any, x: Value) -> list[Value]:
    x = w.settle(w.made(x))
    axes = [int(a) % x.rank for a in np.ravel(op.axes)]
    return [over_axes(w, name, x, axes, bool(op.keepdims)) for name in ("mean", "var")]


@operation("CountNonzero")
def _count_nonzero(w: Builder, op: Any, x: Value) -> Value:
    x = w.settle(w.made(x))
    axes = list(range(x.rank)) if op.axis is None else [int(a) % x.rank for a in np.ravel(op.axis)]
    found = over_axes(w, "sum", w.like(x, "ne", x, 0), axes, keep=False)
    return w.like(found, "to", found, "torch.int32")


@operation("NanToNum")
def _nan_to_num(w: Builder, op: Any, x: Value) -> Value:
    x = w.made(x)
    return w.like(x, "nan_to_num", x, nan=float(op.nan), posinf=op.posinf, neginf=op.neginf)


@operation("Norm")
def _norm(w: Builder, op: Any, x: Value) -> Value:
    x = w.settle(w.made(x))
    axes = list(range(x.rank)) if op.axis is None else [int(a) % x.rank for a in np.ravel(op.axis)]
    if op.ord in (None, "fro", "euclidean") or (op.ord == 2 and len(axes) == 1):
        found = over_axes(w, "sum", w.like(x, "square", x), axes, bool(op.keepdims))
        return w.like(found, "sqrt", found)
    if op.ord == 1 and len(axes) == 1:
        return over_axes(w, "sum", w.like(x, "abs", x), axes, bool(op.keepdims))
    if op.ord in (np.inf, float("inf")) and len(axes) == 1:
        return over_axes(w, "amax", w.like(x, "abs", x), axes, bool(op.keepdims))
    raise w.refuse(f"a norm of order {op.ord} has no correspondence", "order 1, 2 or infinity")


@operation("Diff")
def _diff(w: Builder, op: Any, x: Value) -> Value:
    x = w.settle(w.made(x))
    options: dict[str, Any] = {} if op.n == 1 else {"n": int(op.n)}
    return w.function("diff", x, dim=x.written_place(op.axis), perm=x.perm, **options)


@operation("Cross")
def _cross(w: Builder, op: Any, a: Any, b: Any) -> Value:
    if any(axis not in (-1, a.rank - 1) for axis in (op.axisa, op.axisb, op.axisc)) or a.sizes[-1] != 3:
        raise w.refuse("a cross product over other axes than the last, of three, has no correspondence")
    found, lead = w.together([a, b])
    assert lead is not None
    return w.function("cross", *found, dim=lead.written_place(-1), perm=lead.perm)


@operation("Inv", "Det")
def _linear_algebra(w: Builder, op: Any, x: Value) -> Value:
    name = "inverse" if type(op).__name__ == "Inv" else "det"
    return w.function(name, w.plain(w.made(x), "over the last two axes"))


@operation("SearchSorted", "Digitize")
def _places(w: Builder, op: Any, first: Any, second: Any) -> Value:
    is_search = type(op).__name__ == "SearchSorted"
    edges, x = (first, second) if is_search else (second, first)
    right = not is_search or op.side == "right"
    edges = w.made(edges if isinstance(edges, Value) else w.variable(np.asarray(edges, np.float32), "edges"))
    x = w.settle(w.made(x))
    found = w.like(x, "bucketize", x, edges, **({"right": True} if right else {}))
    return w.like(found, "to", found, "torch.int32")


@operation("Hstack", "Vstack")
def _stacked(w: Builder, op: Any, tensors: Any) -> Value:
    given = [w.plain(w.made(one)) for one in tensors]
    return w.function(type(op).__name__.lower(), tuple(given))


@operation("Average")
def _average(w: Builder, op: Any, x: Value, weights: Any = None) -> Value:
    x = w.settle(w.made(x))
    if weights is not None or not isinstance(op.axis, int):
        raise w.refuse("an average with weights, or over all axes, has no correspondence", "ops.sum of the product")
    return over_axes(w, "mean", x, [op.axis % x.rank], keep=False)


@operation("Rot90")
def _rot90(w: Builder, op: Any, x: Value) -> Value:
    x = w.settle(w.made(x))
    first, second = (int(a) % x.rank for a in op.axes)
    turned = list(range(x.rank))
    turned[first], turned[second] = second, first
    for _ in range(op.k % 4):
        x = transposed(w, w.function("flip", x, (x.place(second),), perm=x.perm), turned)
    return x
