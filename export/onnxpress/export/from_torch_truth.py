"""A large module in float64 without a second copy of its weights: each layer is widened only while it runs."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import torch


@contextlib.contextmanager
def widened(module: torch.nn.Module) -> Iterator[None]:
    """Within, every layer computes with its own float weights and buffers in float64; afterwards they are as before.

    A layer that reads another layer's weights finds them narrow and fails, as mixed dtypes do in torch.
    """
    held: list[list[tuple[torch.Tensor, torch.Tensor]]] = []

    def widen(layer: torch.nn.Module, _: Any) -> None:
        own = [*layer.parameters(recurse=False), *layer.buffers(recurse=False)]
        narrow = [value for value in own if value.is_floating_point() and value.dtype != torch.float64]
        held.append([(value, value.data) for value in narrow])
        for value in narrow:
            value.data = value.data.double()

    def restore(*_: Any) -> None:
        for value, data in held.pop():
            value.data = data

    with contextlib.ExitStack() as hooks:
        for layer in module.modules():
            hooks.callback(layer.register_forward_pre_hook(widen).remove)
            hooks.callback(layer.register_forward_hook(restore, always_call=True).remove)
        yield
