"""What a step in torch's vocabulary computes: it is run while it is written, so shapes and dtypes are torch's own."""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any

import torch

from onnxpress.export.port.steps import Block, Ref, Step, changed

_OPERATORS: dict[str, Callable[..., Any]] = {
    **{
        name: getattr(operator, name)
        for name in ("add", "sub", "mul", "pow", "neg", "matmul", "eq", "ne", "lt", "le", "gt", "ge", "getitem")
    },
    "div": operator.truediv,
    "floor_divide": operator.floordiv,
    "remainder": operator.mod,
    "size": lambda x, axis: x.shape[axis],
    "cpu": operator.methodcaller("cpu"),
}


def function(name: str) -> Callable[..., Any]:
    """Torch's function of this name: an operator, of torch, of a part of torch.nn, or a tensor's method."""
    if name in _OPERATORS:
        return _OPERATORS[name]
    for holder in (torch, torch.nn.functional, torch.nn.utils.rnn, torch.Tensor):
        if (found := getattr(holder, name, None)) is not None:
            return found
    raise AttributeError(f"torch has no function {name}")


def computed(step: Step, owner: Any, children: dict[str, Any], read: Callable[[int], Any]) -> Any:
    """The step's value. `read` gives those of earlier steps by number."""
    args, kwargs = changed((step.args, step.kwargs), lambda value: _plain(value, read))
    if step.kind == "parameter":
        found = owner
        for part in step.name.split("."):
            found = getattr(found, part)
        return found
    if step.kind == "function":
        return function(step.name)(*args, **kwargs)
    child = children[step.name]
    return run(child, list(args)) if isinstance(child, Block) else child(*args, **kwargs)


def run(block: Block, inputs: list[Any]) -> Any:
    """The block's answers to these tensors."""
    values: dict[int, Any] = {}
    given = iter(inputs)
    for step in block.steps:
        if step.kind == "input":
            values[step.number] = next(given)
        elif step.kind == "output":
            return changed(step.args[0], lambda value: _plain(value, values.__getitem__))
        else:
            values[step.number] = computed(step, block.owner, block.children, values.__getitem__)
    raise AssertionError("a block ends with its output")


def _plain(value: Any, read: Callable[[int], Any]) -> Any:
    if isinstance(value, Ref):
        return read(value.number)
    if isinstance(value, str) and value.startswith("torch."):
        return getattr(torch, value.removeprefix("torch."))
    return value
