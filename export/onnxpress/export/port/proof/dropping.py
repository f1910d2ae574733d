"""Where each dropout acts, and on what it draws: compared with each turned into a change that tells its rate.

A dropout draws, so that two models cannot be compared while it does. Here each changes what it is given in a way of its
own, that its rate sets. Answers in training mode then agree if every rate acts where it does in the source. How many
values a call draws tells elements from channels and from whole rows, whatever the order of axes.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from unittest import mock

import numpy as np

from onnxpress.core.arrays import Array

PLACED = 1e-4
"""of an output's largest value. A dropout elsewhere changes it by a share of its rate, rounding behind batch norm over
few values by less"""


@dataclass(frozen=True, order=True)
class Drawn:
    """What one call of a dropout draws: its rate, how many values, and whether it is an alpha dropout."""

    rate: float
    count: int
    is_alpha: bool = False

    def __str__(self) -> str:
        return f"{self.rate:g} of {self.count} values{' (alpha)' if self.is_alpha else ''}"


@dataclass(frozen=True)
class Dropping:
    """A side's answers with its dropouts marked, what they would have drawn, and the rates that could not be marked."""

    answers: Sequence[Array]
    drawn: Sequence[Drawn]
    unmarked: frozenset[float] = frozenset()
    undropped: Sequence[Array] | None = None
    """the answers where torch's attention returns its weights as they are before dropout, as Keras's does"""


class Marking(contextlib.ExitStack):
    """While it is open, a framework's dropouts are such changes; `drawn` lists what they would have drawn.

    A rate that is `unmarked` changes nothing: that between the layers of torch's own recurrence cannot be reached.
    """

    def __init__(self, unmarked: frozenset[float] = frozenset()) -> None:
        super().__init__()
        self.drawn: list[Drawn] = []
        self._unmarked = unmarked

    def change(self, x: Any, sine: Any, is_ones: bool, rate: float, count: int, *, is_alpha: bool = False) -> Any:
        """x for a dropout of this rate that draws so many values.

        What draws for several values at once, as a dropout of ones does, multiplies. Where each value is drawn for, the
        change is not linear, so that no normalisation takes it back.
        """
        self.drawn.append(Drawn(round(float(rate), 6), int(count), is_alpha))
        if self.drawn[-1].rate in self._unmarked:
            return x
        return x * (1 + rate) if is_ones else x * (1 + rate * sine(3 * x) ** 2)


def torch_marked(module: Any, unmarked: frozenset[float], *, are_undropped: bool = False) -> Marking:
    """Of torch: as layers, as functions, and within attention and recurrence.

    `are_undropped` are the weights that attention returns: those that it multiplies by are not.
    """
    import torch
    from torch import nn
    from torch.nn import functional

    marking = Marking(unmarked)
    attention = functional.scaled_dot_product_attention

    def elements(is_alpha: bool) -> Any:
        def dropout(x: Any, p: float = 0.5, training: bool = not is_alpha, inplace: bool = False) -> Any:
            if not training or not p:
                return x
            return marking.change(x, torch.sin, bool((x == 1).all()), p, x.numel(), is_alpha=is_alpha)

        return dropout

    def channels(without_rows: int) -> Any:
        def dropout(x: Any, p: float = 0.5, training: bool = True, inplace: bool = False) -> Any:
            drawn = x.shape[:1] if x.dim() == without_rows else x.shape[:2]
            return marking.change(x, torch.sin, True, p, math.prod(drawn)) if training and p else x

        return dropout

    def attended(query: Any, key: Any, value: Any, attn_mask: Any = None, dropout_p: float = 0.0, *rest: Any,
                 **more: Any) -> Any:  # fmt: skip
        if not dropout_p:
            return attention(query, key, value, attn_mask, 0.0, *rest, **more)
        places = torch.eye(key.shape[-2], dtype=value.dtype).expand(*value.shape[:-1], -1)
        weights = attention(query, key, places, attn_mask, 0.0, *rest, **more)
        return marking.change(weights, torch.sin, False, dropout_p, weights.numel()) @ value

    def recurred(layer: Any, _: Any, answer: Any) -> None:
        out, sizes = answer[0], getattr(answer[0], "batch_sizes", None)
        count = out.numel() if sizes is None else len(sizes) * int(sizes[0]) * out.data.shape[-1]
        for _ in range(layer.num_layers - 1):
            marking.drawn.append(Drawn(round(layer.dropout, 6), count))

    def weighted(layer: Any, args: Any, kwargs: Any, answer: Any) -> Any:
        if answer[1] is None or not layer.dropout:
            return answer
        with mock.patch.object(layer, "dropout", 0.0):
            return answer[0], layer.forward(*args, **kwargs)[1]

    changed = {
        "dropout": elements(False), "alpha_dropout": elements(True), "dropout1d": channels(2),
        "dropout2d": channels(0), "dropout3d": channels(4), "scaled_dot_product_attention": attended,
    }  # fmt: skip
    for name, change in changed.items():
        marking.enter_context(mock.patch.object(functional, name, change))
    for part in module.modules():
        if isinstance(part, nn.RNNBase) and part.dropout:
            marking.callback(part.register_forward_hook(recurred).remove)
            marking.enter_context(mock.patch.object(part, "training", False))
        if are_undropped and isinstance(part, nn.MultiheadAttention):
            marking.callback(part.register_forward_hook(weighted, with_kwargs=True).remove)
    return marking


def drops_weights(module: Any) -> bool:
    """Whether any of torch's attention drops of the weights that it may return."""
    from torch import nn

    return any(isinstance(part, nn.MultiheadAttention) and part.dropout for part in module.modules())


def keras_marked(model: Any, unmarked: frozenset[float]) -> Marking:
    """Of Keras: all that draw by its backend, and the alpha dropouts of the model, which draw for themselves."""
    import keras
    import tensorflow as tf
    from keras.src.backend import random

    marking = Marking(unmarked)

    def drawn_for(inputs: Any, noise_shape: Any) -> list[int]:
        shape = [int(size) for size in inputs.shape]
        noise = noise_shape if noise_shape is not None else [None] * len(shape)
        return [whole if size is None else int(size) for whole, size in zip(shape, noise, strict=True)]

    def dropout(inputs: Any, rate: float, noise_shape: Any = None, seed: Any = None) -> Any:
        if not rate:
            return inputs
        drawn = drawn_for(inputs, noise_shape)
        is_ones = drawn != drawn_for(inputs, None) or bool(np.all(np.asarray(inputs) == 1))
        return marking.change(inputs, tf.sin, is_ones, rate, math.prod(drawn))

    def alpha(layer: Any) -> Any:
        def call(inputs: Any, training: bool = False) -> Any:
            if not training or not layer.rate:
                return inputs
            count = math.prod(int(size) for size in drawn_for(inputs, layer.noise_shape))
            return marking.change(inputs, tf.sin, False, layer.rate, count, is_alpha=True)

        return call

    marking.enter_context(mock.patch.object(random, "dropout", dropout))
    for layer in model._flatten_layers():
        if isinstance(layer, keras.layers.AlphaDropout):
            marking.enter_context(mock.patch.object(layer, "call", alpha(layer)))
    return marking


def inner_rates(module: Any) -> frozenset[float]:
    """Of dropout between the layers of torch's own recurrence."""
    from torch import nn

    layers = [part for part in module.modules() if isinstance(part, nn.RNNBase) and part.num_layers > 1]
    return frozenset(round(layer.dropout, 6) for layer in layers if layer.dropout)


def misplaced(wanted: Dropping, mine: Dropping, limit: float, named: list[str]) -> str:
    """What differs in answers and draws of the source and of the written model; empty where nothing does.

    That torch returns attention's weights after dropout, and Keras before, is `named`.
    """
    source, written = sorted(wanted.drawn), sorted(mine.drawn)
    if source != written:
        pairs = [(a, b) for a, b in zip(source, written, strict=False) if a != b]
        said = f"{pairs[0][0]} in the source, {pairs[0][1]} here" if pairs else f"{len(source)} calls, {len(written)}"
        return f"dropout draws otherwise: {said}"
    if _near(wanted.answers, mine.answers, limit):
        return ""
    if _near(wanted.undropped or wanted.answers, mine.undropped or mine.answers, limit):
        named.append("in training torch's attention returns its weights after dropout, Keras's before")
        return ""
    return "a dropout acts at another place than in the source"


def _near(one: Sequence[Array], other: Sequence[Array], limit: float) -> bool:
    """Whether all that are floats are the same but for this share of their largest value."""
    return all(
        a.dtype.kind != "f" or float(np.abs(a - b).max(initial=0)) <= limit * max(float(np.abs(a).max(initial=0)), 1e-3)
        for a, b in zip(one, other, strict=True)
    )
