"""Which sizes the original takes: those that it refuses itself are left out and told, and so is a batch of no rows."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from onnxpress.core.errors import BadData, BadModel, OnnxpressError
from onnxpress.core.tensors import TensorSpec
from onnxpress.export.equivalence.inputs import Case
from onnxpress.export.equivalence.reference import Reference
from onnxpress.export.equivalence.report import Check
from onnxpress.serving.engine import Engine

Array = np.ndarray[Any, np.dtype[Any]]
_ENOUGH = 2
"""sizes of a dimension without which it cannot be said to vary"""


def accepted(
    reference: Reference, cases: Sequence[Case], inputs: Sequence[TensorSpec]
) -> tuple[list[Case], list[Check]]:
    """The cases without those of a named dimension's sizes that the original fails on, and a check that tells them.

    Raises the original's own BadModel where it takes fewer than two sizes of a dimension.
    """
    kept, refused = list(cases), []
    for dimension in sorted({name for spec in inputs for name in spec.named_dimensions} - {"batch"}):
        members = [case for case in cases if case.kind.startswith(f"{dimension} ")]
        failed: list[tuple[Case, BadModel]] = []
        for case in members:
            try:
                reference.run(case.feeds)
            except BadModel as error:
                failed.append((case, error))
        if failed and len(members) - len(failed) < _ENOUGH:
            raise failed[-1][1]
        for case, _ in failed:
            kept.remove(case)
            refused.append(case.kind)
    detail = f"left out, as the original itself fails: {', '.join(refused)}"
    return kept, [Check(name="sizes", passed=True, detail=detail)] if refused else []


def without_rows(reference: Reference, engine: Engine, case: Case, inputs: Sequence[TensorSpec]) -> Check:
    """Whether a batch of no rows is answered as the original does. Told, not demanded: few models are sent one."""
    feeds = {
        spec.name: case.feeds[spec.name][:0] if spec.shape[:1] == ("batch",) else case.feeds[spec.name]
        for spec in inputs
    }

    def told(detail: str) -> Check:
        return Check(name="no rows", passed=True, detail=detail)

    try:
        expected = reference.run(feeds)
    except (OnnxpressError, ArithmeticError, LookupError, TypeError, ValueError):
        return told("the original does not answer a batch of no rows")
    try:
        found = engine.run(feeds)
    except BadData as error:
        return told(f"a batch of no rows is not answered, though the original does: {error.what}")
    shapes = {name: (value.shape, list(expected[name].shape)) for name, value in found.items()}
    other = [f"{name} {list(got)}, not {want}" for name, (got, want) in shapes.items() if list(got) != want]
    return told(f"a batch of no rows is answered otherwise: {'; '.join(other)}" if other else "answered")
