"""Of rung 4: what regularisers add to the loss, asked of Keras's own objects and of the written `penalty(model)`.

Both are asked of values drawn for this alone: at a bias of zeros a penalty that forgets it would look right.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from onnxpress.core.arrays import Array
from onnxpress.export.port.proof.gradients import gradient_of
from onnxpress.export.port.proof.keras_source import KerasSides


def regularisers(sides: KerasSides) -> dict[int, Any]:
    """The place of each weight that learns and has one in the source → its regulariser; without the named ones."""
    return {
        place: regularizer
        for place, weight in enumerate(sides.twin.weights)
        if weight.trainable
        and (regularizer := getattr(weight, "regularizer", None)) is not None
        and not any(told.startswith(f"{weight.path}: Keras adds") for told in sides.translated.differences)
    }


def other_penalty(sides: KerasSides, regularisers: Mapping[int, Any], limit: float) -> str:
    """What differs in what is added, or in its slope by a parameter; empty where nothing does."""
    import torch

    model = sides.target.built(sides.precision)
    parameters = dict(model.named_parameters())
    drawn = {}
    for one in sides.learning():
        drawn.update({n: _drawn(n, sides.shapes[n], sides.precision) for n in one.sources if n in regularisers})
        values = one.carry(*(_drawn(n, sides.shapes[n], sides.precision) for n in one.sources))
        with torch.no_grad():
            parameters[one.name].copy_(torch.from_numpy(np.ascontiguousarray(values)))
    mine = sides.target.penalty(model)
    if mine is None:
        return "the module has no penalty(model), and the source's regularisers add to the loss" if drawn else ""
    if isinstance(mine, torch.Tensor) and mine.requires_grad:
        mine.backward()
    found = float(mine.detach() if isinstance(mine, torch.Tensor) else mine)
    total, slopes = 0.0, {}
    for place, values in drawn.items():
        added, slopes[place] = _differentiated(regularisers[place], values)
        total += added
    for one in sides.learning():
        wanted = one.carry(*(slopes.get(n, np.zeros(sides.shapes[n])) for n in one.sources))
        apart = float(np.abs(wanted - gradient_of(parameters[one.name])).max(initial=0))
        if not apart <= limit * max(1.0, float(np.abs(wanted).max(initial=0))):
            return f"penalty(model) adds another than the source's regularisers do for {one.name}"
    if not abs(found - total) <= limit * max(1.0, abs(total)):
        return f"penalty(model) adds {found:.6g} to the loss, and the source's regularisers {total:.6g}"
    return ""


def _drawn(place: int, shape: tuple[int, ...], precision: str) -> Array:
    return np.random.default_rng(place).standard_normal(shape).astype(precision)


def _differentiated(regularizer: Any, values: Array) -> tuple[float, Array]:
    import tensorflow as tf

    try:
        return _in_its_precision(regularizer, tf.constant(values))
    except (tf.errors.InvalidArgumentError, TypeError, ValueError):  # some hold numbers in float32
        return _in_its_precision(regularizer, tf.constant(values.astype(np.float32)))


def _in_its_precision(regularizer: Any, given: Any) -> tuple[float, Array]:
    import tensorflow as tf

    with tf.GradientTape() as tape:
        tape.watch(given)
        added = regularizer(given)
    slope = tape.gradient(added, given)
    return float(added), np.zeros(given.shape) if slope is None else np.asarray(tf.convert_to_tensor(slope))
