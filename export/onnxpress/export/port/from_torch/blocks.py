"""A torch module as a Block, its unknown submodules as Blocks of their own."""

from __future__ import annotations

import copy
import inspect
from typing import Any

import torch
from torch import fx

from onnxpress.export.port.from_torch.broadcasting import unexpanded
from onnxpress.export.port.from_torch.changes import item_set
from onnxpress.export.port.from_torch.indexing import size_of
from onnxpress.export.port.from_torch.structures import Given, item_of, keys_of, structured, values_of
from onnxpress.export.port.from_torch.tracer import Tracer
from onnxpress.export.port.from_torch.tracing import trace
from onnxpress.export.port.refusal import NoCorrespondence
from onnxpress.export.port.steps import Block, Ref, Step, changed, refs, shown_of, without_dead
from onnxpress.export.port.table import TORCH_LAYERS

_SAME = {
    "view": "reshape", "truediv": "div", "true_divide": "div", "floordiv": "floor_divide", "subtract": "sub",
    "multiply": "mul", "divide": "div", "iadd": "add", "imul": "mul", "isub": "sub", "itruediv": "div",
    "concat": "cat", "concatenate": "cat", "absolute": "abs", "clip": "clamp", "not_equal": "ne", "less": "lt",
    "greater": "gt", "greater_equal": "ge", "less_equal": "le", "bmm": "matmul", "mm": "matmul",
    "invert": "logical_not", "and": "logical_and", "or": "logical_or", "swapaxes": "transpose", "swapdims": "transpose",
    "bitwise_and": "logical_and", "bitwise_or": "logical_or", "bitwise_not": "logical_not", "xor": "logical_xor",
    "bitwise_xor": "logical_xor", "ger": "outer", "log_sigmoid": "logsigmoid", "arcsin": "asin", "arccos": "acos",
    "special_expit": "sigmoid", "fix": "trunc",
    "view_as": "reshape_as", "reciprocal": "reciprocal", "negative": "neg",
}  # fmt: skip


def block_of(
    module: torch.nn.Module, arguments: tuple[Any, Any], where: str = "", inlined: frozenset[str] = frozenset()
) -> Block:
    """Trace `module`. `arguments` are its args and kwargs, each tensor in them a Given.

    What is in `inlined`, by its path from here on, becomes no block of its own. Raises NoCorrespondence with the line
    that cannot be followed.
    """
    graph, tracer = trace(module, arguments, inlined)
    steps, places = [], {node: number for number, node in enumerate(graph.nodes)}
    for node, number in places.items():
        if (step := _step(node, number, places, tracer)) is not None:
            steps.append(step)
    steps = without_dead(unexpanded(steps))
    called = {step.name for step in steps if step.kind == "layer"}
    children = {
        path: _child(module.get_submodule(path), path, tracer, inlined) for path in tracer.calls if path in called
    }
    for step in steps:
        child = children.get(step.name) if step.kind == "layer" else None  # an input may be called as a layer is
        if isinstance(child, Block):
            step.kind = "block"
            bound = inspect.signature(child.owner.forward).bind(*step.args, **step.kwargs)
            step.args, step.kwargs = tuple(refs((bound.args, bound.kwargs))), {}
        if step.kind == "output" and where and isinstance(step.args[0], dict):
            step.args = (tuple(value for value in step.args[0].values() if value is not None),)
    named = {step.name for step in steps if step.kind == "parameter"}
    constants = {n: v.detach().cpu().numpy() for n, v in vars(module).items() if n in named}
    return Block(module, steps, children, where, constants, tracer.trained_at, tracer.own_gradients, tracer.draws)


def within(module: torch.nn.Module, *, several: bool) -> torch.nn.Module:
    """A layer of torch's own that is the whole model within a Sequential, as which it can be written."""
    return torch.nn.Sequential(module).eval() if _known(module) is module and not several else module


_NO_CALL = frozenset(
    {"__init__", "reset_parameters", "extra_repr", "__repr__", "__doc__", "__module__", "__qualname__"}
)
"""what a class may have anew that computes nothing in a call"""


def _known(module: torch.nn.Module) -> torch.nn.Module | None:
    """The layer of torch's own that it is and that the table has a row for; None where it is none.

    An object of a class derived from such a layer that only makes it otherwise is taken as one of the layer's class.
    """
    made_otherwise: set[str] = set()
    for kind in type(module).__mro__:
        if kind.__module__.startswith("torch.nn"):
            if kind.__name__ not in TORCH_LAYERS or made_otherwise & set(dir(kind)) - _NO_CALL:
                return None
            if kind is type(module):
                return module
            plain = copy.copy(module)
            plain.__class__ = kind
            return plain
        made_otherwise |= {name for name, value in vars(kind).items() if callable(value) or isinstance(value, property)}
    return None


def _child(child: torch.nn.Module, path: str, tracer: Tracer, inlined: frozenset[str]) -> Any:
    if (known := _known(child)) is not None:
        return known
    if type(child).forward is torch.nn.Module.forward:
        raise NoCorrespondence(f"no correspondence of {type(child).__name__}", where=path)
    if path in tracer.differing:
        what = f"{path} is called with other plain arguments than before, which has no correspondence"
        raise NoCorrespondence(what, where=tracer.differing[path], hint="give each way its own module")
    names: dict[str, int] = {}
    forward = inspect.signature(child.forward)

    def given(name: str, value: Any) -> Any:
        def one(part: Any) -> Any:
            if not isinstance(part, Given):
                return part
            names[name] = names.get(name, 0) + 1
            return Given(name if names[name] == 1 else f"{name}_{names[name]}", part.pair)

        return structured(value, one)

    args, kwargs = tracer.calls[path]
    try:
        bound = forward.bind(*args, **kwargs)
    except TypeError as error:
        raise NoCorrespondence(f"it cannot be called so: {error}", where=path) from error
    for name, value in bound.arguments.items():
        bound.arguments[name] = given(name, value)
    own = frozenset(one.removeprefix(f"{path}.") for one in inlined if one.startswith(f"{path}."))
    return block_of(child, _as_called(bound, len(args)), path, own)


def _as_called(bound: inspect.BoundArguments, places: int) -> tuple[Any, Any]:
    """The args and kwargs of a call that gave the first so many by their places.

    The others stay named: what stands around a forward, as a decorator of transformers', may add to them by name.
    """
    kinds = [bound.signature.parameters[name].kind for name in bound.arguments]
    if inspect.Parameter.VAR_POSITIONAL in kinds:
        return bound.args, bound.kwargs
    named: dict[str, Any] = {}
    for name, kind in list(zip(bound.arguments, kinds, strict=True))[places:]:
        value = bound.arguments[name]
        named |= value if kind is inspect.Parameter.VAR_KEYWORD else {name: value}
    return bound.args[:places], named


def _step(node: fx.Node, number: int, places: dict[fx.Node, int], tracer: Tracer) -> Step | None:
    args, kwargs = changed(
        (node.args, node.kwargs), lambda value: Ref(places[value]) if isinstance(value, fx.Node) else value
    )
    common: dict[str, Any] = {
        "variables": tuple(tracer.variables.get(node.name, ())),
        "where": tracer.lines.get(node.name, ""),
    }
    pair = tracer.pairs.get(node.name)
    if pair is None and node.op == "get_attr":  # a tensor that was made while it was traced
        value: Any = tracer.root
        for part in str(node.target).split("."):
            value = getattr(value, part)
        pair = value, value
    shown = None if pair is None else shown_of(*map(_listed, pair))
    if node.op == "placeholder":
        return None if pair is None else Step(number, "input", str(node.target), shown=shown, **common)
    if node.op == "output":
        return Step(number, "output", "", args=args, kwargs=kwargs, **common)
    if node.op == "get_attr":
        return Step(number, "parameter", str(node.target), shown=shown, **common)
    if node.op == "call_module":
        return Step(number, "layer", str(node.target), args, dict(kwargs), shown, **common)
    name = str(getattr(node.target, "__name__", node.target))
    name = {size_of: "size", item_of: "getitem", item_set: "setitem"}.get(node.target, name)
    name = name if name.startswith("__") else name.rstrip("_").lstrip("_")
    name = "windows" if (node.op, node.target) == ("call_method", "unfold") else _SAME.get(name, name)
    return Step(number, "function", name, args, dict(kwargs), shown, **common)


def _listed(value: Any) -> Any:
    """A dict or dataclass as the tuple of what it holds."""
    if isinstance(value, torch.Tensor):
        return value
    if keys_of(value) is not None:
        return tuple(map(_listed, values_of(value)))
    return tuple(map(_listed, value)) if isinstance(value, tuple | list) else value
