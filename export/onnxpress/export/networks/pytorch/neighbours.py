"""A torch module as near to another as rounding in float32 leaves it: its weights, its layers' answers, its means.

How far that moves an answer is chance, so one that is asked for a floor is asked of several.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import nn

from onnxpress.core.tensors import TensorSpec

_EXACT = (nn.Identity, nn.Flatten, nn.Unflatten, nn.ReLU, nn.Embedding, nn.Dropout, nn.MaxPool1d, nn.MaxPool2d)
"""layers that round nothing"""
_BATCH = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d)
_INSTANCE = (nn.InstanceNorm1d, nn.InstanceNorm2d, nn.InstanceNorm3d)
_NORMS = (nn.LayerNorm, nn.GroupNorm, *_BATCH, *_INSTANCE)


def rounding_of(module: Any, inputs: Sequence[TensorSpec]) -> float:
    """Of a value in the precision in which the module computes; in float64 if any of it does."""
    kinds = {value.dtype for value in (*module.parameters(), *module.buffers())}
    wide = torch.float64 in kinds or any(spec.dtype == "float64" for spec in inputs)
    return torch.finfo(torch.float64 if wide else torch.float32).eps / 2


def neighbour(module: Any, seed: int, rounding: float) -> Any:
    """The module itself, every weight moved by one unit in the last place, up or down, and each layer's answer too.

    A norm takes a mean of its input from it, which is held no better than any value. Where the input hardly varies the
    norm makes much of that: its answer is moved by as much. `rounding` is a value's, in the precision of the module.
    """
    generator = torch.Generator().manual_seed(seed)
    for value in module.parameters():
        if value.is_floating_point():
            ends = torch.where(_signs(value, generator) > 0, math.inf, -math.inf).to(value.dtype)
            value.data = torch.nextafter(value.data, ends)

    def moved(layer: Any, args: tuple[Any, ...], answer: Any) -> Any:
        if not isinstance(answer, torch.Tensor) or not answer.is_floating_point():
            return answer
        if args and (axes := _normalised(layer, args[0])):
            answer = answer + rounding * _of_mean(layer, args[0], axes, generator)
        return answer * (1 + rounding * _signs(answer, generator))

    for layer in module.modules():
        if next(layer.children(), None) is None and not isinstance(layer, _EXACT):
            layer.register_forward_hook(moved)
    return module


def _signs(value: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    """1 or −1 for each value."""
    return torch.randint(0, 2, value.shape, generator=generator).mul(2).sub(1).to(value.dtype)


def _normalised(layer: Any, x: torch.Tensor) -> tuple[int, ...]:
    """The axes over which a norm takes its mean from x; of GroupNorm those behind its groups; none of other layers."""
    if type(layer) not in _NORMS:  # a subclass may take its axes in another order
        return ()
    if isinstance(layer, nn.LayerNorm):
        return tuple(range(-len(layer.normalized_shape), 0))
    if isinstance(layer, nn.GroupNorm):
        return tuple(range(2, x.dim() + 1))
    if isinstance(layer, (*_BATCH, *_INSTANCE)) and layer.running_mean is None:
        return (*((0,) if isinstance(layer, _BATCH) else ()), *range(2, x.dim()))
    return ()


def _of_mean(layer: Any, x: torch.Tensor, axes: tuple[int, ...], generator: torch.Generator) -> torch.Tensor:
    """What a change of its mean, up or down by its own size, makes of the norm's answer to x."""
    values = x.unflatten(1, (layer.num_groups, -1)) if isinstance(layer, nn.GroupNorm) else x
    mean, variance = values.mean(axes, keepdim=True), values.var(axes, unbiased=False, keepdim=True)
    change = _signs(mean, generator) * mean * torch.rsqrt(variance + layer.eps)
    change = change.expand_as(values).reshape(x.shape)
    if layer.weight is None:
        return change
    if isinstance(layer, nn.LayerNorm):
        return change * layer.weight
    return change * layer.weight.reshape(-1, *[1] * (x.dim() - 2))
