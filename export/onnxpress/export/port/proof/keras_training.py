"""Rung 4 of a Keras model that was written in torch: see `training`, which says the same of the other direction."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from onnxpress.core.arrays import Array
from onnxpress.export.port.from_keras.shared import Carried
from onnxpress.export.port.proof import training as rung4
from onnxpress.export.port.proof.aside import aside
from onnxpress.export.port.proof.chance import (
    measured,
    nothing_drawn_by_keras,
    nothing_drawn_by_torch,
    only_dropout_drawn_by_keras,
    only_dropout_drawn_by_torch,
    other_measures,
)
from onnxpress.export.port.proof.descent import STEPS, rate_of, step_of_keras, step_of_torch
from onnxpress.export.port.proof.dropping import PLACED, Dropping, drops_weights, keras_marked, misplaced, torch_marked
from onnxpress.export.port.proof.gradients import largest
from onnxpress.export.port.proof.keeping import unmoved
from onnxpress.export.port.proof.keras_source import NARROW_LIMIT, KerasSides, is_statistic
from onnxpress.export.port.proof.parting import GROWTHS, PARTED, OfKeras, each_step, growth
from onnxpress.export.port.proof.rung import Rung, Worst
from onnxpress.export.port.proof.weights import Kept, kept_in_training, other_weights


@dataclass
class Trained:
    """What the source does in training, as the written model is held against it."""

    statistics: dict[str, Array]
    """of batch norm after one step, by the written model's name"""
    steps: list[tuple[float, float]]
    """the loss and the rate of each"""
    parameters: Mapping[str, Array]
    """after the last step, by the written model's name"""
    dropping: Dropping
    moved: str
    """what training changes beside batch norm's statistics and seeds; empty where nothing is changed"""
    kept: Kept
    """its regularisers and constraints of weights, without those that are named"""

    @property
    def losses(self) -> list[float]:
        """Of each step."""
        return [loss for loss, _ in self.steps]


def training(sides: KerasSides) -> Rung:
    """Dropout's rates, the deviations of noise, the statistics after one step, and twenty steps without either."""
    found = measured(sides)
    sides.leave_torch()
    if wrong := other_measures(sides, found):
        sides.leave_keras()
        return Rung(name="training", holds=False, detail=wrong)
    trained = _of_keras(sides)
    sides.leave_keras()
    rung = _trained_beside_torch(sides, trained, len(found.rates))
    sides.leave_torch()
    return rung


def _of_keras(sides: KerasSides) -> Trained:
    def weights(one: Carried) -> Array:
        return one.carry(*(np.asarray(sides.twin.weights[n]) for n in one.sources))

    dropping = _dropping_of_keras(sides)
    before = {n: np.array(weight) for n, weight in enumerate(sides.twin.weights) if not weight.trainable}
    with nothing_drawn_by_keras(sides):
        sides.of_keras(training=True)
        statistics = {one.name: weights(one) for one in sides.translated.carried if is_statistic(one.name)}
        steps = _steps_of_keras(sides)
    parameters = aside(large=sides.large)
    for one in sides.learning():
        parameters[one.name] = weights(one)
    return Trained(statistics, steps, parameters, dropping, _moved(sides, before), kept_in_training(sides))


def _moved(sides: KerasSides, before: dict[int, Array]) -> str:
    carried = sides.translated.carried
    statistics = {n for one in carried if is_statistic(one.name) for n in one.sources}
    read = {n for one in carried for n in one.sources} & before.keys() - statistics
    moved = [n for n in sorted(read) if not np.array_equal(before[n], np.asarray(sides.twin.weights[n]))]
    return f"{sides.twin.weights[moved[0]].path} changes in training in the source, and not here" if moved else ""


def _dropping_of_keras(sides: KerasSides) -> Dropping:
    statistics = [(v, np.array(v)) for v in sides.twin.non_trainable_variables]
    with only_dropout_drawn_by_keras(sides), keras_marked(sides.twin, frozenset()) as marking:
        answers = sides.answered(training=True)
    for variable, value in statistics:
        variable.assign(value)
    return Dropping([np.asarray(answers[name]) for name, _, _ in sides.target.outputs], marking.drawn)


def _misplaced(sides: KerasSides, wanted: Dropping, named: list[str]) -> str:
    """What differs where dropouts act, and in what they draw; empty where nothing does."""
    import torch

    module = sides.module.train()
    mine = []
    for are_undropped in (False, True)[: 1 + drops_weights(module)]:
        marking = torch_marked(module, frozenset(), are_undropped=are_undropped)
        with only_dropout_drawn_by_torch(sides), marking, torch.no_grad(), unmoved(module):
            found = sides.target.flat(module(*sides.target.inputs(sides.feeds)))
        perms = [perm for _, _, perm in sides.target.outputs]
        mine.append([np.transpose(v.numpy(), np.argsort(perm)) for v, perm in zip(found, perms, strict=True)])
    limit = PLACED if sides.precision == "float64" else NARROW_LIMIT
    return misplaced(wanted, Dropping(mine[0], marking.drawn, undropped=mine[-1]), limit, named)


def _trained_beside_torch(sides: KerasSides, trained: Trained, count: int) -> Rung:
    named: list[str] = []
    if wrong := trained.moved or (_misplaced(sides, trained.dropping, named) if count else ""):
        return Rung(name="training", holds=False, detail=wrong)
    sides.leave_torch()  # of which another is built to be penalised
    if wrong := other_weights(sides, trained.kept, _limit(sides)):
        return Rung(name="training", holds=False, detail=wrong)
    with nothing_drawn_by_torch(sides):
        if wrong := _other_statistics(sides, trained.statistics, named):
            return Rung(name="training", holds=False, detail=wrong)
        worst = _steps_of_torch(sides, trained)
    limit, why = _limit(sides), ""
    if worst.figure > limit and sides.first is not None:
        sides.leave_torch()
        with nothing_drawn_by_keras(sides):
            parted = OfKeras(sides)
            grown = growth(parted, trained.losses)
            if worst.figure <= GROWTHS * grown:
                with nothing_drawn_by_torch(sides):
                    worst, limit = each_step(parted, limit)
                why = PARTED.format(grown)
    detail = f"{STEPS} steps, {count} dropouts measured; the worst: {worst.where or 'none'}{why}"
    return worst.rung("training", limit, detail, named)


def _limit(sides: KerasSides) -> float:
    return rung4.LIMIT if sides.precision == "float64" else NARROW_LIMIT


def _other_statistics(sides: KerasSides, statistics: dict[str, Array], named: list[str]) -> str:
    """What differs in them after one call of the written model in training mode; empty where nothing does."""
    norms = {n: m for n, m in sides.module.named_modules() if hasattr(m, "running_mean") and hasattr(m, "momentum")}
    with rung4.variances_of_keras(norms) as variances:
        sides.of_torch(training=True)
    for name, wanted in statistics.items():
        owner = name.rpartition(".")[0]
        mine = sides.module.state_dict()[name].numpy()
        if name.endswith("running_var") and owner in variances:
            mine = variances[owner].numpy()
            named.append(f"{name}: torch keeps n/(n − 1) of the batch's variance, Keras the variance itself")
        scale = max(float(np.abs(wanted).max()), 1e-3)
        if not float(np.abs(wanted - mine).max()) <= _limit(sides) * scale:
            return f"{name} is another after a step of training"
    return ""


def _steps_of_keras(sides: KerasSides) -> list[tuple[float, float]]:
    """Plain gradient descent; the loss and the rate of each step."""
    steps = []
    for _ in range(STEPS):
        by, _, loss = sides.of_keras(training=True)
        steps.append((loss, rate_of(by.values())))
        step_of_keras([sides.twin.weights[place] for place in by], by.values(), steps[-1][1])
    return steps


def _steps_of_torch(sides: KerasSides, trained: Trained) -> Worst:
    """The same; the largest difference of losses and parameters from the source's, and where."""
    worst = Worst()
    parameters = dict(sides.module.named_parameters())
    for number, (loss, rate) in enumerate(trained.steps):
        ours, _, our_loss = sides.of_torch(training=True)
        worst.add(abs(loss - our_loss) / max(abs(loss), 1.0), f"the loss of step {number + 1}")
        step_of_torch({n: p for n, p in parameters.items() if p.requires_grad}, ours, rate)
    for one in sides.learning():
        wanted, mine = trained.parameters[one.name], parameters[one.name].detach().numpy()
        worst.add(largest(wanted - mine) / max(largest(wanted), 1e-3), one.name)
    return worst
