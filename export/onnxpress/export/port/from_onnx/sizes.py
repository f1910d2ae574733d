"""Operators on vectors of sizes: what a graph computes of shapes stays numbers as far as it does not vary."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import torch

from onnxpress.export.port.from_onnx.axes import size_of
from onnxpress.export.port.from_onnx.nodes import on_sizes, operator
from onnxpress.export.port.from_onnx.reader import Reading, Val

_NAMES = {"Add": "add", "Sub": "sub", "Mul": "mul", "Div": "floor_divide", "Mod": "remainder"}
_PLAIN = {"Add": lambda a, b: a + b, "Sub": lambda a, b: a - b, "Mul": lambda a, b: a * b,
          "Div": lambda a, b: a // b, "Mod": lambda a, b: a % b}  # fmt: skip


def _vector(items: list[Any], *, scalar: bool = False) -> Val:
    pair = [torch.tensor([i if isinstance(i, int) else i.pair[w] for i in items]) for w in (0, 1)]
    return Val((pair[0], pair[1]), items=items, scalar=scalar, fixed=True)


@on_sizes("Shape")
def _shape(r: Reading, attributes: Any, x: Val) -> Val:
    places = range(x.rank)[slice(attributes.get("start", 0), attributes.get("end"))]
    return _vector([size_of(r, x, axis) for axis in places])


@on_sizes("Size")
def _count(r: Reading, attributes: Any, x: Val) -> Val:
    sizes = [size_of(r, x, axis) for axis in range(x.rank)]
    found: Any = math.prod(item for item in sizes if isinstance(item, int))
    for item in sizes:
        if not isinstance(item, int):
            found = item if found == 1 else r.call("mul", item, found)
    return _vector([found], scalar=True)


@on_sizes("Gather")
def _gather(r: Reading, attributes: Any, x: Val, index: Val) -> Val:
    places = r.constant(index)
    items = r.sizes(x)
    return _vector([items[int(n)] for n in places.reshape(-1)], scalar=places.ndim == 0)


@on_sizes("Slice")
def _slice(r: Reading, attributes: Any, x: Val, *bounds: Val) -> Val:
    if x.items is None:
        from onnxpress.export.port.from_onnx.nodes import OPERATORS

        found: Val = OPERATORS["Slice"](r, attributes, x, *bounds)
        return found
    values = [int(r.constant(bound).reshape(-1)[0]) if bound is not None else None for bound in bounds]
    start, stop = values[:2] if values else (attributes["starts"][0], attributes["ends"][0])
    step = values[3] if len(values) > 3 else None
    return _vector(x.items[slice(start, stop, step)])


@on_sizes("Concat")
def _concat(r: Reading, attributes: Any, *values: Val) -> Val:
    return _vector([item for value in values for item in r.sizes(value)])


@on_sizes("Cast", "Identity", "Reshape", "Unsqueeze", "Squeeze", "Flatten")
def _same(r: Reading, attributes: Any, x: Val, other: Val | None = None) -> Val:
    if x.items is None:
        from onnxpress.export.port.from_onnx.nodes import OPERATORS

        found: Val = OPERATORS[r.node.op_type](r, attributes, x, *([other] if other is not None else []))
        return found
    kind = r.node.op_type
    scalar = x.scalar
    if kind == "Squeeze":
        scalar = True
    elif kind == "Unsqueeze":
        scalar = False
    elif kind == "Reshape":
        scalar = other is not None and other.const is not None and other.const.size == 0
    elif kind == "Cast" and attributes["to"] not in (6, 7):  # int32, int64
        raise r.refuse("a size that varies, as a float, has no correspondence")
    return _vector(x.items, scalar=scalar)


@on_sizes(*_NAMES)
def _arithmetic(r: Reading, attributes: Any, a: Val, b: Val) -> Val:
    if any(value.items is None and value.const is None for value in (a, b)):
        from onnxpress.export.port.from_onnx.nodes import OPERATORS

        found: Val = OPERATORS[r.node.op_type](r, attributes, a, b)
        return found
    left, right = list(r.sizes(a)), list(r.sizes(b))
    count = max(len(left), len(right))
    left, right = (items * count if len(items) == 1 else items for items in (left, right))
    is_scalar = all(v.scalar or (v.const is not None and v.const.ndim == 0) for v in (a, b))
    kind = r.node.op_type
    items = [
        _PLAIN[kind](x, y) if isinstance(x, int) and isinstance(y, int) else r.call(_NAMES[kind], x, y)
        for x, y in zip(left, right, strict=True)
    ]
    return _vector(items, scalar=is_scalar)


@on_sizes("ReduceProd")
def _product(r: Reading, attributes: Any, x: Val, axes: Val | None = None) -> Val:
    found: Any = 1
    for item in r.sizes(x):
        found = item if isinstance(found, int) and found == 1 else r.call("mul", found, item)
    return _vector([found], scalar=not attributes.get("keepdims", 1))


@on_sizes("Equal", "Less", "Greater", "LessOrEqual", "GreaterOrEqual")
def _compared(r: Reading, attributes: Any, a: Val, b: Val) -> Val:
    left, right = r.sizes(a), r.sizes(b)
    count = max(len(left), len(right))
    left, right = (items * count if len(items) == 1 else items for items in (left, right))
    ask = {"Equal": int.__eq__, "Less": int.__lt__, "Greater": int.__gt__, "LessOrEqual": int.__le__,
           "GreaterOrEqual": int.__ge__}[r.node.op_type]  # fmt: skip
    answers = []
    for x, y in zip(left, right, strict=True):
        both = [ask(*(i if isinstance(i, int) else i.pair[w] for i in (x, y))) for w in (0, 1)]
        is_known = isinstance(x, int) and isinstance(y, int)
        # A size is never negative: `== -1` is asked by every exporter of expand.
        is_sure = any(isinstance(i, int) and i < 0 for i in (x, y))
        if both[0] != both[1] or not (is_known or is_sure):
            raise r.refuse("a choice by a size that varies has no correspondence")
        answers.append(both[0])
    array = np.array(answers)
    return Val((torch.from_numpy(array),) * 2, const=array)


@on_sizes("Where")
def _where(r: Reading, attributes: Any, condition: Val, a: Val, b: Val) -> Val:
    chosen = [bool(x) for x in r.constant(condition).reshape(-1)]
    left, right = ([*r.sizes(v)] * (len(chosen) if len(r.sizes(v)) == 1 else 1) for v in (a, b))
    return _vector([x if c else y for c, x, y in zip(chosen, left, right, strict=True)])


@operator("ConstantOfShape")
@on_sizes("ConstantOfShape")
def _filled(r: Reading, attributes: Any, shape: Val) -> Val:
    from onnx import numpy_helper

    array = numpy_helper.to_array(attributes["value"]) if "value" in attributes else np.zeros(1, np.float32)
    number = array.reshape(-1)[0].item()
    sizes = tuple(r.sizes(shape))
    dtype = str(torch.from_numpy(array.reshape(-1)).dtype)
    kind = {} if dtype == "torch.float32" else {"dtype": dtype}
    if array.dtype.kind != "b" and number in (0, 1):
        return r.call("ones" if number else "zeros", sizes, **kind)
    return r.call("full", sizes, number, **kind)


@operator("Range")
@on_sizes("Range")
def _range(r: Reading, attributes: Any, start: Val, stop: Val, step: Val) -> Val:
    bounds = [r.sizes(value)[0] for value in (start, stop, step)]
    if bounds[2] == 1:
        bounds.pop()
        if bounds[0] == 0:
            bounds.pop(0)
    return r.call("arange", *bounds)
