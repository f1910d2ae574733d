"""Custom operators are refused by name, with where they come from, unless they are allowed; the opset is a choice."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

onnx = pytest.importorskip("onnx")

from onnxpress.core.errors import BadModel, UsageError  # noqa: E402
from onnxpress.core.manifest import SessionSettings  # noqa: E402
from onnxpress.export.pipeline.export import export  # noqa: E402
from onnxpress.export.source import Source, SourceRef  # noqa: E402
from onnxpress.export.sources.resolve import resolve  # noqa: E402

DOMAIN = "com.microsoft.nchwc"
ORDERS = [f"{DOMAIN}:ReorderInput", f"{DOMAIN}:ReorderOutput"]


def write(path: Path, nodes: list[tuple[str, str, dict[str, int]]], channels: int = 16) -> None:
    """A chain of one-input operators `(domain, name, attributes)` over images."""
    names = ["x", *(f"t{number}" for number in range(len(nodes) - 1)), "y"]
    made = [
        onnx.helper.make_node(name, [names[n]], [names[n + 1]], domain=domain, name=f"step{n}", **attributes)
        for n, (domain, name, attributes) in enumerate(nodes)
    ]
    shape = ["N", channels, 4, 4]
    graph = onnx.helper.make_graph(
        made,
        "g",
        [onnx.helper.make_tensor_value_info("x", 1, shape)],
        [onnx.helper.make_tensor_value_info("y", 1, shape)],
    )
    opsets = [onnx.helper.make_opsetid("", 18)]
    opsets += [onnx.helper.make_opsetid(domain, 1) for domain in sorted({domain for domain, _, _ in nodes if domain})]
    path.write_bytes(onnx.helper.make_model(graph, opset_imports=opsets, ir_version=10).SerializeToString())


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


def test_a_weight_that_is_there_twice_is_written_once(tmp_path: Path) -> None:
    weight = np.random.default_rng(0).standard_normal((4, 4)).astype(np.float32)
    graph = onnx.helper.make_graph(
        [onnx.helper.make_node("MatMul", ["x", "a"], ["t"]), onnx.helper.make_node("MatMul", ["t", "b"], ["y"])],
        "g",
        [onnx.helper.make_tensor_value_info("x", 1, ["N", 4])],
        [onnx.helper.make_tensor_value_info("y", 1, ["N", 4])],
        [onnx.numpy_helper.from_array(weight, name) for name in ("a", "b", "unused")],
    )
    model = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 18)], ir_version=10)
    (tmp_path / "twice.onnx").write_bytes(model.SerializeToString())
    published = export(resolve(str(tmp_path / "twice.onnx")), repository=tmp_path / "models")
    found = onnx.load(published.folder / "model.onnx")
    assert len(found.graph.initializer) == 1
    assert published.manifest.session == SessionSettings()


def test_no_rows_are_asked_about_and_told(tmp_path: Path) -> None:
    write(tmp_path / "net.onnx", [("", "Relu", {})])
    published = export(resolve(str(tmp_path / "net.onnx")), repository=tmp_path / "models")
    told = {check.name: check for check in published.report.checks}["no rows"]
    assert told.passed
    assert told.detail == "answered"


@pytest.mark.torch
def test_a_runtime_that_dies_of_no_rows_is_told(tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")
    source = Source(
        reference="gru",
        name="gru",
        framework="pytorch",
        network=torch.nn.GRU(4, 3, batch_first=True),
        example_inputs=(torch.randn(3, 5, 4),),
    )
    published = export(source, repository=tmp_path)
    (told,) = [check.detail for check in published.report.checks if check.name == "no rows"]
    # ONNX Runtime 1.31 aborts here; whatever a later one does, this process lives and the report says it.
    assert told


@pytest.mark.torch
class TestOpset:
    def test_a_newer_one_is_written_and_measured(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        pytest.importorskip("torch")
        (tmp_path / "opset_nets.py").write_text(
            "import torch\ndef build():\n    return torch.nn.Linear(3, 2), (torch.randn(4, 3),)\n"
        )
        monkeypatch.chdir(tmp_path)
        published = export(
            resolve(SourceRef(reference="opset_nets.py:build", opset=21)), repository=tmp_path / "models"
        )
        assert published.manifest.opset == 21

    def test_one_that_is_not_written_is_refused(self, tmp_path: Path) -> None:
        write(tmp_path / "net.onnx", [("", "Relu", {})])
        with pytest.raises(UsageError, match="not one of 18 to 22"):
            resolve(SourceRef(reference=str(tmp_path / "net.onnx"), opset=17))
        with pytest.raises(UsageError, match="keeps the opset"):
            export(resolve(SourceRef(reference=str(tmp_path / "net.onnx"), opset=20)), repository=tmp_path / "models")
