"""erf for arrays in float64: numpy has none, and Python's own takes one number at a time.

W. J. Cody, Rational Chebyshev approximations for the error function, Mathematics of Computation 23 (1969) 631-637:
three ranges, each a quotient of polynomials, exact to a few units in the last place of float64.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from onnxpress.core.arrays import Array

# fmt: off
_NEAR = (
    (1.85777706184603153e-1, 3.16112374387056560, 1.13864154151050156e2, 3.77485237685302021e2, 3.20937758913846947e3),
    (1.0, 2.36012909523441209e1, 2.44024637934444173e2, 1.28261652607737228e3, 2.84423683343917062e3),
)
_MIDDLE = (
    (2.15311535474403846e-8, 5.64188496988670089e-1, 8.88314979438837594, 6.61191906371416295e1,
     2.98635138197400131e2, 8.81952221241769090e2, 1.71204761263407058e3, 2.05107837782607147e3, 1.23033935479799725e3),
    (1.0, 1.57449261107098347e1, 1.17693950891312499e2, 5.37181101862009858e2, 1.62138957456669019e3,
     3.29079923573345963e3, 4.36261909014324716e3, 3.43936767414372164e3, 1.23033935480374942e3),
)
_FAR = (
    (1.63153871373020978e-2, 3.05326634961232344e-1, 3.60344899949804439e-1, 1.25781726111229246e-1,
     1.60837851487422766e-2, 6.58749161529837803e-4),
    (1.0, 2.56852019228982242, 1.87295284992346725, 5.27905102951428412e-1, 6.05183413124413191e-2,
     2.33520497626869185e-3),
)
# fmt: on
_ONE_OVER_ROOT_PI = 0.56418958354775628695
_BLOCK = 1 << 15  # values at a time: a dozen arrays of them fit into the processor's cache


def erf(x: Array) -> Array:
    """2/√π ∫₀ˣ exp(-t²) dt, float64 of the shape of `x`; NaN stays NaN."""
    values = np.asarray(x, np.float64)
    flat = values.reshape(-1)
    result = np.empty_like(flat)
    for start in range(0, flat.size, _BLOCK):
        part = slice(start, start + _BLOCK)
        result[part] = _of_block(flat[part])
    return result.reshape(values.shape)


def _of_block(value: Array) -> Array:
    size = np.abs(value)
    result = np.where(np.isnan(value), np.nan, np.sign(value))  # from 6 on it is 1 in float64
    near, middle, far = size <= 0.46875, (size > 0.46875) & (size <= 4), (size > 4) & (size < 6)
    if near.any():
        part = value[near]
        result[near] = part * _quotient(_NEAR, part * part)
    if middle.any():
        part = size[middle]
        result[middle] = np.copysign(1 - np.exp(-part * part) * _quotient(_MIDDLE, part), value[middle])
    if far.any():
        part = size[far]
        inverse = 1 / (part * part)
        tail = (_ONE_OVER_ROOT_PI - inverse * _quotient(_FAR, inverse)) / part
        result[far] = np.copysign(1 - np.exp(-part * part) * tail, value[far])
    return result


def _quotient(polynomials: tuple[Sequence[float], Sequence[float]], x: Array) -> Array:
    above, below = polynomials
    result: Array = np.polyval(np.array(above), x) / np.polyval(np.array(below), x)
    return result
