"""Padding: with a number, or with what the value holds itself."""

from __future__ import annotations

from typing import Any

from onnxpress.export.port.layout import Value
from onnxpress.export.port.to_keras.registry import function
from onnxpress.export.port.to_keras.writer import Writer


@function("pad")
def _pad(w: Writer, x: Value, pad: Any, mode: str = "constant", value: Any = None) -> Value:
    w.settle(x)
    if mode in _AT_EDGES and all(isinstance(p, int) and p >= 0 for p in pad):
        return w.like(x, at_edges(w, x, mode, {x.rank - 1 - n: pad[2 * n : 2 * n + 2] for n in range(len(pad) // 2)}))
    if mode not in ("constant", "reflect") or any(not isinstance(p, int) or p < 0 for p in pad):
        raise w.refuse(f"padding of mode {mode!r}, a negative one, or one that varies has no correspondence")
    widths = [(0, 0)] * x.rank
    for n in range(len(pad) // 2):
        widths[x.rank - 1 - n] = (pad[2 * n], pad[2 * n + 1])
    extra = f', mode="{mode}"' if mode != "constant" else (f", constant_values={value}" if value else "")
    return w.like(x, f"ops.pad({x.code}, {tuple(widths[axis] for axis in x.perm)}{extra})")


_AT_EDGES = {"replicate": "padded_by_edges", "circular": "padded_around"}


def at_edges(w: Writer, x: Value, mode: str, widths: dict[int, Any]) -> str:
    """The code of x padded on these of its axes with what it holds itself."""
    code, name = x.code, _AT_EDGES[mode]
    w.shared.helpers.add(name)
    for axis, (before, after) in sorted(widths.items()):
        if before or after:
            code = f"{name}({code}, {x.place(axis)}, {before}, {after})"
    return code
