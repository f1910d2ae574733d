"""What a Keras model chooses among scores: the best, their order, their places, and boxes that do not overlap.

TensorFlow promises the first of equal values. Where noise alone tells two scores apart it may choose another one.
"""

from __future__ import annotations

from collections.abc import Callable
from types import TracebackType
from typing import Any

import numpy as np
import tensorflow as tf
from tensorflow.python.ops import gen_image_ops, gen_math_ops, gen_nn_ops

from onnxpress.core.arrays import Array
from onnxpress.export.networks.choosing import Choices, Turn

Stock = Callable[..., Any]


def choices() -> Choices:
    """How a model's runs choose. Eager runs alone show it."""
    return Choices(_Mode)


class _Mode:
    """While open, TensorFlow's choosing operators show what they choose from."""

    def __init__(self, turn: Turn | None) -> None:
        self.scores: list[Array] = []
        self._turn = turn
        self._before: list[tuple[Any, str, Stock]] = []

    def __enter__(self) -> _Mode:
        for module, name, choose in _CHOOSING:
            stock = getattr(module, name)
            self._before.append((module, name, stock))
            setattr(module, name, _seen(self, stock, choose))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, place: TracebackType | None
    ) -> None:
        for module, name, stock in self._before:
            setattr(module, name, stock)

    def noisy(self, scores: Any, axis: int | None) -> Any:
        """The scores with this turn's noise, in float64; None where they are chosen from as they are."""
        if not hasattr(scores, "numpy"):  # inside a function that is being traced
            return None
        values, place = np.array(scores), len(self.scores)
        self.scores.append(values)
        floats = scores.dtype.is_floating
        if self._turn is None or not floats or not values.ndim or not values.size or np.isnan(values).any():
            return None
        return tf.constant(self._turn.noisy(values, place, axis))


def _seen(mode: _Mode, stock: Stock, choose: Callable[..., Any]) -> Stock:
    def chosen(scores: Any, *args: Any, **kwargs: Any) -> Any:
        return choose(mode, stock, tf.convert_to_tensor(scores), *args, **kwargs)

    return chosen


def _best(mode: _Mode, stock: Stock, scores: Any, *args: Any, **kwargs: Any) -> Any:
    """Places by the noise, and the values that stand there."""
    noisy = mode.noisy(scores, -1)
    if noisy is None:
        return stock(scores, *args, **kwargs)
    best = stock(noisy, *args, **kwargs)
    return best._replace(values=tf.gather(scores, best.indices, batch_dims=scores.shape.rank - 1))


def _place(mode: _Mode, stock: Stock, scores: Any, axis: Any, *args: Any, **kwargs: Any) -> Any:
    noisy = mode.noisy(scores, int(axis) if hasattr(axis, "numpy") or isinstance(axis, int | np.integer) else None)
    return stock(scores if noisy is None else noisy, axis, *args, **kwargs)


def _apart(mode: _Mode, stock: Stock, boxes: Any, scores: Any, *args: Any, **kwargs: Any) -> Any:
    """Boxes that do not overlap: noise on their scores, and on where they lie."""
    scores = tf.convert_to_tensor(scores)
    moved, noisy = mode.noisy(boxes, None), mode.noisy(scores, None)
    boxes, scores = (
        one if other is None else tf.cast(other, one.dtype) for one, other in ((boxes, moved), (scores, noisy))
    )
    return stock(boxes, scores, *args, **kwargs)


_CHOOSING: list[tuple[Any, str, Callable[..., Any]]] = [
    (gen_nn_ops, "top_kv2", _best),
    (gen_math_ops, "arg_max", _place),
    (gen_math_ops, "arg_min", _place),
    *(
        (gen_image_ops, f"{kind}non_max_suppression{version}", _apart)
        for kind, version in (("", "_v3"), ("", "_v4"), ("", "_v5"), ("combined_", ""))
    ),
]
"""TensorFlow's own operators, as all of its functions and Keras's call them"""
