"""The dashboard and the alert rules in docs/monitoring ask for metrics, labels and values that a server has."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.serving.publishing import publish

from onnxpress.serving.metrics.collected import families
from onnxpress.serving.models.repository import Repository
from onnxpress.serving.service import Service

FOLDER = Path(__file__).parents[3] / "docs" / "monitoring"
_METRIC = re.compile(r"\b((?:onnxpress|process)_[a-z_]+)(?:\{([^}]*)\})?")


def dashboard() -> Iterator[str]:
    for panel in json.loads((FOLDER / "grafana.json").read_text())["panels"]:
        yield from (target["expr"] for target in panel["targets"])


def alerts() -> Iterator[str]:
    yaml = pytest.importorskip("yaml")
    document: Any = yaml.safe_load((FOLDER / "alerts.yaml").read_text())
    for rule in document["groups"][0]["rules"]:
        assert rule.keys() - {"for"} == {"alert", "expr", "labels", "annotations"}
        yield rule["expr"]


@pytest.mark.parametrize("expressions", [dashboard, alerts])
def test_every_metric_is_one_that_is_exported(tmp_path: Path, expressions: Any) -> None:
    publish(tmp_path, "tiny")
    repository = Repository(tmp_path)
    repository.load()
    try:
        found = families(Service(repository))
    finally:
        repository.close()
    names = {family.name for family in found}
    names |= {f"{one.name}_{part}" for one in found if one.kind == "histogram" for part in ("bucket", "sum", "count")}
    samples = " ".join(sample for family in found for sample in family.samples)
    outcomes = set(re.findall(r'outcome="([a-z]+)"', samples))
    asked = list(expressions())
    assert len(asked) > 5
    for expression in asked:
        metrics = _METRIC.findall(expression)
        assert metrics, expression
        for name, labels in metrics:
            assert name in names, expression
            for outcome in re.findall(r'outcome!?="([a-z]+)"', labels):
                assert outcome in outcomes, expression
        assert expression.count("(") == expression.count(")")
