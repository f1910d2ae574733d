"""What Keras keeps weights within after each step, in the axes of torch's own parameters."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any

import numpy as np
from keras import constraints

from onnxpress.core.arrays import Array
from onnxpress.export.port.bounds import Bound
from onnxpress.export.port.from_keras.shared import Carried, parts_of


def bounds(
    weights: Sequence[Any], carried: Sequence[Carried], parameters: Collection[str]
) -> dict[int, tuple[str, Bound]]:
    """The place of each constrained weight of Keras → (parameter, its bound); without those that torch cannot say.

    `parameters` are the written model's, each by one name.
    """
    found = {}
    for place, constraint, parts in parts_of(weights, "constraint", carried, parameters):
        if len(parts) == 1 and (bound := _bound(constraint, tuple(weights[place].shape), parts[0])) is not None:
            found[place] = (parts[0].name, bound)
    return found


def _bound(constraint: Any, shape: tuple[int, ...], part: Carried) -> Bound | None:
    kind = type(constraint)
    if kind is constraints.NonNeg:
        return Bound(())
    if kind not in (constraints.MaxNorm, constraints.UnitNorm, constraints.MinMaxNorm):
        return None
    dims = _dims(shape, constraint.axis, part)
    if dims is None:
        return None
    if kind is constraints.UnitNorm:
        return Bound(dims, 1.0, 1.0)
    if kind is constraints.MaxNorm:
        return Bound(dims, 0.0, float(constraint.max_value))
    return Bound(dims, float(constraint.min_value), float(constraint.max_value), float(constraint.rate))


def _dims(shape: tuple[int, ...], axis: Any, part: Carried) -> tuple[int, ...] | None:
    """The parameter's axes over which a norm is taken that Keras takes over `axis`; None where there are no such.

    Seen at what the parameter holds of the places of the weight's values: each group of Keras's must be one of torch's.
    """
    axes = sorted({n % len(shape) for n in ([axis] if isinstance(axis, int) else axis)})
    kept = [1 if n in axes else size for n, size in enumerate(shape)]
    groups = np.broadcast_to(np.arange(float(np.prod(kept))).reshape(kept), shape)
    held = part.carry(np.ascontiguousarray(groups))
    if held.size != groups.size:
        return None
    dims = tuple(n for n in range(held.ndim) if held.shape[n] > 1 and _same_along(held, n))
    if not dims:
        return (0,) if held.ndim == 1 and held.size == 1 else None
    together = int(np.prod([held.shape[n] for n in dims]))
    return dims if together == int(np.prod([shape[n] for n in axes])) else None


def _same_along(held: Array, axis: int) -> bool:
    return bool(np.all(held == np.take(held, [0], axis=axis)))
