"""What twenty steps say of a source whose own training parts from itself: how far it does, and each step by itself.

Batch norm over the few values of a small image makes of a rounding ten times as much with every step. Two descents of
such a source, begun within float32's rounding of each other, end anywhere. So it is asked how far they part. Where the
port is no farther away, every step of both is begun from the source's weights, and compared.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from onnxpress.core.arrays import Array
from onnxpress.export.port.proof.descent import STEPS, rate_of, step_of_keras, step_of_torch
from onnxpress.export.port.proof.gradients import carried, difference
from onnxpress.export.port.proof.rung import Worst

if TYPE_CHECKING:
    from onnxpress.export.port.proof.gradients import Sides
    from onnxpress.export.port.proof.keras_source import KerasSides

ROUNDING = 6e-8
"""of a value in float32; a layer of Keras may hold a constant no better, whatever dtype it computes in"""
GROWTHS = 10
"""times what the rounding grows to is accepted"""

_WIDEST = 1e-3
"""limit, however far the source's own steps part"""
_SEEDS = (11, 12, 13)
"""of the ways in which weights are rounded: how far one of them leads is chance"""
PARTED = "; the source's own steps part by {:.1g} from rounding, so each is begun from its weights"

Asked = tuple[float, Mapping[str, Array]]
"""a loss, and its gradients by the name and in the form of the written model's weights"""


class Parted(Protocol):
    """Both sides of the fourth rung, the source trained step by step."""

    def begin(self) -> None:
        """The source has its first weights again."""

    def weights(self) -> list[Array]:
        """Copies of those of the source that learn."""

    def put(self, weights: list[Array]) -> None:
        """Give the source these."""

    def source(self) -> Asked:
        """In training mode, at its present weights."""

    def step(self) -> None:
        """Move the source along the gradients of its last answer."""

    def written(self) -> Asked:
        """The written model, at the source's present weights."""


def growth(parted: Parted, losses: list[float]) -> float:
    """How far the source's own losses part from these when it begins within float32's rounding, one way or another."""
    worst = Worst()
    for seed in _SEEDS:
        parted.begin()
        parted.put(_moved(parted.weights(), seed))
        for number, loss in enumerate(losses):
            other, _ = parted.source()
            worst.add(abs(loss - other) / max(abs(loss), 1.0), str(number))
            parted.step()
    return worst.figure


def each_step(parted: Parted, limit: float) -> tuple[Worst, float]:
    """Losses and gradients in training, at each of the source's weights; the worst, and the limit where it is.

    The limit is `limit`, or what float32's rounding of the weights changes in the source's own gradients there.
    """
    parted.begin()
    found, bound = Worst(), limit
    for number in range(STEPS):
        wanted = parted.source()
        worst = _apart(wanted, parted.written(), number)
        if worst.figure > limit:
            held = parted.weights()
            parted.put(_moved(held, _SEEDS[0]))
            own = _apart(wanted, parted.source(), number)
            parted.put(held)
            if worst.figure / max(limit, GROWTHS * own.figure) > found.figure / bound:
                found, bound = worst, max(limit, GROWTHS * own.figure)
            parted.source()  # whose gradients are those of the step
        elif found.figure <= limit:
            found.add(worst.figure, worst.where)
        parted.step()
    return found, min(bound, _WIDEST)


def _moved(weights: list[Array], seed: int) -> list[Array]:
    generator = np.random.default_rng(seed)
    return [value * (1 + ROUNDING * generator.choice((-1, 1), value.shape)) for value in weights]


def _apart(wanted: Asked, found: Asked, number: int) -> Worst:
    worst = Worst()
    (loss, gradients), (other, others) = wanted, found
    worst.add(abs(loss - other) / max(abs(loss), 1.0), f"the loss of step {number + 1}")
    whole = max([1e-300, *(float(np.abs(g).max(initial=0)) for g in gradients.values())])
    for name, gradient in gradients.items():
        worst.add(difference(gradient, others[name], whole), f"{name} in step {number + 1}")
    return worst


class OfKeras:
    """A Keras source beside the torch module that was written of it."""

    def __init__(self, sides: KerasSides) -> None:
        self._sides = sides
        self._by: Mapping[int, Array] = {}

    def begin(self) -> None:
        assert self._sides.first is not None
        for place, weight in enumerate(self._sides.twin.weights):
            weight.assign(self._sides.first[place].astype(str(weight.dtype)))

    def _learning(self) -> list[Any]:
        return [weight for weight in self._sides.twin.weights if weight.trainable]

    def weights(self) -> list[Array]:
        return [np.array(weight) for weight in self._learning()]

    def put(self, weights: list[Array]) -> None:
        for weight, value in zip(self._learning(), weights, strict=True):
            weight.assign(value)

    def source(self) -> Asked:
        self._by, _, loss = self._sides.of_keras(training=True)
        return loss, {one.name: self._sides.wanted(one, self._by) for one in self._sides.learning()}

    def step(self) -> None:
        weights = self._sides.twin.weights
        step_of_keras([weights[place] for place in self._by], self._by.values(), rate_of(self._by.values()))

    def written(self) -> Asked:
        import torch

        parameters = dict(self._sides.module.named_parameters())
        with torch.no_grad():
            for one in self._sides.learning():
                value = one.carry(*(np.asarray(self._sides.twin.weights[n]) for n in one.sources))
                parameters[one.name].copy_(torch.from_numpy(np.array(value)))
        by, _, loss = self._sides.of_torch(training=True)
        return loss, by


class OfTorch:
    """A torch source beside the Keras model that was written of it."""

    def __init__(self, sides: Sides) -> None:
        self._sides = sides
        parameters = sides.module.named_parameters()
        summed = {name for one in sides.code.carried if one.several for name in one.sources[1:]}
        self._names = [name for name, value in parameters if value.requires_grad and name not in summed]
        self._by: dict[str, Array] = {}

    def _parameters(self) -> dict[str, Any]:
        return dict(self._sides.module.named_parameters())

    def begin(self) -> None:
        self._copy(self._sides.state)

    def _copy(self, values: Mapping[str, Array]) -> None:
        import torch

        with torch.no_grad():
            for name, parameter in self._parameters().items():
                if name in values:
                    parameter.copy_(torch.from_numpy(values[name]))

    def weights(self) -> list[Array]:
        parameters = self._parameters()
        return [np.array(parameters[name].detach()) for name in self._names]

    def put(self, weights: list[Array]) -> None:
        self._copy(dict(zip(self._names, weights, strict=True)))

    def source(self) -> Asked:
        by, _, loss = self._sides.of_torch(training=True)
        self._by = {name: np.array(gradient) for name, gradient in by.items()}
        return loss, {one.sources[0]: carried(one, self._by) for one in self._sides.learning()}

    def step(self) -> None:
        parameters = self._parameters()
        step_of_torch({name: parameters[name] for name in self._names}, self._by, rate_of(self._by.values()))

    def written(self) -> Asked:
        parameters = {name: value.detach().numpy() for name, value in self._parameters().items()}
        for one in self._sides.learning():
            self._sides.target.variable(one, "float64").assign(one.carry(*(parameters[n] for n in one.sources)))
        by, _, loss = self._sides.of_keras(training=True)
        return loss, {one.sources[0]: by[place] for place, one in enumerate(self._sides.learning())}
