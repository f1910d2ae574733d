"""A fitted estimator with its fitted values rounded to float32, which is what a float32 graph holds of it."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np


def rounded(estimator: Any) -> Any:
    """A deep copy whose fitted float64 values (`coef_`, `intercept_`) are the nearest float32, still as float64.

    The estimator computes on them as exactly as it always does. Values inside compiled objects, such as the trees,
    stay: they are compared with inputs, and are converted by rules of their own.
    """
    copied = copy.deepcopy(estimator)
    _round(copied, set())
    return copied


def _round(owner: Any, seen: set[int]) -> None:
    if id(owner) in seen or not hasattr(owner, "__dict__"):
        return
    seen.add(id(owner))
    for name, value in list(vars(owner).items()):
        if (fitted := _rounded(value, seen, fitted=name.endswith("_"))) is not value:
            setattr(owner, name, fitted)


def _rounded(value: Any, seen: set[int], *, fitted: bool) -> Any:
    """The value rounded; a container's own objects are rounded in place, settings and whole numbers stay."""
    if isinstance(value, np.ndarray) and value.dtype == np.float64:
        return value.astype(np.float32).astype(np.float64)
    if isinstance(value, float | np.float64):
        return type(value)(np.float32(value)) if fitted else value
    if type(value) in (list, tuple):
        parts = [_rounded(part, seen, fitted=fitted) for part in value]
        same = all(new is old for new, old in zip(parts, value, strict=True))
        return value if same else type(value)(parts)
    if isinstance(value, np.ndarray) and value.dtype == object:
        for part in value.ravel().tolist():
            _rounded(part, seen, fitted=fitted)
    elif hasattr(value, "get_params") or type(value).__module__.startswith("sklearn."):
        _round(value, seen)
    return value
