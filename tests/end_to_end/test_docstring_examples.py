"""Every name of the front door has a docstring with an example, and the examples say what comes out."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("skl2onnx")
pytest.importorskip("onnx")
pytest.importorskip("httpx")

from tests.serving.harness import started

from onnxpress import _public

IRIS = """
import numpy as np
from sklearn.datasets import load_iris
from sklearn.linear_model import LogisticRegression

iris = load_iris()
rows = iris.data[[0, 149]].astype("float32")

def build(C=0.01):
    return LogisticRegression(C=C, max_iter=500).fit(iris.data, iris.target_names[iris.target])
"""
PREPARE = """
import onnxpress
from other_iris import build, rows
onnxpress.export(build(C=1.0), name="iris", samples={"features": rows})
"""


def run(folder: Path, *command: object) -> str:
    done = subprocess.run(
        [sys.executable, *map(str, command)], cwd=folder, capture_output=True, text=True, timeout=200, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def outcome(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """Name → how many examples it has, and what went wrong in them."""
    folder = tmp_path_factory.mktemp("examples")
    (folder / "other_iris.py").write_text(IRIS)
    run(folder, "-c", PREPARE)
    with started(folder / "models") as server:
        said = run(folder, Path(__file__).with_name("docstring_examples.py"), server.url)
    (line,) = [line for line in said.splitlines() if line.startswith("RESULT ")]
    found: dict[str, Any] = json.loads(line.removeprefix("RESULT "))
    return found


@pytest.mark.parametrize("name", sorted({*_public.NAMES} - {"__version__"}))
def test_a_name_has_examples_that_are_true(outcome: dict[str, Any], name: str) -> None:
    assert outcome[name]["examples"] > 0
    assert outcome[name]["said"] == ""


def test_the_clients_calls_have_them_too(outcome: dict[str, Any]) -> None:
    for call in ("infer", "metadata", "ready"):
        assert outcome[f"Client.{call}"]["examples"] > 0
        assert outcome[f"Client.{call}"]["said"] == ""
        assert f"AsyncClient.{call}" in outcome
