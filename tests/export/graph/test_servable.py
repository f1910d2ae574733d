"""Custom operators are refused by name, with where they come from, unless they are allowed."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner

onnx = pytest.importorskip("onnx")

from tests.export.graph.chain import write  # noqa: E402

from onnxpress.core.errors import BadModel  # noqa: E402
from onnxpress.export.pipeline.export import export  # noqa: E402
from onnxpress.export.source import SourceRef  # noqa: E402
from onnxpress.export.sources.resolve import resolve  # noqa: E402

DOMAIN = "com.microsoft.nchwc"
ORDERS = [f"{DOMAIN}:ReorderInput", f"{DOMAIN}:ReorderOutput"]


def test_each_is_listed_with_its_place_and_origin(tmp_path: Path) -> None:
    write(tmp_path / "net.onnx", [("ai.onnx.contrib", "BertTokenizer", {}), ("mine", "Secret", {})])
    with pytest.raises(BadModel) as caught:
        export(resolve(str(tmp_path / "net.onnx")), repository=tmp_path / "models")
    said = str(caught.value)
    assert "ai.onnx.contrib:BertTokenizer (in step0; from the package onnxruntime-extensions)" in said
    assert "mine:Secret (in step1)" in said
    assert "--allow-operator ai.onnx.contrib:BertTokenizer --allow-operator mine:Secret" in said


def test_what_is_allowed_by_name_is_measured_and_published(tmp_path: Path) -> None:
    from onnxpress.export.cli import export

    nodes = [(DOMAIN, "ReorderInput", {}), (DOMAIN, "ReorderOutput", {"channels": 16})]
    write(tmp_path / "net.onnx", nodes)
    arguments = [str(tmp_path / "net.onnx"), "--repository", str(tmp_path / "models"), "--allow-operator", ORDERS[0]]
    with pytest.raises(BadModel, match=f"custom operators: {ORDERS[1]}"):
        CliRunner().invoke(export, arguments, catch_exceptions=False)
    CliRunner().invoke(export, [*arguments, "--allow-operator", ORDERS[1]], catch_exceptions=False)
    assert (tmp_path / "models" / "net" / "1" / "manifest.json").exists()


def test_an_allowed_operator_that_the_runtime_lacks_is_its_refusal(tmp_path: Path) -> None:
    write(tmp_path / "net.onnx", [("mine", "Secret", {})])
    with pytest.raises(BadModel, match=r"ONNX Runtime cannot load it.*mine"):
        export(
            resolve(SourceRef(reference=str(tmp_path / "net.onnx"), allow_operators=["mine:Secret"])),
            repository=tmp_path / "models",
        )
