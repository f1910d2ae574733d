"""Torch's functions as code: operators, methods of a tensor, and functions of torch and torch.nn.functional."""

from __future__ import annotations

import functools
import inspect
from typing import Any

import torch
from torch.nn import functional

from onnxpress.export.port.code import call, factor, literal, power, sliced, tuple_of
from onnxpress.export.port.steps import Shown
from onnxpress.export.port.to_torch.writer import StepWriter, Term

_OPERATORS = {
    "pow": ("**", 1), "mul": ("*", 3), "div": ("/", 3), "matmul": ("@", 3), "floor_divide": ("//", 3),
    "remainder": ("%", 3), "mod": ("%", 3), "add": ("+", 4), "sub": ("-", 4), "lt": ("<", 8), "le": ("<=", 8),
    "gt": (">", 8), "ge": (">=", 8), "eq": ("==", 8), "ne": ("!=", 8),
}  # fmt: skip
_LOGICAL = {"logical_and": ("&", 5), "logical_or": ("|", 7)}
_NEGATED = 2
_METHODS = frozenset((
    "reshape", "permute", "transpose", "flatten", "unflatten", "unsqueeze", "squeeze", "expand", "expand_as",
    "repeat", "mean", "sum", "prod", "std", "var", "amax", "amin", "max", "min", "argmax", "argmin", "chunk",
    "split", "unbind", "masked_fill", "to", "float", "long", "int", "bool", "double", "half", "clamp", "clip", "t",
    "abs", "sqrt", "rsqrt", "exp", "log", "pow", "square", "detach", "contiguous", "cumsum", "gather",
    "index_select", "norm", "any", "all", "sort", "topk", "flip", "type_as", "new_zeros", "new_ones", "new_full",
    "movedim", "narrow", "select", "tile", "diagonal", "lt", "le", "gt", "ge", "eq", "ne", "repeat_interleave",
    "masked_select", "reshape_as", "neg", "round", "floor", "ceil", "logsumexp", "roll", "scatter", "index_fill",
))  # fmt: skip
_SPREAD = ("reshape", "permute", "expand", "repeat", "tile", "flip")
_IN_LISTS = ("cat", "stack", "meshgrid", "hstack", "vstack")
_FIRST_OF_TORCH = ("relu", "sigmoid", "tanh", "softmax", "log_softmax", "layer_norm", "batch_norm")
_OVER_AXES = ("mean", "sum", "prod", "amax", "amin", "argmax", "argmin", "softmax", "log_softmax", "cat", "stack",
              "cumsum", "unbind", "any", "all", "logsumexp", "normalize", "max", "min", "std", "var")  # fmt: skip
_DROPOUTS = ("dropout", "dropout1d", "dropout2d", "dropout3d", "alpha_dropout", "feature_alpha_dropout")
_NOTHING = ("out", "_stacklevel", "layout", "pin_memory", "memory_format", "non_blocking", "copy")


def written(w: StepWriter, name: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Term:
    """The step's expression. Raises NoCorrespondence where torch has no such function."""
    args, kwargs = _cleaned(name, args, kwargs)
    if name == "size":
        return w.term(f"{operand(args[0])}.shape[{args[-1]}]")
    if name == "getitem":
        return w.term(f"{operand(args[0])}[{_index(w, args[1])}]")
    if not kwargs:
        found = _operator(w, name, args)
        if found is not None:
            return found
    if name in ("contiguous", "clone") or (name == "to" and len(args) == 1 and not kwargs):
        return w.term(args[0].code, args[0].level)
    if name in _SPREAD and len(args) == 2 and isinstance(args[1], tuple):
        args = (args[0], *args[1])
    if name in _OVER_AXES and len(args) == 2 and "dim" not in kwargs and _is_axis(args[1]):
        kwargs = {"dim": args[1], **kwargs}
        args = args[:1]
    codes = [argument(w, arg) for arg in args]
    named = {key: argument(w, value) for key, value in kwargs.items()}
    if name in _METHODS and args and is_tensor(args[0]) and hasattr(torch.Tensor, name):
        return w.term(call(f"{operand(args[0])}.{name}", *codes[1:], **named))
    if name in _IN_LISTS and args and isinstance(args[0], tuple):
        codes[0] = f"[{', '.join(argument(w, item) for item in args[0])}]"
    if name in _DROPOUTS:
        named["training"] = "self.training"
    place = _place(name, args, kwargs)
    if place is not None:
        return w.term(call(f"{place}.{name}", *codes, **named))
    if args and is_tensor(args[0]) and hasattr(torch.Tensor, name):
        return w.term(call(f"{operand(args[0])}.{name}", *codes[1:], **named))
    raise w.refuse(f"torch has no function {name}")


def operand(value: Any, level: int = 0) -> str:
    """The code of a value in an operator of this level, in brackets where it binds more loosely."""
    if not isinstance(value, Term):
        text = literal(value)
        return f"({text})" if level <= 1 and text.startswith("-") else text
    return value.code if value.level <= level else f"({value.code})"


def is_tensor(value: Any) -> bool:
    """Whether it is a tensor, and no size or tuple."""
    return isinstance(value, Term) and isinstance(value.shown, Shown)


def _operator(w: StepWriter, name: str, args: tuple[Any, ...]) -> Term | None:
    if name == "neg" and len(args) == 1:
        return w.term(f"-{operand(args[0])}", _NEGATED)
    if name == "rsub" and len(args) == 2:
        name, args = "sub", args[::-1]
    if name == "add" and len(args) == 2 and type(args[1]) in (int, float) and args[1] < 0:
        name, args = "sub", (args[0], -args[1])
    booleans = all(is_tensor(arg) and arg.shown.dtype == "bool" for arg in args)
    if name == "logical_not" and booleans:
        return w.term(f"~{operand(args[0])}", _NEGATED)
    sign, level = _OPERATORS.get(name) or (_LOGICAL.get(name, ("", 0)) if booleans else ("", 0))
    if not sign or len(args) != 2 or not any(isinstance(arg, Term) for arg in args):
        return None
    if name == "pow":
        return w.term(power(operand(args[0]), operand(args[1], 1)), level)
    left = level - 1 if level == 8 else level
    if name == "mul" and not isinstance(args[1], Term):
        return w.term(f"{operand(args[0], left)} * {factor(args[1])}", level)
    return w.term(f"{operand(args[0], left)} {sign} {operand(args[1], level - 1)}", level)


def _cleaned(name: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """Without what says nothing: defaults, devices of this machine; `input` by its place."""
    kwargs = {key: value for key, value in kwargs.items() if key not in _NOTHING}
    for first in ("input", "self"):
        if first in kwargs:
            args = (kwargs.pop(first), *args)
    if name == "to":
        args = tuple(arg for arg in args if not isinstance(arg, torch.device | bool))
        kwargs.pop("device", None)
    defaults = _defaults(name)
    kept = {key: value for key, value in kwargs.items() if not _is_default(key, value, defaults)}
    return args, kept


def _is_default(key: str, value: Any, defaults: dict[str, Any]) -> bool:
    if isinstance(value, Term | torch.device):
        return False
    return type(value) is type(defaults.get(key)) and value == defaults.get(key)


@functools.cache
def _defaults(name: str) -> dict[str, Any]:
    try:
        parameters = inspect.signature(getattr(functional, name)).parameters.values()
    except (AttributeError, ValueError, TypeError):
        return {}
    return {p.name: p.default for p in parameters if p.default is not inspect.Parameter.empty}


def _is_axis(value: Any) -> bool:
    if isinstance(value, tuple):
        return all(type(item) is int for item in value)
    return type(value) is int


def _place(name: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> str | None:
    """The module whose function it is."""
    if callable(getattr(torch.nn.utils.rnn, name, None)):
        return "nn.utils.rnn"
    has_torch, has_functional = callable(getattr(torch, name, None)), callable(getattr(functional, name, None))
    if has_torch and (not has_functional or (name in _FIRST_OF_TORCH and set(kwargs) <= {"dim", "dtype"})):
        return "torch"
    if has_functional:
        return "F"
    return "torch" if has_torch else None


def argument(w: StepWriter, value: Any) -> str:
    """An argument as it is written."""
    if isinstance(value, Term):
        return value.code
    if isinstance(value, tuple):
        return tuple_of(argument(w, item) for item in value)
    if isinstance(value, slice):
        return f"slice({argument(w, value.start)}, {argument(w, value.stop)}, {argument(w, value.step)})"
    if isinstance(value, torch.dtype) or (isinstance(value, str) and value.startswith("torch.")):
        return str(value)
    if isinstance(value, torch.device):
        return f"{w.any_tensor()}.device"
    return literal(value)


def _index(w: StepWriter, index: Any) -> str:
    if isinstance(index, tuple):
        return ", ".join(_index_item(w, item) for item in index) + ("," if len(index) == 1 else "")
    return _index_item(w, index)


def _index_item(w: StepWriter, item: Any) -> str:
    if item is Ellipsis:
        return "..."
    if isinstance(item, slice):
        start, stop, step = ("" if part is None else argument(w, part) for part in (item.start, item.stop, item.step))
        return sliced(start, stop, step)
    return argument(w, item)
