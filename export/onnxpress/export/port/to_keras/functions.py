"""Torch's functions as `keras.ops`, written where the axes lie."""

from __future__ import annotations

from typing import Any

from onnxpress.export.port.layout import Value
from onnxpress.export.port.to_keras import assigning, axes, edges, normalising, products, reductions, sorting, windows
from onnxpress.export.port.to_keras.elementwise import SIGNS, UNARY, binary, of_sizes
from onnxpress.export.port.to_keras.registry import FUNCTIONS
from onnxpress.export.port.to_keras.writer import Writer

__all__ = ["assigning", "axes", "edges", "normalising", "products", "reductions", "sorting", "windows", "written"]
_NAMES = {"input": "x", "axis": "dim", "keepdims": "keepdim"}
"""arguments by their names in numpy, which torch takes too, or as they are written here"""
_SPREAD = {
    "flip": ("dims",), "permute": ("dims",), "tile": ("dims",), "repeat": ("repeats", "sizes"),
    "reshape": ("shape", "size"), "expand": ("size", "sizes"), "zeros": ("size",), "ones": ("size",),
    "empty": ("size",), "new_zeros": ("size",), "new_ones": ("size",), "new_empty": ("size",),
}  # fmt: skip
"""what is written from arguments one by one, which torch takes by these names too"""
_LAID = (*SIGNS, "where", "maximum", "minimum", "logical_and", "logical_or", "logical_xor", "masked_fill",
         "conv1d", "conv2d", "conv3d")  # fmt: skip
"""these store a parameter in the order of axes that they need"""
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
    for several in _SPREAD.get(name, ()):
        if several in kwargs:
            args = (*args, kwargs.pop(several))
    if name not in _LAID:
        args = tuple(w.made(a) if isinstance(a, Value) else a for a in args)
    try:
        return FUNCTIONS[name](w, *args, **kwargs)
    except TypeError as error:
        if "argument" not in str(error):
            raise
        raise w.refuse(f"{name} is called in a way that has no correspondence: {error}") from error
