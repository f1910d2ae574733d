"""Constants that a converter computed from parameters: masks, triangles, symmetric weights, and the rows that are used.

Such a constant holds most of a parameter's values and others besides, as a damaged one does. So the expression is
computed again from the original's own parameters, in float64, and compared as a whole.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import permutations

import numpy as np

from onnxpress.core.arrays import Array

_ROUNDING = 4e-7
"""relative: three roundings of float32"""
_DIAGONALS = (-1, 0, 1)


def explained(parameter: Array, constant: Array, parameters: Mapping[str, Array]) -> bool:
    """Whether `constant` is an expression of `parameter`, and of another of `parameters` where it needs one.

    >>> weight, mask = np.arange(6.0).reshape(2, 3), np.array([[1.0, 0, 1], [0, 1, 1]])
    >>> explained(weight, weight * mask, {"weight": weight, "mask": mask})
    True
    """
    own = parameter.astype(np.float64)
    held = np.squeeze(constant)
    squeezed = np.squeeze(own)
    if squeezed.ndim == held.ndim and squeezed.shape != held.shape and _is_slice(squeezed, held):
        return True
    if held.size != own.size:
        return False
    return any(_in_some_order(held, np.squeeze(value)) for value in _expressions(own, parameters))


def _expressions(own: Array, parameters: Mapping[str, Array]) -> Iterator[Array]:
    for other in parameters.values():
        if other.dtype.kind in "fbiu" and other.size > 1 and _spreads(other.shape, own.shape):
            yield own * other.astype(np.float64)
    yield from _weight_norms(own, parameters)
    if own.ndim >= 2 and own.shape[-1] == own.shape[-2]:
        turned = own.swapaxes(-1, -2)
        yield (own + turned) / 2
        yield own + turned
        yield np.triu(own) + np.triu(own, 1).swapaxes(-1, -2)
        yield np.tril(own) + np.tril(own, -1).swapaxes(-1, -2)
    if own.ndim >= 2:
        for diagonal in _DIAGONALS:
            yield np.tril(own, diagonal)
            yield np.triu(own, diagonal)


def _weight_norms(own: Array, parameters: Mapping[str, Array]) -> Iterator[Array]:
    """The directions times their lengths: `own` divided by its norm over the axes that the lengths do not have.

    At the beginning, and where training left most channels alone, the lengths are those norms.
    """
    for lengths in parameters.values():
        apart = lengths.size == 1 or (lengths.ndim == own.ndim and _spreads(lengths.shape, own.shape))
        if lengths.dtype.kind != "f" or lengths.shape == own.shape or not apart:
            continue
        axes = tuple(axis for axis in range(own.ndim) if lengths.size == 1 or lengths.shape[axis] == 1)
        with np.errstate(all="ignore"):
            yield own * (lengths.astype(np.float64) / np.sqrt(np.sum(own**2, axis=axes, keepdims=True)))


def _spreads(shape: tuple[int, ...], over: tuple[int, ...]) -> bool:
    try:
        return np.broadcast_shapes(shape, over) == over
    except ValueError:
        return False


def _in_some_order(held: Array, value: Array) -> bool:
    if held.ndim != value.ndim or held.ndim > 5:
        return False
    allowed = _ROUNDING * np.abs(held)
    return any(
        value.transpose(order).shape == held.shape and bool(np.all(np.abs(value.transpose(order) - held) <= allowed))
        for order in permutations(range(value.ndim))
    )


def _is_slice(own: Array, held: Array) -> bool:
    """Whether `held` is a run of `own` along one axis: of a table of positions only the first are used, say."""
    axes = [axis for axis in range(own.ndim) if own.shape[axis] != held.shape[axis]]
    if len(axes) != 1 or held.shape[axes[0]] > own.shape[axes[0]] or not held.size:
        return False
    own, held = np.moveaxis(own, axes[0], 0), np.moveaxis(held, axes[0], 0)
    starts = np.flatnonzero(
        own.reshape(len(own), -1)[: len(own) - len(held) + 1, 0] == held.reshape(len(held), -1)[0, 0]
    )
    return any(np.array_equal(own[start : start + len(held)], held) for start in starts)
