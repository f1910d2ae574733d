"""The function of a written module that keeps parameters within what Keras's constraints allow, after each step."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass

from onnxpress.export.port.code import attribute, literal

_EPSILON = 1e-7
"""that Keras adds to a norm"""


@dataclass(frozen=True)
class Bound:
    """Of the written model's parameters."""

    dims: tuple[int, ...]
    """over which the norm is taken that is kept between `lowest` and `highest`; without any no value is below zero"""
    lowest: float = 0.0
    highest: float = 0.0
    rate: float = 1.0
    """how far one step goes to the norm that is allowed"""


def constrain_function(bounds: Iterable[tuple[str, Bound]]) -> str:
    """The code of `constrain(model)`, of (parameter, its bound); parameters that have one bound stand together."""
    together: dict[Bound, list[str]] = defaultdict(list)
    for name, bound in bounds:
        together[bound].append(attribute("model", name))
    lines = ["def constrain(model):", '    """What Keras does to weights after each step of the optimizer."""']
    lines.append("    with torch.no_grad():")
    for bound, parameters in together.items():
        if len(parameters) > 1:
            lines.append(f"        for weight in [{', '.join(parameters)}]:")
            lines += ["            " + line for line in _lines(bound, "weight")]
        elif not bound.dims:
            lines += ["        " + line for line in _lines(bound, parameters[0])]
        else:
            lines.append(f"        weight = {parameters[0]}")
            lines += ["        " + line for line in _lines(bound, "weight")]
    return "\n".join(lines)


def _lines(bound: Bound, weight: str) -> list[str]:
    if not bound.dims:
        return [f"{weight}.clamp_(min=0)"]
    dims = literal(bound.dims if len(bound.dims) > 1 else bound.dims[0])
    norms = f"norms = torch.linalg.vector_norm({weight}, dim={dims}, keepdim=True)"
    if bound.lowest == bound.highest == bound.rate == 1:
        return [norms, f"{weight} /= norms + {literal(_EPSILON)}"]
    given = [f"min={literal(bound.lowest)}"] if bound.lowest else []
    allowed = f"norms.clamp({', '.join([*given, f'max={literal(bound.highest)}'])})"
    if bound.rate != 1:
        allowed = f"torch.lerp(norms, {allowed}, {literal(bound.rate)})"
    return [norms, f"{weight} *= {allowed} / (norms + {literal(_EPSILON)})"]
