"""`int(...)` and `len(...)` of the author's code while it is traced: of a size that varies they give the size itself.

Python asks both for a plain number, which a size that varies is not. So they are other functions for the author's
modules as long as a trace lasts.
"""

from __future__ import annotations

import builtins
import contextlib
import operator
import types
from collections.abc import Callable, Iterator
from typing import Any
from unittest import mock

import torch
from torch import fx


class _IsInt(type):
    def __instancecheck__(cls, instance: Any) -> bool:
        return isinstance(instance, builtins.int)

    def __subclasscheck__(cls, subclass: type) -> bool:
        return issubclass(subclass, builtins.int)


class _Int(metaclass=_IsInt):
    """`int`, but for a size in the trace."""

    def __new__(cls, value: Any = 0, *base: Any) -> Any:
        pair = _number(value)
        if pair is not None and all(isinstance(one, builtins.int) for one in pair):
            return value
        if pair is not None and min(pair) >= 0 and (whole := _quotient(value)) is not None:  # int(n / 2)
            return value.tracer.create_proxy("call_function", operator.floordiv, whole, {})
        return builtins.int(value, *base)


def _quotient(value: Any) -> tuple[Any, Any] | None:
    """Two sizes of which the value is the quotient: of `n / (h * w / 4 / 4)` n and the whole number that divides it."""
    if value.node.target is not operator.truediv:
        return None
    size, divisor = value.held.divided
    if isinstance(divisor, builtins.float):
        if not divisor.is_integer():
            return None
        divisor = builtins.int(divisor)
    pair = _number(size)
    if pair is None or all(isinstance(one, builtins.int) for one in pair):
        return size, divisor
    before = _quotient(size)  # n / 4 / 4
    return before and (before[0], before[1] * divisor)


def _len(value: Any) -> Any:
    if isinstance(value, fx.Proxy) and isinstance(getattr(value, "pair", (None,))[0], torch.Tensor):
        return value.shape[0]
    return builtins.len(value)


def _number(value: Any) -> tuple[Any, Any] | None:
    """What a number in the trace is at both sizes; None of all else."""
    if not isinstance(value, fx.Proxy):
        return None
    pair: tuple[Any, Any] = value.pair
    return pair if all(isinstance(one, builtins.int | builtins.float) for one in pair) else None


@contextlib.contextmanager
def sizes_as_numbers(root: torch.nn.Module) -> Iterator[None]:
    """For as long, the author's modules that `root` is written in have these."""
    with contextlib.ExitStack() as stack:
        for names in _modules(root):
            for name, function in (("int", _Int), ("len", _len)):
                if name not in names:
                    stack.enter_context(mock.patch.dict(names, {name: function}))
        yield


def _modules(root: torch.nn.Module) -> list[dict[str, Any]]:
    """The names of every module that holds its methods, functions that it holds, or functions that these may call."""
    functions: list[Callable[..., Any]] = [
        one for kind in type(root).__mro__ if not _is_torch(kind) for one in vars(kind).values()
    ]
    functions += vars(root).values()
    found: dict[int, dict[str, Any]] = {}
    for function in functions:
        function = getattr(function, "__func__", function)
        if isinstance(function, types.FunctionType) and not _is_torch(function):
            found[id(function.__globals__)] = function.__globals__
    for names in list(found.values()):
        for one in names.values():
            if isinstance(one, types.FunctionType) and not _is_torch(one):
                found[id(one.__globals__)] = one.__globals__
    return list(found.values())


def _is_torch(value: Any) -> bool:
    return f"{getattr(value, '__module__', '')}.".startswith(("torch.", "builtins.", "onnxpress.export."))
