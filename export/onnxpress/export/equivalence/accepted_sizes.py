"""Which sizes of the named dimensions the original takes: those that it refuses itself are left out, and told."""

from __future__ import annotations

from collections.abc import Sequence

from onnxpress.core.errors import BadModel
from onnxpress.core.tensors import TensorSpec
from onnxpress.export.equivalence.cases import Case
from onnxpress.export.equivalence.reference import Reference
from onnxpress.export.equivalence.report.schema import Check

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
        members = [case for case in cases if case.varied is not None and case.varied[0] == dimension]
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
            refused.append(case.pool)
    detail = f"left out, as the original itself fails: {', '.join(refused)}"
    return kept, [Check(name="sizes", passed=True, detail=detail)] if refused else []
