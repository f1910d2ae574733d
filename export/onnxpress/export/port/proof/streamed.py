"""Gradients by weights, kept as they come: of a large model none stays in memory while the others are computed."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping, MutableMapping, Sequence
from functools import partial
from typing import Any

import numpy as np

from onnxpress.core.arrays import Array


@contextlib.contextmanager
def gradients_of(parameters: Mapping[str, Any], into: MutableMapping[Any, Array], *, large: bool) -> Iterator[set[str]]:
    """What backward() leaves on these tensors of torch is put `into` this; the names of those that it reaches.

    Of a `large` model each is as soon as it is there, and is on the tensor no more.
    """
    reached: set[str] = set()

    def take(name: str, parameter: Any) -> None:
        gradient = parameter.grad.numpy()
        # Blocks that compute themselves anew in backward(), to save memory, leave a weight of several of them its
        # gradient in as many parts.
        into[name] = into[name] + gradient if name in reached else gradient
        reached.add(name)
        parameter.grad = None

    with contextlib.ExitStack() as hooks:
        for name, parameter in parameters.items() if large else ():
            if parameter.requires_grad:
                hooks.callback(parameter.register_post_accumulate_grad_hook(partial(take, name)).remove)
        yield reached
    for name, parameter in parameters.items():
        if name not in reached:
            into[name] = gradient_of(parameter)
            if parameter.grad is not None:
                reached.add(name)


def gradient_of(tensor: Any) -> Array:
    """What backward() left on a tensor of torch; zeros where nothing reached it."""
    # The array is the tensor's own: what clears the gradient makes another tensor.
    return np.zeros(tuple(tensor.shape)) if tensor.grad is None else tensor.grad.numpy()


def hand_over(take: Callable[[Any, Array], None], names: Sequence[Any], gradients: Sequence[Any]) -> None:
    """Within a traced function of TensorFlow: give each gradient to `take` when it is computed, and keep none."""
    import tensorflow as tf

    def taken(name: Any, array: Array) -> bool:
        take(name, array)
        return True

    # One is taken after the other, and the last layer's is there first.
    for name, gradient in reversed([*zip(names, gradients, strict=True)]):
        tf.numpy_function(partial(taken, name), [gradient], tf.bool)
