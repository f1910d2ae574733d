"""Outputs whose answers are lost in the original's own rounding: their floor is as large as they are.

What subtracts two nearly equal numbers may answer nothing but noise in float32. Ten floors are then more than the
answer, and an export that says 0 would be called equivalent. Such a verdict is empty, and is not given.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np

from onnxpress.core.tensors import TensorSpec
from onnxpress.export.equivalence.report.schema import Check
from onnxpress.export.equivalence.results import CaseResult

_ORDINARY = frozenset({"samples", "generated", "normal"})
"""kinds of cases at the scale that the author showed; far from it rounding is another"""
_LEAST = 16 * float(np.finfo(np.float32).tiny)
"""smaller answers are lost in what float32 can hold, not in rounding"""


def check(
    results: Sequence[CaseResult], outputs: Sequence[TensorSpec], limit: float, bounded: Iterable[str] = ()
) -> list[Check]:
    """A failed check for every float output that answers 0 within `limit` floors on every ordinary case.

    An output whose truth is 0 everywhere is left alone, and so is one that is `bounded`: a rare class is read on the
    scale of its bounds.
    """
    ordinary = [result for result in results if result.case.kind in _ORDINARY]
    return [
        _failed(spec.name, *found)
        for spec in outputs
        if spec.name not in set(bounded) and (found := _lost(spec.name, ordinary, limit)) is not None
    ]


def _lost(name: str, results: Sequence[CaseResult], limit: float) -> tuple[float, float] | None:
    """The largest answer and the floor there, where none of them is further than `limit` floors from 0."""
    largest, at = 0.0, 0.0
    for result in results:
        answer, floor = result.golden.outputs[name], result.golden.floors[name]
        truth = answer if result.truth is None else result.truth[name]
        if answer.dtype.kind != "f" or truth.shape != answer.shape:
            return None
        size = np.where(np.isfinite(truth) & np.isfinite(floor), np.abs(truth.astype(np.float64)), 0.0)
        if (size > limit * floor).any():
            return None
        if size.size and size.max() > largest:
            largest, at = float(size.max()), float(np.broadcast_to(floor, size.shape).flat[int(size.argmax())])
    return (largest, at) if largest > _LEAST else None


def _failed(name: str, largest: float, floor: float) -> Check:
    detail = f"{name}: rounding moves the original's own answers by {floor:.3g}, and none is larger than "
    detail += f"{largest:.3g}: an export that answers 0 would pass. Compute this output in float64"
    return Check(name="floor", passed=False, detail=detail)
