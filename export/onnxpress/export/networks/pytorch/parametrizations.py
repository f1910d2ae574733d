"""Weights that a module computes from its parameters (torch.nn.utils.parametrize), as plain weights of a copy."""

from __future__ import annotations

import torch
from torch.nn.utils import parametrize


def parametrized(module: torch.nn.Module) -> list[str]:
    """The names of the tensors that are computed, as their author knows them: `encoder.weight`."""
    return [
        f"{path}.{name}" if path else name
        for path, part in module.named_modules()
        if parametrize.is_parametrized(part)
        for name in part.parametrizations
    ]


def fix(module: torch.nn.Module) -> torch.nn.Module:
    """Replace each such tensor by its present value, in place: the module must be a copy that shares no tensor.

    In inference the parameters stay as they are, so the value does too; what computes it needs no ONNX form then.
    """
    for part in list(module.modules()):
        if parametrize.is_parametrized(part):
            # torch's own remove_parametrizations takes the property from the class, which the original shares.
            names = list(part.parametrizations)
            values = {name: getattr(part, name).detach().clone() for name in names}
            del part.parametrizations
            part.__class__ = type(part).__bases__[0]
            for name, value in values.items():
                part.register_parameter(name, torch.nn.Parameter(value, requires_grad=False))
    return module
