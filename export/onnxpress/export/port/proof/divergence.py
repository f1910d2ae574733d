"""Where the answers part: the first layer with weights whose output is another, told without knowing the layout.

The sum of an array and of its squares do not depend on the order of its axes.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from onnxpress.export.port.proof.gradients import LIMIT, Sides

_INSIDE = ("forward_layer", "backward_layer", "cell")
"""what lies in a layer of Keras, as what begins with an underscore"""


def divergence(sides: Sides) -> str:
    """`the same up to conv1, another from fc on`; empty where no layer shows it."""
    wanted, mine = _of_torch(sides), _of_keras(sides)
    before = ""
    for name, sums in wanted:
        if name not in mine:
            continue
        ours = mine[name].pop(0) if mine[name] else None
        if ours is None or _differ(sums, ours):
            return f"the same up to {before}, another from {name} on" if before else f"another from {name} on"
        before = name
    return f"the same up to {before}, the last layer with weights" if before else ""


def _differ(wanted: tuple[float, float, int], mine: tuple[float, float, int]) -> bool:
    size = (wanted[1] * max(wanted[2], 1)) ** 0.5  # no sum of so many values is larger
    apart = abs(wanted[0] - mine[0]) / max(size, 1e-300), abs(wanted[1] - mine[1]) / max(wanted[1], 1e-300)
    return wanted[2] != mine[2] or not max(apart) <= LIMIT


def _sums(value: Any) -> tuple[float, float, int]:
    array = np.asarray(value, np.float64)
    return float(array.sum()), float((array**2).sum()), array.size


def _first(value: Any) -> Any:
    return value[0] if isinstance(value, tuple | list) else value


def _layers(sides: Sides) -> dict[str, tuple[str | int, ...]]:
    """The source's layer → where the written one is."""
    found: dict[str, tuple[str | int, ...]] = {}
    for one in sides.code.carried:
        path = one.path[:-1]
        for number, part in enumerate(path):
            if part in _INSIDE or str(part).startswith("_"):
                path = path[:number]
                break
        if path and path not in found.values():  # a layer that several were written for comes to its last
            found[one.sources[0].rpartition(".")[0]] = path
    return found


def _of_torch(sides: Sides) -> list[tuple[str, tuple[float, float, int]]]:
    """Of each layer in the order of the calls."""
    found: list[tuple[str, tuple[float, float, int]]] = []
    modules = dict(sides.module.named_modules())
    hooks = [
        modules[name].register_forward_hook(
            lambda _, __, value, name=name: found.append((name, _sums(_first(value).detach())))
        )
        for name in _layers(sides)
        if name in modules
    ]
    try:
        sides.of_torch(training=False)
    finally:
        for hook in hooks:
            hook.remove()
    return found


def _of_keras(sides: Sides) -> dict[str, list[tuple[float, float, int]]]:
    """Of each layer's calls, under the source's name."""
    import tensorflow as tf

    found: dict[str, list[tuple[float, float, int]]] = {}
    held = []
    for name, path in _layers(sides).items():
        layer = sides.target.layer(path, "float64")
        found[name] = []

        def called(*args: Any, original: Any = layer.call, into: Any = found[name], **kwargs: Any) -> Any:
            value = original(*args, **kwargs)
            into.append(_sums(_first(value)))
            return value

        object.__setattr__(layer, "call", called)
        held.append(layer)
    try:
        sides.target.call([tf.constant(v) for v in sides.target.inputs(sides.feeds)], "float64", training=False)
    finally:
        for layer in held:
            object.__delattr__(layer, "call")
    return found
