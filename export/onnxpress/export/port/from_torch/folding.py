"""Weights that a module computes from others, folded to plain ones: weight norm, spectral norm, any parametrization."""

from __future__ import annotations

import torch
from torch.nn.utils import remove_spectral_norm, remove_weight_norm

from onnxpress.export.networks.pytorch import parametrizations
from onnxpress.export.networks.pytorch.copying import copied

_HOOKS = {"WeightNorm": remove_weight_norm, "SpectralNorm": remove_spectral_norm}
"""the older forms compute before each call"""


def parametrized(module: torch.nn.Module) -> list[str]:
    """The names of all weights that are computed."""
    return [*parametrizations.parametrized(module), *(f"{p}.{n}" if p else n for p, _, n, _ in _older(module))]


def folded(module: torch.nn.Module) -> torch.nn.Module:
    """A copy in which they are plain weights of their present value; the module itself where there are none."""
    if not parametrized(module):
        return module
    copy = copied(module)
    for _, part, name, kind in list(_older(copy)):
        _HOOKS[kind](part, name)
    return parametrizations.fix(copy)


def _older(module: torch.nn.Module) -> list[tuple[str, torch.nn.Module, str, str]]:
    """Path, part, name of the weight and kind of each older form."""
    return [
        (path, part, hook.name, type(hook).__name__)
        for path, part in module.named_modules()
        for hook in part._forward_pre_hooks.values()
        if type(hook).__name__ in _HOOKS
    ]
