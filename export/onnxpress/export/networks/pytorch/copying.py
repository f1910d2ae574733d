"""A deep copy of a torch module, also of one that holds tensors which were computed from its parameters."""

from __future__ import annotations

import copy
import types
from collections.abc import Mapping
from typing import Any

import torch


def copied(module: torch.nn.Module, shared: Mapping[int, Any] | None = None) -> Any:
    """A copy; objects whose id is in `shared` are the given ones in it.

    torch refuses to copy a tensor with a history, such as the weight that `torch.nn.utils.prune` computed last. Nobody
    trains the copy, so these lose their history in it.
    """
    memo = dict(shared or {})
    for part in module.modules():
        for value in vars(part).values():
            if isinstance(value, torch.Tensor) and not value.is_leaf:
                memo[id(value)] = value.detach().clone()
    found = copy.deepcopy(module, memo)
    for part in found.modules():
        for name, value in list(vars(part).items()):
            if isinstance(value, types.FunctionType) and value.__closure__:
                vars(part)[name] = _closed_over(value, memo)
    return found


def _closed_over(function: types.FunctionType, memo: Mapping[int, Any]) -> types.FunctionType:
    """The function, calling the copies of the modules that it has from around it, as `lambda x: m.act(m.fc(x))`."""
    around = [_content(cell) for cell in function.__closure__ or ()]
    if not any(isinstance(one, torch.nn.Module) and id(one) in memo for one in around):
        return function
    cells = tuple(
        types.CellType(memo[id(one)]) if isinstance(one, torch.nn.Module) and id(one) in memo else cell
        for one, cell in zip(around, function.__closure__ or (), strict=True)
    )
    made = types.FunctionType(function.__code__, function.__globals__, function.__name__, function.__defaults__, cells)
    made.__kwdefaults__ = function.__kwdefaults__
    return made


def _content(cell: types.CellType) -> Any:
    try:
        return cell.cell_contents
    except ValueError:  # it is empty
        return None
