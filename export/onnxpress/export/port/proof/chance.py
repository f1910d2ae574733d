"""What a Keras model, and what was written of it in torch, draw at random in training: measured, and switched off."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any
from unittest import mock

import numpy as np

from onnxpress.export.port.from_keras.images import AUGMENTING
from onnxpress.export.port.proof import rates
from onnxpress.export.port.proof.keeping import unmoved
from onnxpress.export.port.proof.keras_source import KerasSides
from onnxpress.export.port.proof.keras_twin import kept


@dataclass
class Measured:
    """Of the written model."""

    rates: list[float]
    """the share that each dropout leaves out of ones, or of whole channels, sorted"""
    deviations: list[float]
    """of each layer of noise, sorted"""
    idle: list[str]
    """the layers of either that change no answer by themselves"""


def measured(sides: KerasSides) -> Measured:
    """What the written model draws; its parameters and statistics are as before."""
    return Measured(_rates_of_torch(sides.module), _deviations_of_torch(sides.module), _idle(sides))


def other_measures(sides: KerasSides, found: Measured) -> str:
    """What differs between what the source tells of its layers and what is measured here; empty where nothing does."""
    if wrong := rates.other_rates(_rates_of_keras(sides.twin), found.rates):
        return wrong
    if wrong := _other_deviations(_deviations_of_keras(sides.twin), found.deviations):
        return wrong
    if found.idle and len(found.idle) > _idle_in_keras(sides):
        return f"the dropout {found.idle[0]} changes no answer: it is not called"
    return ""


@contextlib.contextmanager
def nothing_drawn_by_keras(sides: KerasSides) -> Iterator[None]:
    """The source leaves nothing out, adds no noise, and changes no image at random."""
    with rates.switched_off([*_dropouts_of_keras(sides.twin)]), only_dropout_drawn_by_keras(sides):
        yield


@contextlib.contextmanager
def only_dropout_drawn_by_keras(sides: KerasSides) -> Iterator[None]:
    """The source adds no noise, and changes no image at random."""
    layers = sides.twin._flatten_layers()
    with contextlib.ExitStack() as stack:
        stack.enter_context(rates.switched_off([*_noises(layers)]))
        for layer in layers:
            if type(layer).__name__ in AUGMENTING:
                stack.enter_context(mock.patch.object(layer, "call", _as_in_inference(layer.call)))
        yield


@contextlib.contextmanager
def nothing_drawn_by_torch(sides: KerasSides) -> Iterator[None]:
    """The written model leaves nothing out and adds no noise."""
    dropouts = [(layer, "p") for _, layer in rates.dropouts_of_torch(sides.module)]
    with rates.switched_off(dropouts), only_dropout_drawn_by_torch(sides):
        yield


@contextlib.contextmanager
def only_dropout_drawn_by_torch(sides: KerasSides) -> Iterator[None]:
    """The written model adds no noise."""
    with rates.switched_off([*_noises(sides.module.modules())]):
        yield


def _as_in_inference(call: Any) -> Any:
    return lambda data, training=False: call(data, training=False)


def _dropouts_of_keras(model: Any) -> Iterator[tuple[Any, str]]:
    """Every layer that leaves something out in training, and the attribute that holds its rate."""
    import keras

    attention = keras.layers.Attention | keras.layers.AdditiveAttention
    cells = keras.layers.LSTMCell | keras.layers.GRUCell | keras.layers.SimpleRNNCell
    for layer in model._flatten_layers():
        if type(layer).__name__ in rates.KERAS_DROPOUTS and hasattr(layer, "rate"):
            yield layer, "rate"
        elif isinstance(layer, attention | cells):
            yield layer, "dropout"


def _rates_of_keras(model: Any) -> list[float]:
    return sorted(float(rate) for layer, name in _dropouts_of_keras(model) if (rate := getattr(layer, name)))


def _rates_of_torch(module: Any) -> list[float]:
    """The share that each leaves out of ones, or of whole channels."""
    import torch

    found = []
    for _, layer in rates.dropouts_of_torch(module.train()):
        if layer.p > 0:
            rank = int(type(layer).__name__[-2]) if type(layer).__name__.endswith("d") else 0
            out = layer(torch.ones((1, rates.ONES, *(1,) * rank), dtype=torch.float64))
            is_out = out < 0 if type(layer).__name__ == "AlphaDropout" else out == 0
            found.append(float(is_out.double().mean()))
    return sorted(found)


def _noises(layers: Iterable[Any]) -> Iterator[tuple[Any, str]]:
    """Every layer of either side that adds noise in training, and the attribute that says how much."""
    for layer in layers:
        name = {"GaussianNoise": "stddev", "GaussianDropout": "rate"}.get(type(layer).__name__)
        if name is not None:
            yield layer, name


def _deviations_of_keras(model: Any) -> list[float]:
    def told(amount: float, name: str) -> float:
        return amount if name == "stddev" else (amount / (1 - amount)) ** 0.5

    return sorted(told(float(getattr(layer, name)), name) for layer, name in _noises(model._flatten_layers()))


def _deviations_of_torch(module: Any) -> list[float]:
    """What each adds to ones."""
    import torch

    ones = torch.ones(rates.ONES, dtype=torch.float64)
    return sorted(float((layer.train()(ones) - ones).std()) for layer, _ in _noises(module.modules()))


def _other_deviations(wanted: list[float], found: list[float]) -> str:
    """What differs between those of the source and those measured here; empty where nothing does."""
    if len(wanted) != len(found):
        return f"{len(wanted)} layers of noise in the source, {len(found)} here"
    for deviation, mine in zip(wanted, found, strict=True):
        if not abs(deviation - mine) <= 5 * deviation / (2 * rates.ONES) ** 0.5:
            return f"noise of {deviation:.3g} in the source has {mine:.3g} here"
    return ""


def _idle(sides: KerasSides) -> list[str]:
    """The dropouts and noises of the written model that change nothing by themselves."""
    import torch

    tensors = sides.target.inputs(sides.feeds)
    names = {id(layer): name for name, layer in sides.module.named_modules()}
    parts = [(layer, "p") for _, layer in rates.dropouts_of_torch(sides.module)]
    parts += _noises(sides.module.modules())
    if not parts:
        return []
    found = []
    with nothing_drawn_by_torch(sides), torch.no_grad(), unmoved(sides.module):
        sides.module.train()
        plain = sides.target.flat(sides.module(*tensors))
        for layer, amount in parts:
            setattr(layer, amount, 0.9)
            other = sides.target.flat(sides.module(*tensors))
            setattr(layer, amount, 0.0)
            if all(torch.equal(a, b) for a, b in zip(plain, other, strict=True)):
                found.append(names[id(layer)])
    return found


def _idle_in_keras(sides: KerasSides) -> int:
    """How many of the source's change nothing either: those before a norm of one feature, say."""
    every = [*_dropouts_of_keras(sides.twin), *_noises(sides.twin._flatten_layers())]
    drawing = [(layer, name) for layer, name in every if getattr(layer, name)]
    count = 0
    with nothing_drawn_by_keras(sides), kept(sides.twin):
        plain = sides.answers_in_training()
        for layer, name in drawing:
            setattr(layer, name, 0.9)
            other = sides.answers_in_training()
            setattr(layer, name, 0.0)
            count += all(np.array_equal(a, b) for a, b in zip(plain, other, strict=True))
    return count
