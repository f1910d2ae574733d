"""The dashboard and the alert rules in docs/monitoring ask for metrics, labels and values that a server has."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.serving.harness import ask, infer_body, started
from tests.serving.onnx_models import affine, plain, publish_affine
from tests.serving.onnx_models import publish as publish_with
from tests.serving.publishing import publish

from onnxpress.core.manifest import Derived
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


def test_a_real_server_exports_each_of_them(tmp_path: Path) -> None:
    """With a sample, not only by name: a server that has a model of every kind, and a failed one."""
    publish_affine(tmp_path)
    derived = Derived(version=1, sha256="0" * 64, precision="w8", method="m", told="t", rows=1, smaller=2.0)
    spec = ["x:float32[batch,3]"], ["y:float32[batch,2]"]
    publish_with(tmp_path, "derived", affine(), *spec, derived=derived)
    plain(tmp_path, "broken", b"no")
    with started(tmp_path, "--isolate") as server:
        assert ask(server.port, "POST", "/v2/models/affine/infer", infer_body([[1, 2, 3]])).status == 200
        assert ask(server.port, "GET", "/nothing").status == 404
        lines = ask(server.port, "GET", "/metrics").body.decode().splitlines()
    exported = {re.split(r"[ {]", line)[0] for line in lines if not line.startswith("#")}
    asked = {name for expression in (*dashboard(), *alerts()) for name, _ in _METRIC.findall(expression)}
    assert asked - exported == set()
    assert len(asked) > 15


@pytest.mark.skipif(shutil.which("promtool") is None, reason="needs promtool, of the package prometheus")
def test_promtool_finds_nothing_wrong_with_the_rules_and_the_metrics(tmp_path: Path) -> None:
    subprocess.run(["promtool", "check", "rules", str(FOLDER / "alerts.yaml")], check=True, timeout=60)
    expressions = [re.sub(r"\$__rate_interval", "5m", expression) for expression in dashboard()]
    rules = [{"record": f"panel:{number}", "expr": text} for number, text in enumerate(expressions)]
    (tmp_path / "rules.yaml").write_text(json.dumps({"groups": [{"name": "panels", "rules": rules}]}))
    subprocess.run(["promtool", "check", "rules", str(tmp_path / "rules.yaml")], check=True, timeout=60)
    publish_affine(tmp_path / "models")
    with started(tmp_path / "models") as server:
        assert ask(server.port, "POST", "/v2/models/affine/infer", infer_body([[1, 2, 3]])).status == 200
        metrics = ask(server.port, "GET", "/metrics").body
    done = subprocess.run(["promtool", "check", "metrics"], input=metrics, capture_output=True, timeout=60)
    # 3 is what promtool thinks of style: a gauge may not end in _total, say.
    assert (done.returncode, done.stderr) in [(0, b""), (3, done.stderr)], done.stderr
    assert b"error while linting" not in done.stderr
