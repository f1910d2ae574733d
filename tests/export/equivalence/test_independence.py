"""Rows are run together where that was measured and no operator surely combines them."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.serving.onnx_models import affine

from onnxpress.core.rows import Dependent, Proven
from onnxpress.export.equivalence.independence import judged, proof_of

SURE = Dependent("y", "softmax_3", "Softmax", "Softmax combines rows", True)
UNSURE = Dependent("y", "odd_1", "Odd", "the operator is not known", False)


@pytest.mark.parametrize(
    ("proof", "measured", "safe", "rows", "says"),
    [
        (Proven(), True, True, "proven", "and measured"),
        (Proven(), False, False, "proven", "but not measured so"),
        (SURE, True, False, "dependent (softmax_3)", "although no case that was asked shows it"),
        (SURE, False, False, "dependent (softmax_3)", "as the cases asked show"),
        (UNSURE, True, True, "measured", "not proven: odd_1 (Odd): the operator is not known"),
        (UNSURE, False, False, "dependent", "as the cases asked show"),
        (None, True, True, "measured", "no graph"),
    ],
)
def test_the_verdict(proof: Proven | Dependent | None, measured: bool, safe: bool, rows: str, says: str) -> None:
    found = judged(proof, measured)
    assert (found.safe, found.rows) == (safe, rows)
    assert says in found.check.detail
    assert found.check.passed


def test_a_file_and_its_bytes_prove_the_same(tmp_path: Path) -> None:
    path = tmp_path / "model.onnx"
    path.write_bytes(affine())
    assert proof_of(path) == proof_of(affine()) == Proven()
