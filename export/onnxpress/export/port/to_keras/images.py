"""Resizing: to the size that the source showed."""

from __future__ import annotations

from onnxpress.export.port.layout import Value, channels_last
from onnxpress.export.port.to_keras.writer import Writer


def resized(w: Writer, x: Value, mode: str, aligned: bool) -> Value:
    """The step's result. Raises NoCorrespondence for modes that the two frameworks compute otherwise."""
    before, sizes = x.sizes[2:], w.step.shown.sizes[2:]
    if None in before or None in sizes:
        raise w.refuse("a resize of sizes that vary has no correspondence")
    whole = all((size or 0) % (old or 1) == 0 for old, size in zip(before, sizes, strict=True))
    x = w.in_layout(w.settle(w.made(x)), channels_last(x.rank), "channels last, as resizing has them")
    if mode == "nearest" and whole:
        return w.like(x, _repeated(x, [(size or 0) // (old or 1) for old, size in zip(before, sizes, strict=True)]))
    if mode != "bilinear" or x.rank != 4:
        raise w.refuse(f"a resize of mode {mode!r} to these sizes has no correspondence")
    height, width = sizes
    if aligned:
        w.shared.helpers.add("resize_aligned")
        return w.like(x, f"resize_aligned({x.code}, {height}, {width})")
    kind = 'interpolation="bilinear", data_format="channels_last"'
    return w.like(x, f"ops.image.resize({x.code}, ({height}, {width}), {kind})")


def _repeated(x: Value, factors: list[int]) -> str:
    if x.rank == 4:
        height, width = (factor * (x.sizes[axis] or 0) for factor, axis in zip(factors, (2, 3), strict=True))
        kind = 'interpolation="nearest", data_format="channels_last"'
        return f"ops.image.resize({x.code}, ({height}, {width}), {kind})"
    code = x.code
    for axis, factor in enumerate(factors, 1):
        code = code if factor == 1 else f"ops.repeat({code}, {factor}, axis={axis})"
    return code
