"""What Keras adds to the loss for the size of weights, as torch's own parameters say it."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any

import numpy as np
from keras import regularizers

from onnxpress.export.port.from_keras.shared import Carried, parts_of
from onnxpress.export.port.penalty import Penalty


def penalties(weights: Sequence[Any], carried: Sequence[Carried], parameters: Collection[str]) -> dict[int, Penalty]:
    """The place of each regularised weight of Keras → its penalty; without those that sums over parameters cannot say.

    `parameters` are the written model's, each by one name.
    """
    found = {}
    for place, regularizer, parts in parts_of(weights, "regularizer", carried, parameters):
        factors = _factors(regularizer)
        if factors is not None and parts and _each_value_once(weights[place], parts):
            found[place] = Penalty(tuple(one.name for one in parts), *factors)
    return found


def _factors(regularizer: Any) -> tuple[float, float] | None:
    """Of absolute values and of squares."""
    if type(regularizer) not in (regularizers.L1, regularizers.L2, regularizers.L1L2):
        return None
    config = regularizer.get_config()
    return _short(config.get("l1", 0.0)), _short(config.get("l2", 0.0))


def _short(factor: Any) -> float:
    """As it was given: Keras holds some in float32, where 0.001 has more digits."""
    return float(str(np.float32(factor)))


def _each_value_once(weight: Any, parts: Sequence[Carried]) -> bool:
    """Whether the parameters hold the weight's values, each once, in whatever order."""
    values = np.arange(1.0, 1.0 + int(np.prod(weight.shape))).reshape(tuple(weight.shape))
    held = np.concatenate([np.ravel(one.carry(values)) for one in parts])
    return np.array_equal(np.sort(held), np.ravel(values))
