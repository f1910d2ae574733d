"""`equivalence.json` is what its schema in the docs says."""

from __future__ import annotations

import json
import math
from pathlib import Path

from onnxpress.export.equivalence.report import schema as reports
from onnxpress.export.equivalence.report.schema import CaseFigure, Explanation, Report

SCHEMA = Path(__file__).parents[4] / "docs" / "equivalence.schema.json"


def test_the_schema_in_the_docs_is_that_of_the_code() -> None:
    assert SCHEMA.read_bytes() == reports.schema(), (
        "write it again: python -c 'from onnxpress.export.equivalence.report import schema; "
        'print(schema.schema().decode(), end="")\' > docs/equivalence.schema.json'
    )


def test_infinities_are_written_as_null() -> None:
    report = Report(
        equivalent=False,
        worst_multiple=math.inf,
        limit=10.0,
        floor="ulp",
        batch_safe=False,
        batch_multiple=math.inf,
        outputs=[],
        cases=[CaseFigure(name="a", batch=1, multiples={"y": math.inf})],
        ladder=[],
        checks=[],
        explanation=Explanation(case="a", layer="", detail="first differs at the model's own forward"),
    )
    document = json.loads(reports.encode(report))
    assert document["format"] == reports.FORMAT
    assert document["worst_multiple"] is None
    assert document["cases"][0]["multiples"]["y"] is None
    assert "first differs" in str(report)
