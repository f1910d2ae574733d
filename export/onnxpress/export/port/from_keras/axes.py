"""What moves, cuts, joins and counts axes; most of it changes the layout alone."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from onnxpress.export.port.from_keras.builder import Builder
from onnxpress.export.port.from_keras.registry import layer, operation
from onnxpress.export.port.from_keras.values import Value, channels_first
from onnxpress.export.port.layout import flattened, identity
from onnxpress.export.port.steps import Ref


def reshaped(w: Builder, x: Value, sizes: Sequence[Any]) -> Value:
    """To these sizes, in Keras's order of axes: numbers, Refs of sizes that vary, or -1 once."""
    x = w.made(x)
    sizes = [-1 if size is None else size for size in sizes]
    if x.shown.sizes == tuple(sizes):
        return x
    if len(sizes) == 2 and x.rank > 2 and None not in x.sizes[1:]:
        merged = _merged(w, x, sizes)
        if merged is not None:
            return merged
    x = w.settle(x)
    if x.wide != sorted(x.wide):
        x = w.plain(x, "reshaped in the source's order of axes")
    perm = identity(len(sizes))
    if len(sizes) == 4 and sizes[1:3] == [1, 1] and x.sizes[0] is None:
        perm = channels_first(4)  # where the axes between are 1, channels are as well first
    return w.function("reshape", x, tuple(sizes[axis] for axis in perm), perm=perm)


def _merged(w: Builder, x: Value, sizes: Sequence[Any]) -> Value | None:
    """All axes but the first as one, in the order in which they lie: the weights behind follow."""
    place = (w.path, len(w.steps))
    rest = tuple(s or 1 for s in x.sizes[1:])
    total = math.prod(rest)
    is_flat = sizes[1] in (total, -1) and (sizes[0] in (-1, x.sizes[0]) or isinstance(sizes[0], Ref))
    if not is_flat or x.perm[0] != 0 or x.order is not None or place in w.shared.settled:
        return None
    found = w.function("flatten", x, 1)
    if x.wide != sorted(x.wide):
        found.order = flattened(rest, tuple(axis - 1 for axis in x.perm[1:]))
        found.made_by = place
    return found


@layer("Flatten")
def _flatten(w: Builder, keras_layer: Any, x: Value) -> Value:
    x = w.made(x)
    if x.rank == 2:
        return x
    if x.rank == 1:
        return w.function("unsqueeze", x, -1)
    if keras_layer.data_format == "channels_first":
        x = transposed(w, x, (0, *range(2, x.rank), 1))  # Keras puts them last before it flattens
    return reshaped(w, x, (-1, _total(w, x)))


def _total(w: Builder, x: Value) -> int:
    sizes = x.sizes[1:]
    if None in sizes:
        raise w.refuse("to flatten an axis whose size varies has no correspondence")
    return math.prod(size or 1 for size in sizes)


@layer("Reshape")
def _reshape(w: Builder, keras_layer: Any, x: Value) -> Value:
    return reshaped(w, x, _filled(w, x, (None, *keras_layer.target_shape)))


@operation("Reshape")
def _reshape_operation(w: Builder, op: Any, x: Value) -> Value:
    return reshaped(w, x, _filled(w, x, tuple(op.newshape)))


def _filled(w: Builder, x: Value, sizes: Sequence[Any]) -> list[Any]:
    """Without None: one size that is not told is -1, others are read where the value has them."""
    found = [None if size in (None, -1) or w.varies(size) else size for size in sizes]
    if found.count(None) > 1 and None not in x.sizes[1:] and found[0] is None:
        rest = math.prod(size or 1 for size in x.sizes[1:]) // math.prod(s for s in found[1:] if s is not None)
        found[1:] = [
            rest if size is None and not w.varies(wanted) else size
            for size, wanted in zip(found[1:], sizes[1:], strict=True)
        ]
    for place, size in enumerate(sizes):
        if found.count(None) > 1 and found[place] is None and size != -1:
            axis = place if size is None else _axis_of(w, x, size)
            if axis is not None and axis < x.rank and x.sizes[axis] is None:
                found[place] = w.size(x, axis)
    if found.count(None) > 1:
        raise w.refuse("a reshape to several sizes that vary has no correspondence")
    return [-1 if size is None else size for size in found]


def _axis_of(w: Builder, x: Value, size: int) -> int | None:
    """The axis whose size this number stands for."""
    return next((axis for axis, one in enumerate(w.stand_ins(x)) if one == size), None)


def transposed(w: Builder, x: Value, axes: Sequence[int]) -> Value:
    """Keras's transpose, which changes the layout alone."""
    x = w.settle(w.made(x))
    axes = [axis % x.rank for axis in axes]
    perm = tuple(axes.index(axis) for axis in x.perm)
    return w.value(x.ref.number, perm)


@layer("Permute")
def _permute(w: Builder, keras_layer: Any, x: Value) -> Value:
    return transposed(w, x, (0, *keras_layer.dims))


@operation("Transpose")
def _transpose(w: Builder, op: Any, x: Value) -> Value:
    return transposed(w, x, op.axes if op.axes is not None else tuple(reversed(range(x.rank))))


@operation("Swapaxes")
def _swapaxes(w: Builder, op: Any, x: Value) -> Value:
    axes = list(range(x.rank))
    axes[op.axis1], axes[op.axis2] = axes[op.axis2], axes[op.axis1]
    return transposed(w, x, axes)


@operation("Moveaxis")
def _moveaxis(w: Builder, op: Any, x: Value) -> Value:
    return transposed(w, x, np.moveaxis(np.empty(range(x.rank)), op.source, op.destination).shape)


@layer("RepeatVector")
def _repeat_vector(w: Builder, keras_layer: Any, x: Value) -> Value:
    wide = w.function("unsqueeze", w.settle(w.made(x)), 1)
    return w.function("expand", wide, (-1, keras_layer.n, -1))


@operation("ExpandDims")
def expand_dims(w: Builder, op: Any, x: Value, *, axis: int | None = None) -> Value:
    """With an axis of 1 more, where the others lie."""
    x = w.settle(w.made(x))
    axis = (op.axis if axis is None else axis) % (x.rank + 1)
    perm = [a + (a >= axis) for a in x.perm]
    place = axis if x.perm == identity(x.rank) else next((n for n, a in enumerate(perm) if a > axis), len(perm))
    perm.insert(place, axis)
    return w.function("unsqueeze", x, -1 if place == x.rank else place, perm=tuple(perm))


@operation("Squeeze")
def squeeze(w: Builder, op: Any, x: Value) -> Value:
    """Without axes of 1."""
    x = w.settle(w.made(x))
    given = [a for a in range(x.rank) if x.sizes[a] == 1] if op.axis is None else [int(a) for a in np.ravel(op.axis)]
    axes = sorted(axis % x.rank for axis in given)
    left = [a for a in x.perm if a not in axes]
    perm = tuple(sorted(left).index(a) for a in left)
    places = tuple(x.place(a) for a in axes)
    return w.function("squeeze", x, places[0] if len(places) == 1 else places, perm=perm)


@operation("Concatenate")
def _concatenate_operation(w: Builder, op: Any, tensors: Sequence[Value]) -> Value:
    return joined(w, tensors, op.axis)


@layer("Concatenate")
def _concatenate(w: Builder, keras_layer: Any, tensors: Sequence[Value]) -> Value:
    return joined(w, tensors, keras_layer.axis)


def joined(w: Builder, tensors: Sequence[Value], axis: int) -> Value:
    """One after the other along an axis."""
    tensors = [w.made(t) for t in tensors]
    if tensors[0].rank == 2 and axis % 2 == 1 and any(t.order is not None for t in tensors):
        return _joined_flat(w, tensors)
    tensors = [w.settle(t) for t in tensors]
    lead = max(tensors, key=lambda v: (v.perm != identity(v.rank), len(v.wide)))
    tensors = [w.in_layout(t, lead.perm, "joined in one order of axes") for t in tensors]
    return w.function("cat", tuple(tensors), dim=lead.written_place(axis), perm=lead.perm)


def _joined_flat(w: Builder, tensors: list[Value]) -> Value:
    """Of flattened ones, each in its order: the weights behind follow."""
    found = w.function("cat", tuple(tensors), dim=1)
    orders, before = [], 0
    for t in tensors:
        size = t.shown.first[1]
        orders.append((np.arange(size) if t.order is None else t.order) + before)
        before += size
    found.order = np.concatenate(orders)
    found.made_by = next(t.made_by for t in tensors if t.order is not None)
    return found


@operation("Stack")
def _stack(w: Builder, op: Any, tensors: Sequence[Value]) -> Value:
    tensors = [w.plain(w.made(t)) for t in tensors]
    axis = op.axis % (tensors[0].rank + 1)
    return w.function("stack", tuple(tensors), dim=-1 if axis == tensors[0].rank else axis)


@operation("Split")
def _split(w: Builder, op: Any, x: Value) -> list[Value]:
    x = w.settle(w.made(x))
    axis = op.axis % x.rank
    size = x.sizes[axis]
    if size is None:
        raise w.refuse("a split of an axis whose size varies has no correspondence")
    cuts = op.indices_or_sections
    given: Any = cuts
    if not isinstance(cuts, int):
        edges = [0, *(int(c) for c in np.ravel(cuts)), size]
        given = tuple(b - a for a, b in itertools.pairwise(edges))
    name = "chunk" if isinstance(cuts, int) else "split"
    number = w.step("function", name, (x, given), {"dim": x.written_place(axis)})
    return [w.value(w.step("function", "getitem", (Ref(number), n)), x.perm) for n in range(len(w.pairs[number][0]))]


@operation("Unstack")
def _unstack(w: Builder, op: Any, x: Value) -> list[Value]:
    x = w.settle(w.made(x))
    axis = op.axis % x.rank
    left = [a for a in x.perm if a != axis]
    perm = tuple(sorted(left).index(a) for a in left)
    number = w.step("function", "unbind", (x,), {"dim": x.place(axis)})
    return [w.value(w.step("function", "getitem", (Ref(number), n)), perm) for n in range(len(w.pairs[number][0]))]


@operation("GetItem", "Cut")
def _getitem(w: Builder, _: Any, x: Value, key: Any) -> Value:
    x = w.settle(w.made(x))
    index = [_told(w, one) for one in (key if isinstance(key, tuple | list) else [key])]
    if any(isinstance(i, Value) for i in index):
        raise w.refuse("an index that is a tensor has no correspondence", "use ops.take")
    used = sum(i is not None and i is not Ellipsis for i in index)
    filled: list[Any] = []
    for i in index:
        filled += [slice(None)] * (x.rank - used) if i is Ellipsis else [i]
    filled += [slice(None)] * (x.rank - sum(i is not None for i in filled))
    if any(isinstance(i, slice) and i.step is not None and i.step < 0 for i in filled):
        x, filled = _reversed(w, x, filled)
    if any(i is None for i in filled):
        return w.function("getitem", w.plain(x), tuple(_trimmed(filled)))
    left = [axis for axis in x.perm if isinstance(filled[axis], slice)]
    perm = tuple(sorted(left).index(axis) for axis in left)
    physical = _trimmed([filled[axis] for axis in x.perm])
    if all(i == slice(None) for i in physical):
        return x
    return w.function("getitem", x, tuple(physical) if len(physical) > 1 else physical[0], perm=perm)


def _told(w: Builder, one: Any) -> Any:
    """A slice that goes as far as a size that varies, with the step that reads the size."""
    return slice(one.start, w.told(one.stop), one.step) if isinstance(one, slice) and w.varies(one.stop) else one


def _reversed(w: Builder, x: Value, filled: list[Any]) -> tuple[Value, list[Any]]:
    """Torch has no step below zero: the axis is flipped."""
    axes = [n for n, i in enumerate(filled) if isinstance(i, slice) and i.step is not None and i.step < 0]
    if any(filled[a] != slice(None, None, -1) for a in axes) or any(i is None for i in filled):
        raise w.refuse("a slice with a step below zero has no correspondence", "use ops.flip")
    x = w.function("flip", x, tuple(x.place(a) for a in axes), perm=x.perm)
    return x, [slice(None) if n in axes else i for n, i in enumerate(filled)]


def _trimmed(index: list[Any]) -> list[Any]:
    while len(index) > 1 and isinstance(index[-1], slice) and index[-1] == slice(None):
        index = index[:-1]
    return index


@operation("Flip")
def _flip(w: Builder, op: Any, x: Value) -> Value:
    x = w.settle(w.made(x))
    axes = range(x.rank) if op.axis is None else np.ravel(op.axis)
    return w.function("flip", x, tuple(x.place(int(a)) for a in axes), perm=x.perm)


@operation("Pad")
def _pad(w: Builder, op: Any, x: Value, constant_values: Any = None) -> Value:
    x = w.settle(w.made(x))
    if op.mode != "constant":
        raise w.refuse(f"a padding by {op.mode} has no correspondence")
    widths = np.broadcast_to(np.asarray(op.pad_width), (x.rank, 2))
    flat: list[int] = []
    for axis in reversed(x.perm):
        flat += [int(p) for p in widths[axis]]
    while flat[-2:] == [0, 0]:
        flat = flat[:-2]
    options: dict[str, Any] = {} if not constant_values else {"value": float(constant_values)}
    return w.function("pad", x, tuple(flat), perm=x.perm, **options)


@operation("Repeat")
def _repeat(w: Builder, op: Any, x: Value) -> Value:
    x = w.settle(w.made(x))
    if op.axis is None or not isinstance(op.repeats, int):
        raise w.refuse("this repeat has no correspondence", "give one number and an axis")
    return w.function("repeat_interleave", x, op.repeats, dim=x.place(op.axis), perm=x.perm)


@operation("Tile")
def _tile(w: Builder, op: Any, x: Value) -> Value:
    x = w.plain(w.made(x))
    counts = [int(r) for r in np.ravel(op.repeats)]
    return w.function("tile", x, tuple(w.told(count) if w.varies(count) else count for count in counts))


@operation("Roll")
def _roll(w: Builder, op: Any, x: Value) -> Value:
    x = w.settle(w.made(x))
    if op.axis is None:
        raise w.refuse("a roll without an axis has no correspondence")
    shifts, axes = np.ravel(op.shift), np.ravel(op.axis)
    return w.function("roll", x, tuple(int(s) for s in shifts), tuple(x.place(int(a)) for a in axes), perm=x.perm)


@operation("BroadcastTo")
def _broadcast_to(w: Builder, op: Any, x: Value) -> Value:
    x = w.plain(w.made(x))
    missing = len(op.shape) - x.rank
    sizes: list[Any] = []
    for place, size in enumerate(op.shape):
        if place >= missing and x.sizes[place - missing] is None:
            sizes.append(-1)
        elif size is None:
            raise w.refuse("to broadcast to a size that varies has no correspondence", "read it by ops.shape")
        else:
            sizes.append(w.told(size) if w.varies(size) else int(size))
    return w.function("expand", x, tuple(sizes))
