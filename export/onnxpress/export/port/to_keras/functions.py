"""Torch's functions as `keras.ops`, written where the axes lie."""

from __future__ import annotations

from typing import Any

from onnxpress.export.port.layout import Value
from onnxpress.export.port.to_keras import assigning, axes, normalising, products, reductions, sorting
from onnxpress.export.port.to_keras.elementwise import SIGNS, UNARY, binary, of_sizes
from onnxpress.export.port.to_keras.registry import FUNCTIONS
from onnxpress.export.port.to_keras.writer import Writer

__all__ = ["assigning", "axes", "normalising", "products", "reductions", "sorting", "written"]
_NAMES = {"input": "x", "axis": "dim", "keepdims": "keepdim"}
"""arguments by their names in numpy, which torch takes too, or as they are written here"""
SAME = ("contiguous", "clone", "requires_grad", "cpu", "positive")


def written(w: Writer, name: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Value:
    """The step's value. Raises NoCorrespondence where the table has no such function, or not with these arguments."""
    kwargs = {_NAMES.get(key, key): value for key, value in kwargs.items() if key != "out"}
    if name in SIGNS and all(not isinstance(a, Value) or a.number is not None for a in args):
        return of_sizes(w, name, *args)
    if name in SAME:
        return args[0]
    if name in UNARY:
        x = w.made(args[0] if args else kwargs["x"])
        return w.like(x, f"ops.{UNARY[name]}({x.code})")
    if name in SIGNS:
        return binary(w, name, *args, **kwargs)
    if name not in FUNCTIONS:
        raise w.refuse(f"there is no correspondence of the function {name}")
    try:
        return FUNCTIONS[name](w, *args, **kwargs)
    except TypeError as error:
        if "argument" not in str(error):
            raise
        raise w.refuse(f"{name} is called in a way that has no correspondence: {error}") from error
