"""A deep copy of a torch module, also of one that holds tensors which were computed from its parameters."""

from __future__ import annotations

import copy
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
    return copy.deepcopy(module, memo)
