"""The calls of known layers and of blocks."""

from __future__ import annotations

from typing import Any

from onnxpress.export.port.layout import Value
from onnxpress.export.port.steps import Block, Shown, Step
from onnxpress.export.port.to_keras import attention, dense, norms, pools, recurrent
from onnxpress.export.port.to_keras.axes import unpacked
from onnxpress.export.port.to_keras.making import (
    LAYERS,
    member,
)
from onnxpress.export.port.to_keras.writer import Writer

__all__ = ["attention", "block", "dense", "layer", "norms", "pools", "recurrent"]


def layer(w: Writer, step: Step, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Value:
    """The call of a known layer. Raises NoCorrespondence where it is set in a way that Keras has not."""
    module = w.block.children[step.name]
    kind = type(module).__name__
    if kind not in LAYERS:
        raise w.refuse(f"{kind} has no correspondence yet", "write it of layers that have one")
    return LAYERS[kind](w, module, *args, **kwargs)


def block(w: Writer, step: Step, args: tuple[Value, ...]) -> Value:
    """The call of a block of its own class."""
    child: Block = w.block.children[step.name]
    args = tuple(w.made(a) for a in args)
    layouts = [(a.perm, None if a.order is None else a.order.tobytes()) for a in args]
    known = w.attributes.get(step.name)
    if known is None:
        found = w.shared.block(child, [Value("", a.shown, a.perm, a.order, a.made_by) for a in args], w.full(step.name))
        w.attributes[step.name] = known = (found, layouts)
        w.place(step.name, found)
    found, before = known
    if before != layouts:
        raise w.refuse("this block is called with its axes in two orders")
    code = f"{member(w.attribute(step.name))}({', '.join(a.code for a in args)})"
    return _answer(w, found.outputs, step.shown, code)


def _answer(w: Writer, outputs: Any, shown: Any, code: str) -> Value:
    if isinstance(outputs, Value) and outputs.parts is None:
        return Value(code, shown, outputs.perm, outputs.order, outputs.made_by)
    outputs = outputs.parts if isinstance(outputs, Value) else outputs
    kept = [o for o in outputs or () if o is not None]
    if not kept or not all(isinstance(o, Value) and isinstance(o.shown, Shown) for o in kept):
        raise w.refuse("a block that returns something else than tensors has no correspondence")

    if len(kept) == 1:
        only = iter([Value(code, kept[0].shown, kept[0].perm, kept[0].order, kept[0].made_by)])
        return Value(code, shown, parts=[None if o is None else next(only) for o in outputs])
    names = [w.fresh(n) for n in unpacked(w, len(outputs))]
    names = [n for n, o in zip(names, outputs, strict=True) if o is not None]
    w.lines.append(f"{', '.join(names)} = {code}")
    parts = iter([Value(n, o.shown, o.perm, o.order, o.made_by) for n, o in zip(names, kept, strict=True)])
    return Value(code, shown, parts=[None if o is None else next(parts) for o in outputs])
