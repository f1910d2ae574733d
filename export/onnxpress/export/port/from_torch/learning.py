"""Whether a gradient could get into a value in the trace."""

from __future__ import annotations

from typing import Any

import torch
from torch import fx


def could_learn(root: torch.nn.Module, pairs: dict[str, Any], node: fx.Node) -> bool:
    """Whether a float input, or a weight of `root` that is not frozen, has a part in the value."""
    weights = {name for name, parameter in root.named_parameters() if parameter.requires_grad}
    left, seen = [node], set()
    while left:
        node = left.pop()
        if node in seen:
            continue
        seen.add(node)
        left += node.all_input_nodes
        target = str(node.target)
        if node.op == "call_module" and any(name.startswith(f"{target}.") for name in weights):
            return True
        if node.op == "get_attr" and target in weights:
            return True
        value = pairs[node.name][0] if node.name in pairs else None
        if node.op == "placeholder" and isinstance(value, torch.Tensor) and value.is_floating_point():
            return True
    return False
