"""A large source without its weights, which lie in a file while its twin in float64 and the written model are asked."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping, MutableMapping
from typing import Any

import numpy as np

from onnxpress.core.arrays import Array
from onnxpress.export.port.proof.aside import filed, hand_back


@contextlib.contextmanager
def emptied(module: Any, state: Mapping[str, Array]) -> Iterator[None]:
    """The torch module holds none of the parameters and buffers that `state` has; afterwards it has them again."""
    import torch

    held = [(n, v) for n, v in [*module.named_parameters(), *module.named_buffers()] if n in state]
    for _, value in held:
        value.data = torch.empty(0, dtype=value.dtype)
    hand_back()
    try:
        yield
    finally:
        for name, value in held:
            value.data = torch.from_numpy(state[name])


class KerasWeights:
    """Those of a Keras model by their place, be they in its variables or in a file."""

    def __init__(self, model: Any) -> None:
        self._weights = list(model.weights)
        self._filed: MutableMapping[int, Array] = {}
        self._are_aside = False

    def __getitem__(self, place: int) -> Array:
        return self._filed[place] if self._are_aside else np.asarray(self._weights[place])

    def put_aside(self) -> None:
        """The variables are empty from now on."""
        import tensorflow as tf

        if not self._filed:
            self._filed = filed(dict(enumerate(self._weights)))
        for weight in self._weights:
            _assign(weight, tf.zeros([0], weight.dtype))
        self._are_aside = True
        hand_back()

    def bring_back(self) -> None:
        """The variables have their values."""
        if self._are_aside:
            for place, weight in enumerate(self._weights):
                _assign(weight, self._filed[place])
        self._are_aside = False


def _assign(weight: Any, value: Any) -> None:
    """A value of any shape, which Keras would not take."""
    import tensorflow as tf

    tf.raw_ops.AssignVariableOp(resource=weight.value.handle, value=value)
