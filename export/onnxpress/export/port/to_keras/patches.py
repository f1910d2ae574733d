"""Windows of images and sequences: torch's Unfold, Fold and Tensor.unfold."""

from __future__ import annotations

from typing import Any

from onnxpress.export.port.code import literal, short
from onnxpress.export.port.layout import Value, channels_last
from onnxpress.export.port.to_keras.making import as_tuple, register, spatial
from onnxpress.export.port.to_keras.registry import function
from onnxpress.export.port.to_keras.writer import Writer


@register("Unfold", "Fold")
def _layer(w: Writer, module: Any, x: Value) -> Value:
    options = (module.kernel_size, module.dilation, module.padding, module.stride)
    return _unfold(w, x, *options) if type(module).__name__ == "Unfold" else _fold(w, x, module.output_size, *options)


@function("unfold")
def _unfold(w: Writer, x: Value, kernel_size: Any, dilation: Any = 1, padding: Any = 0, stride: Any = 1) -> Value:
    """(rows, channels, height, width) → (rows, channels x kernel, places)."""
    x = spatial(w, x, 2)
    kernel, dilation, padding, stride = (as_tuple(one, 2) for one in (kernel_size, dilation, padding, stride))
    if set(dilation) != {1} and set(stride) != {1}:
        raise w.refuse("unfold with dilation and a stride has no correspondence")
    channels, places = x.sizes[1], w.step.shown.sizes[2]
    if channels is None:
        raise w.refuse("unfold of channels that vary has no correspondence")
    code, name = x.code, w.fresh("patches")
    if any(padding):
        code = f"ops.pad({code}, {literal(((0, 0), *((p, p) for p in padding), (0, 0)))})"
    options = f"strides={literal(short(stride))}"
    if set(dilation) != {1}:
        options += f", dilation_rate={literal(short(dilation))}"
    rows, many = ("-1", str(places)) if places is not None else (f"ops.shape({x.code})[0]", "-1")
    size = kernel[0] * kernel[1]
    w.lines.append(f"{name} = ops.image.extract_patches({code}, {literal(short(kernel))}, {options})")
    w.lines.append(f"{name} = ops.reshape({name}, ({rows}, {many}, {size}, {channels}))")
    w.lines.append("# rows, channels, places in the window, windows")
    w.lines.append(f"{name} = ops.transpose({name}, (0, 3, 2, 1))")
    return w.result(f"ops.reshape({name}, ({rows}, {channels * size}, {many}))")


@function("fold")
def _fold(w: Writer, x: Value, output_size: Any, kernel_size: Any, dilation: Any = 1, padding: Any = 0,
          stride: Any = 1) -> Value:  # fmt: skip
    """(rows, channels x kernel, places) → (rows, channels, height, width)."""
    x = w.plain(w.made(x))
    kernel, stride = as_tuple(kernel_size, 2), as_tuple(stride, 2)
    whole = all(isinstance(one, int) for one in as_tuple(output_size, 2))
    if stride != kernel or x.rank != 3 or not whole or any(as_tuple(padding, 2)) or set(as_tuple(dilation, 2)) != {1}:
        raise w.refuse("fold of windows that overlap, or are padded, has no correspondence")
    height, width = as_tuple(output_size, 2)
    if height % kernel[0] or width % kernel[1]:
        raise w.refuse("fold into an image that the windows do not fill has no correspondence")
    channels = w.step.shown.sizes[1]
    tall, wide = height // kernel[0], width // kernel[1]
    name = w.fresh("patches")
    w.lines.append(f"{name} = ops.reshape({x.code}, (-1, {channels}, {kernel[0]}, {kernel[1]}, {tall}, {wide}))")
    w.lines.append("# each window is put at its place, channels last")
    w.lines.append(f"{name} = ops.transpose({name}, (0, 4, 2, 5, 3, 1))")
    return w.result(f"ops.reshape({name}, (-1, {height}, {width}, {channels}))", channels_last(4))


@function("windows")
def _windows(w: Writer, x: Value, dimension: int, size: int, step: int) -> Value:
    """Tensor.unfold: an axis becomes its windows, and the places within them are the last axis."""
    x = w.settle(w.made(x))
    axis = dimension % x.rank
    place, length = x.place(axis), x.sizes[axis]
    if not isinstance(size, int) or not isinstance(step, int):
        raise w.refuse("windows of a size that varies have no correspondence")
    end = str(length - size + 1) if length is not None else f"ops.shape({x.code})[{place}] - {size - 1}"
    starts = f"ops.arange(0, {end}, {step})"
    perm = (*x.perm[: place + 1], x.rank, *x.perm[place + 1 :])
    return w.result(f"ops.take({x.code}, {starts}[:, None] + ops.arange({size}), axis={place})", perm)
