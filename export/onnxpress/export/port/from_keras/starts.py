"""How first weights are drawn: Keras's distributions, said in torch's functions."""

from __future__ import annotations

import math
from typing import Any, cast

import torch
from torch.nn.init import _calculate_fan_in_and_fan_out as fans_of_torch

from onnxpress.export.port.code import literal
from onnxpress.export.port.from_keras.builder import Builder

_CUT = 0.87962566103423978
"""the deviation of a normal distribution that is cut off at two deviations"""
_SCALING = {
    "GlorotUniform": ("xavier_uniform_", 1.0, "fan_avg"),
    "GlorotNormal": ("", 1.0, "fan_avg"),
    "HeUniform": ("kaiming_uniform_", 2.0, "fan_in"),
    "HeNormal": ("", 2.0, "fan_in"),
    "LecunUniform": ("", 1.0, "fan_in"),
    "LecunNormal": ("", 1.0, "fan_in"),
}


def kernel_and_bias(keras_layer: Any) -> dict[str, tuple[Any, Any]]:
    """The initialisers of a layer that has both, or no bias, and the variables that they draw."""
    return {
        "weight": (keras_layer.kernel_initializer, keras_layer.kernel),
        "bias": (keras_layer.bias_initializer, getattr(keras_layer, "bias", None)),
    }


def start(w: Builder, keras_layer: Any, initializers: dict[str, tuple[Any, Any]], part: str = "") -> None:
    """Remember how the parameters of the torch layer that was just written begin."""
    path = w.paths[(id(keras_layer), part)]
    lines = []
    for name, (initializer, variable) in initializers.items():
        if variable is None or (held := _held(w.children[path], name)) is None:
            continue
        line = drawn(initializer, tuple(variable.shape), held, "{0}." + name)
        if line is None:
            kind = getattr(initializer, "__name__", type(initializer).__name__)
            w.shared.differences.append(f"{w.path}{path}.{name}: first drawn by {kind}, which torch has not")
        else:
            lines.append(line)
    w.shared.starts[w.path + path] = lines


def _held(module: Any, name: str) -> torch.Tensor | None:
    for part in name.split("."):
        module = getattr(module, part, None)
    return None if module is None else cast("torch.Tensor", module)


def drawn(initializer: Any, shape: tuple[int, ...], held: torch.Tensor, what: str) -> str | None:
    """The line that draws `what` as the Keras initialiser does; None where torch has no such distribution."""
    kind = type(initializer).__name__
    if kind in ("Zeros", "Ones"):
        return f"nn.init.{kind.lower()}_({what})"
    if kind in _SCALING or kind == "VarianceScaling":
        return _scaled(initializer, kind, shape, held, what)
    if kind.startswith("Orthogonal"):
        gain = "" if initializer.gain == 1 else f", gain={literal(float(initializer.gain))}"
        return f"nn.init.orthogonal_({what}{gain})"
    if kind == "RandomUniform":
        return f"nn.init.uniform_({what}, {literal(float(initializer.minval))}, {literal(float(initializer.maxval))})"
    if kind == "RandomNormal":
        return f"nn.init.normal_({what}, {literal(float(initializer.mean))}, {literal(float(initializer.stddev))})"
    if kind == "TruncatedNormal":
        return _cut(what, float(initializer.mean), float(initializer.stddev))
    if kind == "Constant" and isinstance(initializer.value, int | float):
        return f"nn.init.constant_({what}, {literal(float(initializer.value))})"
    return None


def _scaled(initializer: Any, kind: str, shape: tuple[int, ...], held: torch.Tensor, what: str) -> str:
    """Where torch's own function has the same bounds, that; else the bounds as numbers."""
    name, scale, mode = _SCALING.get(kind, ("", getattr(initializer, "scale", 1.0), getattr(initializer, "mode", "")))
    fan_in, fan_out = _fans(shape)
    fan = {"fan_in": fan_in, "fan_out": fan_out, "fan_avg": (fan_in + fan_out) / 2}[mode]
    variance = scale / max(1.0, fan)
    distribution = getattr(initializer, "distribution", "uniform" if "Uniform" in kind else "truncated_normal")
    if distribution == "uniform":
        if name and held.dim() > 1:
            theirs = fans_of_torch(held)
            mine = {"fan_in": theirs[0], "fan_avg": sum(theirs) / 2}[mode]
            if mine == fan:
                return (
                    f"nn.init.{name}({what})" if mode == "fan_avg" else f'nn.init.{name}({what}, nonlinearity="relu")'
                )
        bound = literal(float(f"{math.sqrt(3 * variance):.6g}"))
        return f"nn.init.uniform_({what}, -{bound}, {bound})"
    deviation = math.sqrt(variance)
    if distribution == "truncated_normal" and held.dim() > 1 and mode != "fan_out":
        theirs = fans_of_torch(held)
        if {"fan_in": theirs[0], "fan_avg": sum(theirs) / 2}[mode] == fan >= 1:
            return f"scaled_normal_({what}, {literal(float(scale))}" + (")" if mode == "fan_in" else f', "{mode}")')
    if distribution == "untruncated_normal":
        return f"nn.init.normal_({what}, std={literal(float(f'{deviation:.6g}'))})"
    return _cut(what, 0.0, float(f"{deviation / _CUT:.6g}"))


def _cut(what: str, mean: float, deviation: float) -> str:
    low, high = literal(mean - 2 * deviation), literal(mean + 2 * deviation)
    given = f"mean={literal(mean)}, " if mean else ""
    return f"nn.init.trunc_normal_({what}, {given}std={literal(deviation)}, a={low}, b={high})"


def _fans(shape: tuple[int, ...]) -> tuple[float, float]:
    """As Keras counts them."""
    if len(shape) < 2:
        return (float(shape[0]) if shape else 1.0,) * 2
    field = math.prod(shape[:-2])
    return float(shape[-2] * field), float(shape[-1] * field)
