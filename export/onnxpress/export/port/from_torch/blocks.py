"""A torch module as a Block, its unknown submodules as Blocks of their own."""

from __future__ import annotations

import inspect
from typing import Any

import torch
from torch import fx

from onnxpress.export.port.from_torch.tracer import Tracer, size_of, trace
from onnxpress.export.port.refusal import NoCorrespondence
from onnxpress.export.port.steps import Block, Ref, Step, changed, shown_of, without_dead
from onnxpress.export.port.table import TORCH_LAYERS

_SAME = {
    "view": "reshape", "truediv": "div", "true_divide": "div", "floordiv": "floor_divide", "subtract": "sub",
    "multiply": "mul", "divide": "div", "iadd": "add", "imul": "mul", "isub": "sub", "itruediv": "div",
    "concat": "cat", "concatenate": "cat", "absolute": "abs", "clip": "clamp", "not_equal": "ne", "less": "lt",
    "greater": "gt", "greater_equal": "ge", "less_equal": "le", "bmm": "matmul", "mm": "matmul",
    "invert": "logical_not", "and": "logical_and", "or": "logical_or", "swapaxes": "transpose",
    "special_expit": "sigmoid", "log_sigmoid": "logsigmoid",
    "view_as": "reshape_as", "reciprocal": "reciprocal", "negative": "neg",
}  # fmt: skip


def block_of(
    module: torch.nn.Module, given: list[tuple[Any, Any]], constants: dict[str, Any], where: str = ""
) -> Block:
    """Trace `module`. `given` are its tensor arguments at both sizes, `constants` its other arguments by name.

    Raises NoCorrespondence with the line that cannot be followed.
    """
    graph, tracer = trace(module, given, constants)
    steps, places = [], {node: number for number, node in enumerate(graph.nodes)}
    for node, number in places.items():
        if (step := _step(node, number, places, tracer)) is not None:
            steps.append(step)
    steps = without_dead(steps)
    called = {step.name for step in steps if step.kind == "layer"}
    children = {path: _child(module.get_submodule(path), path, tracer) for path in tracer.calls if path in called}
    for step in steps:
        if isinstance(children.get(step.name), Block):
            step.kind = "block"
            step.args, step.kwargs = tuple(_tensors_only((step.args, step.kwargs))), {}
    return Block(module, steps, children, where)


def _child(child: torch.nn.Module, path: str, tracer: Tracer) -> Any:
    if type(child).__name__ in TORCH_LAYERS and type(child).__module__.startswith("torch.nn"):
        return child
    args, kwargs = tracer.calls[path]
    signature = inspect.signature(child.forward)
    try:
        bound = signature.bind(*args, **kwargs).arguments
    except TypeError as error:
        raise NoCorrespondence(f"it cannot be called so: {error}", where=path) from error
    given, constants = [], {}
    for name, parameter in signature.parameters.items():
        if parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD):
            if bound.get(name):
                raise NoCorrespondence("forward takes *args or **kwargs", where=path, hint="name its arguments")
            continue
        value = bound.get(name, parameter.default)
        if isinstance(value, fx.Proxy):
            given.append(value.pair)
        elif any(isinstance(item, fx.Proxy) for item in _flat(value)):
            raise NoCorrespondence(
                f"{type(child).__name__} is called with a {type(value).__name__} of tensors",
                where=path,
                hint="give each tensor as an argument of its own",
            )
        else:
            constants[name] = value
    if not type(child).__dict__.get("forward") and not hasattr(child, "forward"):
        raise NoCorrespondence(f"no correspondence of {type(child).__name__}", where=path)
    return block_of(child, given, constants, path)


def _flat(value: Any) -> list[Any]:
    if isinstance(value, tuple | list):
        return [item for part in value for item in _flat(part)]
    return [item for part in value.values() for item in _flat(part)] if isinstance(value, dict) else [value]


def _tensors_only(value: Any) -> list[Ref]:
    return [item for item in _flat(value) if isinstance(item, Ref)]


def _step(node: fx.Node, number: int, places: dict[fx.Node, int], tracer: Tracer) -> Step | None:
    args, kwargs = changed(
        (node.args, node.kwargs), lambda value: Ref(places[value]) if isinstance(value, fx.Node) else value
    )
    common: dict[str, Any] = {
        "variables": tuple(tracer.variables.get(node.name, ())),
        "where": tracer.lines.get(node.name, ""),
    }
    pair = tracer.pairs.get(node.name)
    shown = None if pair is None else shown_of(*pair)
    if node.op == "placeholder":
        return None if pair is None else Step(number, "input", str(node.target), shown=shown, **common)
    if node.op == "output":
        return Step(number, "output", "", args=args, kwargs=kwargs, **common)
    if node.op == "get_attr":
        return Step(number, "parameter", str(node.target), shown=shown, **common)
    if node.op == "call_module":
        return Step(number, "layer", str(node.target), args, dict(kwargs), shown, **common)
    name = "size" if node.target is size_of else getattr(node.target, "__name__", str(node.target))
    name = name if name.startswith("__") else name.rstrip("_").lstrip("_")
    name = _SAME.get(name, name)
    return Step(number, "function", name, args, dict(kwargs), shown, **common)
