"""Resizing: to the size that the source showed."""

from __future__ import annotations

import math
from typing import Any

from onnxpress.export.port.layout import Value, channels_last
from onnxpress.export.port.to_keras.making import as_tuple
from onnxpress.export.port.to_keras.windows import adapted
from onnxpress.export.port.to_keras.writer import Writer


def resized(w: Writer, x: Value, mode: str, aligned: bool, factor: Any = None) -> Value:
    """The step's result. Raises NoCorrespondence for modes that the two frameworks compute otherwise."""
    before, sizes = x.sizes[2:], w.step.shown.sizes[2:]
    if None in before or None in sizes:
        raise w.refuse("a resize of sizes that vary has no correspondence")
    if mode == "area":
        return adapted(w, x, sizes, "mean")
    whole = all((size or 0) % (old or 1) == 0 for old, size in zip(before, sizes, strict=True))
    x = w.in_layout(w.settle(w.made(x)), channels_last(x.rank), "channels last, as resizing has them")
    if mode == "nearest" and whole:
        return w.like(x, _repeated(x, [(size or 0) // (old or 1) for old, size in zip(before, sizes, strict=True)]))
    if mode == "nearest":
        return w.like(x, _nearest(x, before, sizes, factor))
    if mode == "linear" and x.rank == 3:
        return _as_image(w, x, aligned, factor)
    if mode not in ("bilinear", "bicubic") or x.rank != 4:
        raise w.refuse(f"a resize of mode {mode!r} to these sizes has no correspondence")
    _refuse_broken(w, before, sizes, aligned, factor)
    height, width = sizes
    if mode == "bicubic":
        w.shared.helpers.add("resize_cubic")
        return w.like(x, f"resize_cubic({x.code}, {height}, {width}{', aligned=True' if aligned else ''})")
    if aligned:
        w.shared.helpers.add("resize_aligned")
        return w.like(x, f"resize_aligned({x.code}, {height}, {width})")
    kind = 'interpolation="bilinear", data_format="channels_last"'
    return w.like(x, f"ops.image.resize({x.code}, ({height}, {width}), {kind})")


def _refuse_broken(w: Writer, before: Any, sizes: Any, aligned: bool, factor: Any) -> None:
    """Where a factor gives sizes that were rounded, torch still goes by the factor."""
    if factor is None or aligned:
        return
    factors = factor if isinstance(factor, tuple) else (factor,) * len(sizes)
    if any(old * f != size for old, size, f in zip(before, sizes, factors, strict=True)):
        raise w.refuse("a resize by a factor that gives no whole size has no correspondence", "write the size")


def _nearest(x: Value, before: Any, sizes: Any, factor: Any) -> str:
    """Each place of the new axis takes the one below the share of the old."""
    factors = as_tuple(factor, len(sizes)) if isinstance(factor, int | tuple) else (factor,) * len(sizes)
    code = x.code
    for place, (old, size, by) in enumerate(zip(before, sizes, factors, strict=True), 1):
        if old == size:
            continue
        scale = old / size if by is None else 1 / by
        places = [min(math.floor(n * scale), old - 1) for n in range(size)]
        even = places == [n * old // size for n in range(size)]
        shown = f"ops.arange({size}) * {old} // {size}" if even else str(places)
        code = f"ops.take({code}, {shown}, axis={place})"
    return code


def _as_image(w: Writer, x: Value, aligned: bool, factor: Any) -> Value:
    """A line of values, resized as an image of one column."""
    _refuse_broken(w, x.sizes[2:], w.step.shown.sizes[2:], aligned, factor)
    size = w.step.shown.sizes[2]
    image = f"ops.expand_dims({x.code}, 2)"
    if aligned:
        w.shared.helpers.add("resize_aligned")
        return w.like(x, f"ops.squeeze(resize_aligned({image}, {size}, 1), axis=2)")
    kind = 'interpolation="bilinear", data_format="channels_last"'
    return w.like(x, f"ops.squeeze(ops.image.resize({image}, ({size}, 1), {kind}), axis=2)")


def _repeated(x: Value, factors: list[int]) -> str:
    if x.rank == 4:
        height, width = (factor * (x.sizes[axis] or 0) for factor, axis in zip(factors, (2, 3), strict=True))
        kind = 'interpolation="nearest", data_format="channels_last"'
        return f"ops.image.resize({x.code}, ({height}, {width}), {kind})"
    code = x.code
    for axis, factor in enumerate(factors, 1):
        code = code if factor == 1 else f"ops.repeat({code}, {factor}, axis={axis})"
    return code
