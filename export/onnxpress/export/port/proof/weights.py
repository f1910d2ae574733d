"""Of rung 4: what regularisers add to the loss, and what constraints do to weights after a step.

Keras's own objects are asked, and the written `penalty(model)` and `constrain(model)`, of values drawn for this alone:
at a bias of zeros a penalty that forgets it would look right, and a norm that is short is bounded by nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from onnxpress.core.arrays import Array
from onnxpress.export.port.proof.gradients import largest
from onnxpress.export.port.proof.keras_source import KerasSides
from onnxpress.export.port.proof.streamed import gradient_of

_SCALES = (1.0, 0.02, 50.0)


@dataclass(frozen=True)
class Kept:
    """Of the source's weights that learn, by their places, without those that are named."""

    regularisers: Mapping[int, Any]
    constraints: Mapping[int, Any]
    unnamed: list[str]
    """layers that add a penalty of their answers to the loss, which nobody says"""


def kept_in_training(sides: KerasSides) -> Kept:
    """All that the written functions have to say."""

    def found(attribute: str) -> dict[int, Any]:
        return {
            place: one
            for place, weight in enumerate(sides.twin.weights)
            if weight.trainable
            and (one := getattr(weight, attribute, None)) is not None
            and (attribute, place) not in sides.translated.left
        }

    penalised = [one.name for one in sides.twin._flatten_layers() if getattr(one, "activity_regularizer", None)]
    named = sum("Keras adds a penalty of its answers" in line for line in sides.translated.differences)
    unnamed = [*dict.fromkeys(penalised)][named:]  # by their number: a twin's layers may be called otherwise
    return Kept(found("regularizer"), found("constraint"), unnamed)


def other_weights(sides: KerasSides, kept: Kept, limit: float) -> str:
    """What differs in either; empty where nothing does."""
    if kept.unnamed:
        return f"{kept.unnamed[0]} adds a penalty of its answers to the source's loss, which is not named"
    return _other_penalty(sides, kept.regularisers, limit) or _other_bounds(sides, kept.constraints, limit)


def _other_penalty(sides: KerasSides, regularisers: Mapping[int, Any], limit: float) -> str:
    import torch

    penalty = sides.target.function("penalty")
    if penalty is None:
        return "the module has no penalty(model), and regularisers add to the source's loss" if regularisers else ""
    model = _drawn_model(sides, 1.0)
    mine = penalty(model)
    if isinstance(mine, torch.Tensor) and mine.requires_grad:
        mine.backward()
    found = float(mine.detach() if isinstance(mine, torch.Tensor) else mine)
    total, slopes = 0.0, {}
    for place, regularizer in regularisers.items():
        added, slopes[place] = _in_some_precision(_differentiated, regularizer, _drawn(sides, place, 1.0))
        total += added
    parameters = dict(model.named_parameters())
    for one in sides.learning():
        wanted = one.carry(*(slopes.get(n, np.zeros(sides.shapes[n])) for n in one.sources))
        if not _alike(wanted, gradient_of(parameters[one.name]), limit):
            return f"penalty(model) adds another than the source's regularisers do for {one.name}"
    if not abs(found - total) <= limit * max(1.0, abs(total)):
        return f"penalty(model) adds {found:.6g} to the loss, and the source's regularisers {total:.6g}"
    return ""


def _other_bounds(sides: KerasSides, constraints: Mapping[int, Any], limit: float) -> str:
    constrain = sides.target.function("constrain")
    if constrain is None:
        return "the module has no constrain(model), and constraints change the source's weights" if constraints else ""
    for scale in _SCALES if constraints else _SCALES[:1]:
        model = _drawn_model(sides, scale)
        constrain(model)
        parameters = dict(model.named_parameters())
        for one in sides.learning():
            values = [_drawn(sides, n, scale) for n in one.sources]
            asked = zip(one.sources, values, strict=True)
            after = [_in_some_precision(_called, constraints[n], v) if n in constraints else v for n, v in asked]
            if not _alike(one.carry(*after), parameters[one.name].detach().numpy(), limit):
                return f"constrain(model) makes another of {one.name} than the source's constraint does"
    return ""


def _alike(wanted: Array, mine: Array, limit: float) -> bool:
    return largest(wanted - mine) <= limit * max(1.0, largest(wanted))


def _drawn_model(sides: KerasSides, scale: float) -> Any:
    """The written model with parameters that are carried from drawn weights."""
    import torch

    model = sides.target.built(sides.precision)
    parameters = dict(model.named_parameters())
    for one in sides.learning():
        values = one.carry(*(_drawn(sides, n, scale) for n in one.sources))
        with torch.no_grad():
            parameters[one.name].copy_(torch.from_numpy(np.ascontiguousarray(values)))
    return model


def _drawn(sides: KerasSides, place: int, scale: float) -> Array:
    return scale * np.random.default_rng(place).standard_normal(sides.shapes[place]).astype(sides.precision)


def _in_some_precision(ask: Callable[[Any, Any], Any], of: Any, values: Array) -> Any:
    """What is asked of one of Keras's objects; some hold numbers in float32."""
    import tensorflow as tf

    try:
        return ask(of, tf.constant(values))
    except (tf.errors.InvalidArgumentError, TypeError, ValueError):
        return ask(of, tf.constant(values.astype(np.float32)))


def _called(constraint: Any, given: Any) -> Array:
    return np.asarray(constraint(given))


def _differentiated(regularizer: Any, given: Any) -> tuple[float, Array]:
    import tensorflow as tf

    with tf.GradientTape() as tape:
        tape.watch(given)
        added = regularizer(given)
    slope = tape.gradient(added, given)
    return float(added), np.zeros(given.shape) if slope is None else np.asarray(tf.convert_to_tensor(slope))
