"""A module in float64: what its own casts would narrow stays wide, and a large one is widened layer by layer."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import torch
from torch.overrides import TorchFunctionMode

_NARROW = {torch.float16, torch.bfloat16, torch.float32}
_READERS = (torch.nn.MultiheadAttention, torch.nn.TransformerEncoderLayer)
"""torch's layers whose forward reads the weights of layers inside them"""
_CASTS = {torch.Tensor.half, torch.Tensor.bfloat16, torch.Tensor.float}


class StaysWide(TorchFunctionMode):
    """While active, every cast to a narrower float, and every tensor made as one, is float64.

    Without it a module that casts for itself (a normalisation in float32, one layer in float16) fails on mixed dtypes,
    or its truth is rounded where the module rounds.
    """

    def __torch_function__(
        self, function: Any, types: Any, args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        given = dict(kwargs or {})
        if function in _CASTS:
            return args[0].double()
        if function is torch.Tensor.view:  # its dtype is how bits are read, not a cast
            return function(*args, **given)
        return function(*map(_wide, args), **{name: _wide(value) for name, value in given.items()})


def _wide(value: Any) -> Any:
    return torch.float64 if isinstance(value, torch.dtype) and value in _NARROW else value


@contextlib.contextmanager
def layers_in_float64(module: torch.nn.Module) -> Iterator[None]:
    """Within, every layer computes with its own float weights and buffers in float64; afterwards they are as before.

    A layer that reads another layer's weights finds them narrow and fails, as mixed dtypes do in torch; torch's own
    that do are widened with all that is in them.
    """
    held: list[list[tuple[torch.Tensor, torch.Tensor]]] = []

    def widen(layer: torch.nn.Module, _: Any) -> None:
        deep = isinstance(layer, _READERS)
        own = [*layer.parameters(recurse=deep), *layer.buffers(recurse=deep)]
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
