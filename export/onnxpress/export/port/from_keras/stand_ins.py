"""Numbers that stand for sizes that vary while a layer's call is traced, and what the call makes of such a number.

An array that is made as long as such a number, by `ops.arange(ops.shape(x)[1])`, would be of that length for good: it
stands in the graph instead.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

import keras
from keras import KerasTensor, ops, tree
from keras.src.backend import compute_output_spec
from keras.src.ops.node import Node

PRIMES = (7919, 7907, 7901, 7883, 7879, 7877, 7873, 7867, 7853, 7841, 7829, 7823, 7817, 7793, 7789, 7759)
"""numbers that no layer has"""
MAKERS = ("arange", "ones", "zeros", "full", "eye", "tri", "linspace")
"""of keras.ops"""
_SIGNATURES = {name: inspect.signature(getattr(ops, name)) for name in MAKERS}


def is_stand_in(value: Any) -> bool:
    """Whether a number is one of these, or some times one."""
    return type(value) is int and value > 0 and any(value % prime == 0 for prime in PRIMES)


class Made(keras.Operation):
    """What one of `MAKERS` is called with, by its arguments' names."""

    def __init__(self, kind: str, given: dict[str, Any]) -> None:
        super().__init__()
        self.kind, self.given = kind, given


def in_the_graph(kind: str, original: Callable[..., Any]) -> Callable[..., Any]:
    """The function of keras.ops of this name; of sizes that vary it answers a KerasTensor."""
    signature = _SIGNATURES[kind]

    def called(*args: Any, **kwargs: Any) -> Any:
        given = dict(signature.bind(*args, **kwargs).arguments)
        if not any(map(is_stand_in, tree.flatten(list(given.values())))):
            return original(*args, **kwargs)
        spec = compute_output_spec(original, *args, **kwargs)  # nothing so large is made
        found = KerasTensor(tuple(spec.shape), spec.dtype)
        Node(Made(kind, given), call_args=(), call_kwargs={}, outputs=[found])
        return found

    return called
