"""Whether rows may be run together: what was measured of the answers, and what the graph proves."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from onnxpress.core.onnx_graph import Model, open_model
from onnxpress.core.rows import Dependent, Proven, prove
from onnxpress.export.equivalence.report.schema import Check


@dataclass(frozen=True)
class Independence:
    """`safe`: the server may batch. `rows` is what the manifest says of it; the check is its sentence in the report."""

    safe: bool
    rows: str
    check: Check


def proof_of(content: bytes | Path) -> Proven | Dependent:
    """What the graph that is measured and served shows; weights are not looked at. Raises BadModel for no model."""
    if isinstance(content, bytes):
        return prove(Model(content))
    with open_model(content) as model:
        return prove(model)


def judged(proof: Proven | Dependent | None, measured: bool) -> Independence:
    """Rows are run together only where that was measured, and where the graph does not show that they are combined.

    The measurement alone decides where an operator is not followed; no proof (None) is such a case. A proof without the
    measurement is not enough either: a kernel may round so differently in a batch that the answer is another one.
    """
    if isinstance(proof, Proven):
        detail = "proven over the graph: no row's answer depends on another, on their number or on its place; "
        detail += "and measured, alone and in batches" if measured else "but not measured so, alone and in batches"
        return Independence(measured, "proven", _check(detail))
    if proof is not None and proof.definite:
        seen = ", although no case that was asked shows it" if measured else ", as the cases asked show"
        return Independence(False, f"dependent ({proof.node})", _check(f"dependent{seen}: {proof}"))
    why = "there is no graph to look at" if proof is None else str(proof)
    if not measured:
        return Independence(
            False, "dependent", _check("dependent, or without a row of its own, as the cases asked show")
        )
    return Independence(True, "measured", _check(f"measured, alone and in batches, but not proven: {why}"))


def _check(detail: str) -> Check:
    return Check(name="rows", passed=True, detail=detail)
