"""What twenty steps say of a source whose own training parts from itself: how far it does, and each step by itself.

Batch norm over the few values of a small image makes of a rounding ten times as much with every step. Two descents of
such a source, begun within float32's rounding of each other, end anywhere. So it is asked how far they part. Where the
port is no farther away, every step of both is begun from the source's weights, and compared.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from onnxpress.core.arrays import Array
from onnxpress.export.port.proof.descent import STEPS, rate_of, step_of_keras
from onnxpress.export.port.proof.gradients import difference
from onnxpress.export.port.proof.rung import Worst

if TYPE_CHECKING:
    from onnxpress.export.port.proof.keras_source import KerasSides

ROUNDING = 6e-8
"""of a value in float32; a layer of Keras may hold a constant no better, whatever dtype it computes in"""
GROWTHS = 10
"""times what the rounding grows to is accepted"""


def growth(sides: KerasSides, losses: list[float]) -> float:
    """How far the source's own losses part from these when it begins within float32's rounding."""
    begin(sides, ROUNDING)
    worst = Worst()
    for number, loss in enumerate(losses):
        by, _, other = sides.of_keras(training=True)
        worst.add(abs(loss - other) / max(abs(loss), 1.0), str(number))
        step_of_keras([sides.twin.weights[place] for place in by], by.values(), rate_of(by.values()))
    return worst.figure


def each_step(sides: KerasSides, limit: float) -> tuple[Worst, float]:
    """Losses and gradients in training, at each of the source's weights; the worst, and the limit where it is.

    The limit is `limit`, or what float32's rounding of the weights changes in the source's own gradients there.
    """
    begin(sides, 0.0)
    found, bound = Worst(), limit
    for number in range(STEPS):
        _as_source(sides)
        by, _, loss = sides.of_keras(training=True)
        ours, _, our_loss = sides.of_torch(training=True)
        wanted = {one.name: sides.wanted(one, by) for one in sides.learning()}
        worst = _apart(loss, wanted, our_loss, ours, number)
        if worst.figure > limit:
            held = [np.array(weight) for weight in sides.twin.weights]
            _move(sides, ROUNDING)
            near, _, near_loss = sides.of_keras(training=True)
            own = _apart(loss, wanted, near_loss, {one.name: sides.wanted(one, near) for one in sides.learning()}, 0)
            for weight, value in zip(sides.twin.weights, held, strict=True):
                weight.assign(value)
            if worst.figure / max(limit, GROWTHS * own.figure) > found.figure / bound:
                found, bound = worst, max(limit, GROWTHS * own.figure)
        elif found.figure <= limit:
            found.add(worst.figure, worst.where)
        step_of_keras([sides.twin.weights[place] for place in by], by.values(), rate_of(by.values()))
    return found, bound


def begin(sides: KerasSides, apart: float) -> None:
    """The source's twin has its first weights again, moved by this share of each."""
    for weight, first in zip(sides.twin.weights, sides.first, strict=True):
        weight.assign(np.asarray(first).astype(str(weight.dtype)))
    _move(sides, apart)


def _move(sides: KerasSides, apart: float) -> None:
    generator = np.random.default_rng(11)
    for weight in sides.twin.weights:
        if weight.trainable and apart:
            value = np.asarray(weight)
            weight.assign(value * (1 + apart * generator.choice((-1, 1), value.shape)))


def _as_source(sides: KerasSides) -> None:
    """The written model's parameters are those of the source."""
    import torch

    parameters = dict(sides.module.named_parameters())
    with torch.no_grad():
        for one in sides.learning():
            value = one.carry(*(np.asarray(sides.twin.weights[n]) for n in one.sources))
            parameters[one.name].copy_(torch.from_numpy(np.array(value)))


def _apart(loss: float, wanted: dict[str, Array], other: float, mine: dict[str, Array], number: int) -> Worst:
    worst = Worst()
    worst.add(abs(loss - other) / max(abs(loss), 1.0), f"the loss of step {number + 1}")
    whole = max([1e-300, *(float(np.abs(g).max(initial=0)) for g in wanted.values())])
    for name, gradient in wanted.items():
        worst.add(difference(gradient, mine[name], whole), f"{name} in step {number + 1}")
    return worst
