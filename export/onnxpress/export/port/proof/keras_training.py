"""Rung 4 of a Keras model that was written in torch: see `training`, which says the same of the other direction."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, MutableMapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from onnxpress.core.arrays import Array
from onnxpress.export.port.from_keras.shared import Carried
from onnxpress.export.port.proof import training as rung4
from onnxpress.export.port.proof.aside import aside
from onnxpress.export.port.proof.descent import STEPS, rate_of, step_of_keras, step_of_torch
from onnxpress.export.port.proof.keras_source import NARROW_LIMIT, KerasSides, is_statistic
from onnxpress.export.port.proof.parting import GROWTHS, PARTED, OfKeras, each_step, growth
from onnxpress.export.port.proof.rung import Rung, Worst


@dataclass
class Trained:
    """What the source does in training, as the written model is held against it."""

    rates: list[float]
    """of its dropouts, sorted"""
    statistics: dict[str, Array]
    """of batch norm after one step, by the written model's name"""
    steps: list[tuple[float, float]]
    """the loss and the rate of each"""
    parameters: MutableMapping[str, Array]
    """after the last step, by the written model's name"""

    @property
    def losses(self) -> list[float]:
        """Of each step."""
        return [loss for loss, _ in self.steps]


def training(sides: KerasSides) -> Rung:
    """Dropout's rates, the statistics after one step, and twenty steps with dropout off."""
    with aside(large=sides.large) as parameters:
        trained = _of_keras(sides, parameters)
        sides.leave_keras()
        rung = _trained_beside_torch(sides, trained)
    sides.leave_torch()
    return rung


def _of_keras(sides: KerasSides, parameters: MutableMapping[str, Array]) -> Trained:
    def weights(one: Carried) -> Array:
        return one.carry(*(np.asarray(sides.twin.weights[n]) for n in one.sources))

    rates = _rates_of_keras(sides.twin)
    with rung4.switched_off([*_dropouts_of_keras(sides.twin)]):
        sides.of_keras(training=True)
        statistics = {one.name: weights(one) for one in sides.translated.carried if is_statistic(one.name)}
        steps = _steps_of_keras(sides)
    for one in sides.learning():
        parameters[one.name] = weights(one)
    return Trained(rates, statistics, steps, parameters)


def _trained_beside_torch(sides: KerasSides, trained: Trained) -> Rung:
    if wrong := rung4.other_rates(trained.rates, _rates_of_torch(sides.module)):
        return Rung(name="training", holds=False, detail=wrong)
    if idle := _idle(sides):
        return Rung(name="training", holds=False, detail=f"the dropout {idle} changes no answer: it is not called")
    named: list[str] = []
    with _no_dropout_of_torch(sides):
        if wrong := _other_statistics(sides, trained.statistics, named):
            return Rung(name="training", holds=False, detail=wrong)
        worst = _steps_of_torch(sides, trained)
    limit, why = _limit(sides), ""
    if worst.figure > limit and sides.first:
        sides.leave_torch()
        with rung4.switched_off([*_dropouts_of_keras(sides.twin)]):
            parted = OfKeras(sides)
            grown = growth(parted, trained.losses)
            if worst.figure <= GROWTHS * grown:
                with _no_dropout_of_torch(sides):
                    worst, limit = each_step(parted, limit)
                why = PARTED.format(grown)
    count = len(trained.rates)
    detail = f"{STEPS} steps, {count} dropouts measured; the worst: {worst.where or 'none'}{why}"
    return worst.rung("training", limit, detail, named)


def _limit(sides: KerasSides) -> float:
    return rung4.LIMIT if sides.precision == "float64" else NARROW_LIMIT


def _other_statistics(sides: KerasSides, statistics: dict[str, Array], named: list[str]) -> str:
    """What differs in them after one call of the written model in training mode; empty where nothing does."""
    sizes: dict[str, int] = {}
    hooks = [
        m.register_forward_pre_hook(lambda _, args, n=n: sizes.__setitem__(n, args[0].numel() // args[0].shape[1]))
        for n, m in sides.module.named_modules()
        if hasattr(m, "running_mean") and hasattr(m, "momentum")
    ]
    state = sides.module.state_dict()
    before = {name: state[name].numpy().copy() for name in statistics}
    sides.of_torch(training=True)
    for hook in hooks:
        hook.remove()
    for name, wanted in statistics.items():
        owner = name.rpartition(".")[0]
        mine = sides.module.state_dict()[name].numpy()
        if name.endswith("running_var") and sizes.get(owner, 1) > 1:
            share, n = sides.module.get_submodule(owner).momentum, sizes[owner]
            batch = (mine - (1 - share) * before[name]) / share
            mine = (1 - share) * before[name] + share * batch * (n - 1) / n
            named.append(f"{name}: torch keeps n/(n − 1) of the batch's variance, Keras the variance itself")
        scale = max(float(np.abs(wanted).max()), 1e-3)
        if not float(np.abs(wanted - mine).max()) <= _limit(sides) * scale:
            return f"{name} is another after one step of training"
    return ""


def _steps_of_keras(sides: KerasSides) -> list[tuple[float, float]]:
    """Plain gradient descent; the loss and the rate of each step."""
    steps = []
    for _ in range(STEPS):
        by, _, loss = sides.of_keras(training=True)
        steps.append((loss, rate_of(by.values())))
        step_of_keras([sides.twin.weights[place] for place in by], by.values(), steps[-1][1])
        del by  # before the next are there
    return steps


def _steps_of_torch(sides: KerasSides, trained: Trained) -> Worst:
    """The same; the largest difference of losses and parameters from the source's, and where."""
    worst = Worst()
    parameters = dict(sides.module.named_parameters())
    for number, (loss, rate) in enumerate(trained.steps):
        ours, _, our_loss = sides.of_torch(training=True)
        worst.add(abs(loss - our_loss) / max(abs(loss), 1.0), f"the loss of step {number + 1}")
        step_of_torch(parameters, {n: g for n, g in ours.items() if parameters[n].requires_grad}, rate)
        del ours
    for one in sides.learning():
        wanted, mine = trained.parameters[one.name], parameters[one.name].detach().numpy()
        apart = float(np.abs(wanted - mine).max(initial=0)) / max(float(np.abs(wanted).max(initial=0)), 1e-3)
        worst.add(apart, one.name)
    return worst


def _dropouts_of_keras(model: Any) -> Iterator[tuple[Any, str]]:
    """Every layer that leaves something out in training, and the attribute that holds its rate."""
    import keras

    attention = keras.layers.Attention | keras.layers.AdditiveAttention
    cells = keras.layers.LSTMCell | keras.layers.GRUCell | keras.layers.SimpleRNNCell
    for layer in model._flatten_layers():
        if type(layer).__name__ in rung4.KERAS_DROPOUTS and hasattr(layer, "rate"):
            yield layer, "rate"
        elif isinstance(layer, attention | cells):
            yield layer, "dropout"


def _rates_of_keras(model: Any) -> list[float]:
    return sorted(float(rate) for layer, name in _dropouts_of_keras(model) if (rate := getattr(layer, name)))


def _rates_of_torch(module: Any) -> list[float]:
    """The share that each leaves out of ones, or of whole channels."""
    import torch

    found = []
    for _, layer in rung4.dropouts_of_torch(module.train()):
        if layer.p > 0:
            rank = int(type(layer).__name__[-2]) if type(layer).__name__.endswith("d") else 0
            out = layer(torch.ones((1, rung4.ONES, *(1,) * rank), dtype=torch.float64))
            is_out = out < 0 if type(layer).__name__ == "AlphaDropout" else out == 0
            found.append(float(is_out.double().mean()))
    return sorted(found)


def _idle(sides: KerasSides) -> str:
    """The first dropout of the written model that changes nothing by itself; empty where each does."""
    import torch

    tensors = sides.target.inputs(sides.feeds)
    found = ""
    with _no_dropout_of_torch(sides), torch.no_grad(), rung4.unmoved(sides.module):
        sides.module.train()
        plain = sides.target.flat(sides.module(*tensors))
        for name, layer in list(rung4.dropouts_of_torch(sides.module)):
            layer.p = 0.9
            other = sides.target.flat(sides.module(*tensors))
            layer.p = 0.0
            if not found and all(torch.equal(a, b) for a, b in zip(plain, other, strict=True)):
                found = name
    return found


def _no_dropout_of_torch(sides: KerasSides) -> contextlib.AbstractContextManager[None]:
    return rung4.switched_off([(layer, "p") for _, layer in rung4.dropouts_of_torch(sides.module)])
