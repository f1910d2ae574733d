"""What a torch module keeps from one call to the next, and what acts in it beside forward: nothing of it is carried."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import numpy as np

_PLAIN = int | float | bool | str
_PREPARING = ("WeightNorm", "SpectralNorm")
"""hooks that compute a weight before each call; such a weight is carried as a plain one"""


def plain_values(module: Any) -> dict[str, Any]:
    """Path → every number and text that the module's parts hold, as a count of calls is one."""
    return {
        f"{path}.{name}" if path else name: value
        for path, part in module.named_modules()
        for name, value in vars(part).items()
        if isinstance(value, _PLAIN) and name != "training"
    }


def moved_buffers(module: Any, before: dict[str, Any]) -> list[str]:
    """The buffers that are not what they were, batch norm's counts apart."""
    return [
        name
        for name, value in module.named_buffers()
        if not name.endswith("num_batches_tracked")
        and (name not in before or not np.array_equal(before[name], value.detach().numpy(), equal_nan=True))
    ]


@contextlib.contextmanager
def unmoved(module: Any) -> Iterator[None]:
    """What calls in training mode move, batch norm's statistics, is afterwards as it was."""
    held = [(buffer, buffer.clone()) for buffer in module.buffers()]
    try:
        yield
    finally:
        for buffer, before in held:
            buffer.copy_(before)


def hooks(module: Any) -> list[str]:
    """What was registered to act when a part is called or differentiated, where; parametrizations apart."""
    found = []
    for path, part in module.named_modules():
        before = [hook for hook in part._forward_pre_hooks.values() if type(hook).__name__ not in _PREPARING]
        if part._forward_hooks or before:
            found.append(f"a forward hook of {path or type(part).__name__}")
        if part._backward_hooks or part._backward_pre_hooks:
            found.append(f"a backward hook of {path or type(part).__name__}")
    return found


def gradient_hooks(module: Any) -> list[str]:
    """The parameters whose gradient a hook sees before it is kept."""
    return [
        name
        for name, parameter in module.named_parameters()
        if parameter._backward_hooks or getattr(parameter, "_post_accumulate_grad_hooks", None)
    ]
