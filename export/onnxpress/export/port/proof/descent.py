"""Plain gradient descent of both sides of the fourth rung, in steps so small that no model runs away.

The source's gradients set the rate of every step: no value moves by more than 0.01, and all together move by no more
than 0.1. A rate that the first gradient alone sets is one at which a deep network's losses may grow without end.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from onnxpress.core.arrays import Array

STEPS = 20
_LONGEST, _TOGETHER = 0.01, 0.1


def rate_of(gradients: Iterable[Array]) -> float:
    """The rate of a step along these."""
    largest, squares = 1.0, 0.0
    for gradient in gradients:
        if gradient.size:
            largest = max(largest, float(gradient.max()), -float(gradient.min()))
            squares += float(np.vdot(gradient, gradient))
    return _LONGEST / max(largest, math.sqrt(squares) * _LONGEST / _TOGETHER)


def step_of_torch(parameters: Mapping[str, Any], gradients: Mapping[str, Array], rate: float) -> None:
    """Move these parameters of a torch module, in place."""
    import torch

    with torch.no_grad():
        for name, parameter in parameters.items():
            parameter.sub_(torch.from_numpy(gradients[name]), alpha=rate)


def step_of_keras(variables: Iterable[Any], gradients: Iterable[Array], rate: float) -> None:
    """Move these variables of Keras, in place."""
    import tensorflow as tf

    for variable, gradient in zip(variables, gradients, strict=True):
        variable.value.assign_sub(tf.constant(rate, gradient.dtype) * gradient)
