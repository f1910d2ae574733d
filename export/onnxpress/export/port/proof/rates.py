"""Of both sides of a port: the rate of every dropout as it is measured, and how they are switched off."""

from __future__ import annotations

import contextlib
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from typing import Any
from unittest import mock

import numpy as np

from onnxpress.core.arrays import Array
from onnxpress.export.port.proof.drawing import Draws, chosen_of_keras, chosen_of_torch, of_whole_rows, share_of
from onnxpress.export.port.proof.gradients import Sides, in_doubles
from onnxpress.export.port.proof.keeping import unmoved

ONES = 20_000
KERAS_DROPOUTS = ("Dropout", "SpatialDropout1D", "SpatialDropout2D", "SpatialDropout3D", "AlphaDropout")


def other_rates(wanted: list[float], measured: list[float], what: str = "dropouts") -> str:
    """What differs between the source's rates and the shares measured here, both sorted; empty where nothing does."""
    if len(wanted) != len(measured):
        return f"{len(wanted)} {what} in the source, {len(measured)} here"
    for rate, mine in zip(wanted, measured, strict=True):
        if not abs(rate - mine) <= 5 * (max(rate * (1 - rate), 1e-4) / ONES) ** 0.5:
            return f"dropout of {rate} in the source leaves out {mine:.3f} here"
    return ""


def rates_of_torch(sides: Sides) -> tuple[list[float], list[float]]:
    """Of every dropout that leaves something out in training: layers, functions, within recurrence and attention.

    Then those of whole rows that it draws by itself.
    """
    import torch
    from torch import nn

    found: list[float] = []
    inside: list[str] = []

    def recorded(x: Any, p: float = 0.5, training: bool = True, inplace: bool = False) -> Any:
        if training and not inside:
            found.append(p)
        return x

    def attended(*args: Any, dropout_p: float = 0.0, **kwargs: Any) -> Any:
        if not inside:
            found.append(dropout_p)
        return attention(*args, **kwargs)

    attention = nn.functional.scaled_dot_product_attention

    def enter(module: Any, _: Any) -> None:
        inside.append(type(module).__name__)
        found.extend([module.dropout] * (module.num_layers - 1 if isinstance(module, nn.RNNBase) else 1))

    module, draws = sides.module, Draws(sides.drawn)
    tensors = {n: torch.from_numpy(np.array(v)) for n, v in sides.feeds.items()}
    with contextlib.ExitStack() as stack:
        stack.enter_context(unmoved(module))
        for part in module.train().modules():
            if isinstance(part, nn.MultiheadAttention | nn.RNNBase):
                stack.callback(part.register_forward_pre_hook(enter).remove)
                stack.callback(part.register_forward_hook(lambda *_: inside.pop() and None).remove)
        for name in ("dropout", "dropout1d", "dropout2d", "dropout3d", "alpha_dropout"):
            stack.enter_context(mock.patch.object(nn.functional, name, recorded))
        stack.enter_context(mock.patch.object(nn.functional, "scaled_dot_product_attention", attended))
        stack.enter_context(torch.no_grad())
        stack.enter_context(in_doubles())
        stack.enter_context(draws.of(module))
        sides.call(module, tensors)
    return sorted(rate for rate in found if rate > 0), sorted(draws.rates)


def idle(sides: Sides) -> str:
    """The first dropout of the written model that changes nothing by itself; empty where each does."""
    import tensorflow as tf

    model = sides.target.model("float64")
    inputs = [tf.constant(v) for v in sides.target.inputs(sides.feeds)]
    dropouts = [layer for layer in dropouts_of_keras(model) if layer.rate > 0]
    statistics = [(v, np.array(v)) for v in model.non_trainable_variables]
    with no_dropout_of_keras(sides):
        plain = sides.target.call(inputs, "float64", training=True)
        for layer in dropouts:
            before, layer.rate = layer.rate, 0.9
            found = sides.target.call(inputs, "float64", training=True)
            layer.rate = before
            if all(np.array_equal(np.asarray(a), np.asarray(b)) for a, b in zip(plain, found, strict=True)):
                return str(layer.name)
    for variable, value in statistics:
        variable.assign(value)
    return ""


def dropouts_of_keras(model: Any) -> Iterator[Any]:
    """Every layer of dropout; its rate is `rate`."""
    for layer in model._flatten_layers():
        if type(layer).__name__ in KERAS_DROPOUTS:
            yield layer


def rates_of_keras(sides: Sides) -> tuple[list[float], list[float]]:
    """The share that each leaves out of ones, or of whole channels, as often as one call of the model calls it.

    Then those that leave out whole rows.
    """
    found: list[float] = []
    rows: list[float] = []
    calls = _calls(sides)
    for layer in dropouts_of_keras(sides.target.model("float64")):
        if layer.rate > 0 and of_whole_rows(layer):
            rows += [share_of(layer)] * max(calls[id(layer)], 1)
        elif layer.rate > 0:
            rank = int(type(layer).__name__[-2]) if type(layer).__name__.endswith("D") else 0
            ones = np.ones((1, *(1,) * rank, ONES))
            out: Array = np.asarray(layer(ones, training=True))
            share = float(np.mean(out == 0 if type(layer).__name__ != "AlphaDropout" else out < 0))
            found += [share] * max(calls[id(layer)], 1)  # `idle` tells of one that is not called
    return sorted(found), sorted(rows)


def _calls(sides: Sides) -> Counter[int]:
    """How often one call in training mode calls each dropout, by the layer's id."""
    import tensorflow as tf

    called: Counter[int] = Counter()
    model = sides.target.model("float64")
    statistics = [(v, np.array(v)) for v in model.non_trainable_variables]
    with contextlib.ExitStack() as stack:
        for layer in dropouts_of_keras(model):
            stack.enter_context(mock.patch.object(layer, "call", _counted(layer, called)))
        inputs = [tf.constant(v) for v in sides.target.inputs(sides.feeds)]
        sides.target.call(inputs, "float64", training=True)
    for variable, value in statistics:
        variable.assign(value)
    return called


def _counted(layer: Any, called: Counter[int]) -> Callable[..., Any]:
    call = layer.call

    def counted(*args: Any, **kwargs: Any) -> Any:
        called[id(layer)] += 1
        return call(*args, **kwargs)

    return counted


def dropouts_of_torch(module: Any) -> Iterator[tuple[str, Any]]:
    """The name of every layer of dropout, and the layer; its rate is `p`."""
    from torch import nn

    kinds = nn.Dropout | nn.Dropout1d | nn.Dropout2d | nn.Dropout3d | nn.AlphaDropout
    for name, layer in module.named_modules():
        if isinstance(layer, kinds):
            yield name, layer


@contextlib.contextmanager
def no_dropout_of_torch(sides: Sides) -> Iterator[None]:
    """Without dropout; of whole rows both sides leave out the same."""
    from torch import nn

    inner = [m for m in sides.module.modules() if isinstance(m, nn.RNNBase | nn.MultiheadAttention)]
    layers = dropouts_of_torch(sides.module)
    rates = [*((layer, "p") for _, layer in layers), *((module, "dropout") for module in inner)]
    with switched_off(rates), chosen_of_torch(sides):
        yield


@contextlib.contextmanager
def no_dropout_of_keras(sides: Sides) -> Iterator[None]:
    """The same of the written model."""
    layers = list(dropouts_of_keras(sides.target.model("float64")))
    rates = [(layer, "rate") for layer in layers if not of_whole_rows(layer)]
    rows = [layer for layer in layers if of_whole_rows(layer) and layer.rate > 0]
    with switched_off(rates), chosen_of_keras(sides, rows):
        yield


@contextlib.contextmanager
def switched_off(rates: Sequence[tuple[Any, str]]) -> Iterator[None]:
    """Each layer's attribute, which is a rate, is zero for as long."""
    held = [(layer, name, getattr(layer, name)) for layer, name in rates]
    for layer, name, _ in held:
        setattr(layer, name, 0.0)
    try:
        yield
    finally:
        for layer, name, rate in held:
            setattr(layer, name, rate)
