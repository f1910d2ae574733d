"""Which cases the original itself answers: those that it fails on are left out, and told."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from onnxpress.core.errors import BadModel, OnnxpressError
from onnxpress.core.tensors import TensorSpec
from onnxpress.export.equivalence.cases import Case
from onnxpress.export.equivalence.reference import Reference
from onnxpress.export.equivalence.report.schema import Check

_ENOUGH = 2
"""sizes of a dimension without which it cannot be said to vary"""
_MADE_UP = frozenset({"normal", "magnitudes", "turns", "integers", "zeros", "large", "tiny", "extremes"})
"""kinds whose values nobody showed or declared"""
_ROW_BY_ROW = frozenset({"turns", "integers", "generated", "extremes"})
"""kinds of which those rows are kept that the original answers: it may know some integers and not others"""


def answerable(
    reference: Reference, cases: Sequence[Case], inputs: Sequence[TensorSpec]
) -> tuple[list[Case], list[Check]]:
    """The cases without the made-up ones that the original fails on, and a check that tells them.

    Of integers that nobody showed the rows are kept that the original answers.

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
    shown = any(case.kind == "samples" for case in cases)  # else generated rows are all that is known to be answered
    made_up = _MADE_UP | {"generated"} if shown else _MADE_UP
    values = [case for case in kept if case.kind in made_up and not answers(reference, case)]
    known = {case.name for case in kept if case not in values}
    fewer = [_answered_rows(reference, case, inputs) for case in values if case.kind in _ROW_BY_ROW]
    kept = [case for case in kept if case not in values]
    kept += [case for case in fewer if case is not None and case.name not in known]
    checks = []
    for name, pools in (("sizes", refused), ("values", list(dict.fromkeys(case.pool for case in values)))):
        if pools:
            detail = f"left out, as the original itself fails: {', '.join(pools)}"
            checks.append(Check(name=name, passed=True, detail=detail))
    return kept, checks


def _answered_rows(reference: Reference, case: Case, inputs: Sequence[TensorSpec]) -> Case | None:
    """The case of those rows alone that the original answers; None where there are none, or not together."""
    axes = {spec.name: spec.shape.index("batch") for spec in inputs if "batch" in spec.shape}

    def of(rows: Sequence[int]) -> Case:
        feeds = {
            name: np.take(value, rows, axes[name]) if name in axes else value for name, value in case.feeds.items()
        }
        return replace(case, batch=len(rows), feeds=feeds)

    answered = [row for row in range(case.batch) if answers(reference, of([row]))]
    found = of(answered) if answered else None
    return found if found is not None and answers(reference, found) else None


def answers(reference: Reference, case: Case) -> bool:
    """Whether the original answers the case at all."""
    try:
        reference.run(case.feeds)
    except (OnnxpressError, ArithmeticError, LookupError, TypeError, ValueError):
        return False
    return True
