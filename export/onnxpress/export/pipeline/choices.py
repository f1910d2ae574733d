"""The cases of a refused export without those that a tie decides, if there are such."""

from __future__ import annotations

from dataclasses import replace

from onnxpress.export.equivalence.report.schema import Check
from onnxpress.export.equivalence.ties import tied
from onnxpress.export.graph import external_data
from onnxpress.export.pipeline.convert import Converted
from onnxpress.export.pipeline.prepare import Prepared


def without_ties(prepared: Prepared, converted: Converted) -> Prepared | None:
    """`prepared` without the far cases in which equal scores are chosen from, and a check that names them.

    None where there are none, or where nothing would be left.
    """
    if external_data.is_beside(converted.graph):
        return None
    found = tied(converted.graph, prepared.cases)
    kept = [case for case in prepared.cases if case.name not in found]
    if not found or not kept:
        return None
    listed = "; ".join(f"{name}, at {node}" for name, node in found.items())
    check = Check(name="ties", passed=True, detail=f"left out, as equal scores are chosen from: {listed}")
    return replace(prepared, cases=kept, checks=[*prepared.checks, check])
