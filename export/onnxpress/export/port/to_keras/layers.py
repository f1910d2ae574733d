"""The calls of known layers and of blocks."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from onnxpress.export.port.code import tuple_of
from onnxpress.export.port.layout import Value, holds_tensors
from onnxpress.export.port.steps import Block, Ref, Shown, Step
from onnxpress.export.port.to_keras import attention, dense, norms, patches, pools, products, recurrent
from onnxpress.export.port.to_keras.axes import unpacked
from onnxpress.export.port.to_keras.making import (
    LAYERS,
    called,
    make,
    member,
)
from onnxpress.export.port.to_keras.writer import Writer, Written

__all__ = ["attention", "block", "dense", "layer", "norms", "patches", "pools", "recurrent"]


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
    if not any(inner.kind not in ("input", "output") for inner in child.steps) and len(args) == 1:
        answer = child.steps[-1].args[0]
        if isinstance(answer, tuple):
            return Value("", step.shown, parts=[args[0] if isinstance(one, Ref) else None for one in answer])
        return args[0]  # as an empty Sequential
    if len(args) == 1 and (rows := _rows_left_out(child)) is not None:
        return _drop_path(w, child, args[0], rows)
    if known is None:
        given = [Value("", a.shown, a.perm, a.order, a.made_by, number=a.number, fill=a.fill) for a in args]
        found = w.shared.block(child, given, w.full(step.name))
        w.attributes[step.name] = known = (found, layouts)
        w.place(step.name, found)
    found, before = known
    if before != layouts:  # the order of the first call
        args = tuple(
            w.in_layout(a, perm, "as this block takes it") if a.order is None and order is None else a
            for a, (perm, order) in zip(args, before, strict=True)
        )
        layouts = [(a.perm, None if a.order is None else a.order.tobytes()) for a in args]
        if before != layouts:
            raise w.refuse("this block is called with its axes in two orders")
    text = member(w.attribute(step.name))
    if not any(a.number is None for a in args):
        text += ".call"
        w.lines.append("# by its method, as Keras calls layers with tensors alone")
    code = f"{text}({', '.join(_given(found, args))})"
    return _answer(w, found.outputs, step.shown, code)


def _rows_left_out(child: Block) -> tuple[Any, ...] | None:
    """Rate and axes of a block that is nothing but a dropout of whole rows."""
    first, *rest = child.steps
    if len(rest) != 2 or rest[0].name != "dropped" or rest[0].args[0] != Ref(first.number):
        return None
    return rest[0].args[1:] if rest[1].args == (Ref(rest[0].number),) else None


def _drop_path(w: Writer, child: Block, x: Value, rows: tuple[Any, ...]) -> Value:
    x = w.settle(x)
    made = make(w, child.owner, f"{products.of_rows(x, *rows)})")
    known = w.attributes.get(w.step.name)
    if known is not None and known.calls != made.calls:
        raise w.refuse("this stochastic depth is called with values of several ranks")
    return w.like(x, called(w, made, x))


def _given(found: Written, args: tuple[Value, ...]) -> Iterator[str]:
    """What the call is given: from the first size on by name, as Keras takes tensors alone by their places."""
    sizes = [n for n, a in enumerate(args) if a.number is not None]
    first = sizes[0] if sizes and len(sizes) < len(args) else len(args)
    for number, (argument, value) in enumerate(zip(found.arguments, args, strict=True)):
        yield value.code if number < first else f"{argument}={value.code}"


def _answer(w: Writer, outputs: Any, shown: Any, code: str) -> Value:
    if isinstance(outputs, Value) and outputs.parts is None:
        return Value(code, shown, outputs.perm, outputs.order, outputs.made_by)
    parts = _several(w, outputs)
    kept = [o for o in parts if holds_tensors(o)]
    if len(kept) == 1 and isinstance(kept[0], Value) and kept[0].parts is None:
        only = Value(code, kept[0].shown, kept[0].perm, kept[0].order, kept[0].made_by)
        return Value(code, shown, parts=[only if holds_tensors(o) else None for o in parts])
    found = [_unpacked(w, o, name) for o, name in zip(parts, unpacked(w, len(parts)), strict=True)]
    w.lines.append(f"{', '.join(text for text, _ in found if text)} = {code}")
    return Value(code, shown, parts=[value for _, value in found])


def _several(w: Writer, outputs: Any) -> list[Any]:
    parts = outputs.parts if isinstance(outputs, Value) else outputs
    if not isinstance(parts, tuple | list) or not holds_tensors(parts):
        raise w.refuse("a block that returns something else than tensors has no correspondence")
    return list(parts)


def _unpacked(w: Writer, output: Any, name: str) -> tuple[str, Value | None]:
    """The variables of one of a block's answers as they stand before the `=`, and its value."""
    if not holds_tensors(output):
        return "", None
    if isinstance(output, Value) and output.parts is None:
        if not isinstance(output.shown, Shown):
            raise w.refuse("a block that returns something else than tensors has no correspondence")
        name = w.target(name)
        return name, Value(name, output.shown, output.perm, output.order, output.made_by)
    found = [_unpacked(w, part, f"{name}_{n}") for n, part in enumerate(_several(w, output))]
    texts = [text for text, _ in found if text]
    return tuple_of(texts) if len(texts) > 1 else texts[0], Value("", parts=[value for _, value in found])
