"""A refused export that its author publishes all the same, with the reason in every place that shows the version."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import msgspec
import numpy as np

from onnxpress.core.arrays import Array
from onnxpress.core.errors import UsageError
from onnxpress.core.golden import Golden
from onnxpress.export.equivalence.runtime.rungs import EnginePool
from onnxpress.export.graph import external_data
from onnxpress.export.pipeline.convert import Converted
from onnxpress.export.pipeline.measure import Measured


def reason_of(given: str | None) -> str:
    """The reason in one line; empty where no refusal is accepted. Raises UsageError for an empty one."""
    if given is None:
        return ""
    reason = " ".join(given.split())
    if not reason:
        raise UsageError("--accept-refusal wants the reason", hint="say why this version may be served all the same")
    return reason


def accepted(measured: Measured, converted: Converted, reason: str, provider: str) -> Measured:
    """The evidence with the reason in it, and golden samples that hold what this export answered here.

    The reference's answers are what it failed to give. The replay then shows, on another machine, that it still
    answers what it answered when it was accepted.
    """
    pool = EnginePool(external_data.loadable(converted.graph, converted.folder), provider)
    rung = pool.rung(measured.session)
    goldens = [_own(golden, rung.run(golden.inputs)) for golden in measured.goldens]
    pool.release()
    return replace(measured, report=msgspec.structs.replace(measured.report, accepted=reason), goldens=goldens)


def _own(golden: Golden, answers: Mapping[str, Array]) -> Golden:
    return Golden(
        golden.inputs, dict(answers), {name: _floor(value, golden.floors.get(name)) for name, value in answers.items()}
    )


def _floor(answer: Array, floor: Array | None) -> Array:
    """The reference's floor, but never below the answer's own precision; of what is no float, its near-ties."""
    if answer.dtype.kind not in "fV":
        return floor if floor is not None and floor.shape == answer.shape else np.zeros(answer.shape)
    value = np.abs(np.where(np.isfinite(answer), answer, 0).astype(np.float64))
    least = np.full(answer.shape, float(np.finfo(answer.dtype).eps) * value.max(initial=0.0))
    return np.fmax(least, floor) if floor is not None and floor.shape == answer.shape else least
