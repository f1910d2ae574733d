"""A floor as large as the answer is no floor: the verdict would be empty, and is not given."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from onnxpress.export import measure

ROWS = np.random.default_rng(0).standard_normal((40, 6)).astype(np.float32)
Function = Callable[[np.ndarray], dict[str, np.ndarray]]


def cancelling(by: float, weight: float = 1.0) -> Function:
    """x + by - by: in float32 as much of x is left as `by` leaves room for."""
    return lambda x: {"y": (x * x.dtype.type(weight) + x.dtype.type(by)) - x.dtype.type(by)}


def measured(original: Function, *, truth: bool = True) -> str:
    known = {"truth": original} if truth else {}
    return str(measure(original, original, inputs=["x:float32[batch,6]"], samples={"x": ROWS}, **known))


@pytest.mark.parametrize("by", [1e8, 1e9])
def test_what_is_lost_in_rounding_is_refused_and_named(by: float) -> None:
    told = measured(cancelling(by))
    assert "NOT equivalent" in told
    assert "failed: floor: y: rounding moves the original's own answers by" in told
    assert "an export that answers 0 would pass" in told


@pytest.mark.parametrize("by", [0.0, 1e3, 1e5])
@pytest.mark.parametrize("truth", [True, False])
def test_what_is_only_rounded_is_not(by: float, truth: bool) -> None:
    assert "NOT" not in measured(cancelling(by), truth=truth)


@pytest.mark.parametrize(
    "original",
    [
        lambda x: {"y": np.zeros_like(x)},
        lambda x: {"y": np.maximum(x - x.dtype.type(1e6), x.dtype.type(0))},
        lambda x: {"y": x * x.dtype.type(1e-20)},
        lambda x: {"y": x * x.dtype.type(1e-43)},
        lambda x: {"y": np.where(x > 2, x, x.dtype.type(0))},
        lambda x: {"y": x - x.mean(-1, keepdims=True)},
    ],
    ids=["zeros", "dead", "tiny", "subnormal", "seldom", "centred"],
)
def test_small_and_seldom_answers_are_no_lost_ones(original: Function) -> None:
    assert "NOT" not in measured(original)
