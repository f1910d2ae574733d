"""Which cases the original itself answers: those that it fails on are left out, and told."""

from __future__ import annotations

from collections.abc import Sequence

from onnxpress.core.errors import BadModel, OnnxpressError
from onnxpress.core.tensors import TensorSpec
from onnxpress.export.equivalence.cases import Case
from onnxpress.export.equivalence.reference import Reference
from onnxpress.export.equivalence.report.schema import Check

_ENOUGH = 2
"""sizes of a dimension without which it cannot be said to vary"""
_MADE_UP = frozenset({"normal", "magnitudes", "zeros", "large", "tiny"})
"""kinds whose values nobody showed or declared"""


def answerable(
    reference: Reference, cases: Sequence[Case], inputs: Sequence[TensorSpec]
) -> tuple[list[Case], list[Check]]:
    """The cases without the made-up ones that the original fails on, and a check that tells them.

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
    values = [case for case in kept if case.kind in _MADE_UP and not answers(reference, case)]
    kept = [case for case in kept if case not in values]
    checks = []
    for name, pools in (("sizes", refused), ("values", list(dict.fromkeys(case.pool for case in values)))):
        if pools:
            detail = f"left out, as the original itself fails: {', '.join(pools)}"
            checks.append(Check(name=name, passed=True, detail=detail))
    return kept, checks


def answers(reference: Reference, case: Case) -> bool:
    """Whether the original answers the case at all."""
    try:
        reference.run(case.feeds)
    except (OnnxpressError, ArithmeticError, LookupError, TypeError, ValueError):
        return False
    return True
