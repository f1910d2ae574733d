"""Integer divisions of a published file answer the smallest integer by -1, and everything else as before."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

onnx = pytest.importorskip("onnx")

from onnxpress.core.errors import BadModel  # noqa: E402
from onnxpress.export.graph.safe_division import make_safe  # noqa: E402
from onnxpress.export.pipeline.export import export  # noqa: E402
from onnxpress.export.source import Source, SourceRef  # noqa: E402
from onnxpress.export.sources.resolve import resolve  # noqa: E402
from onnxpress.serving.engine import Engine, value_dependent  # noqa: E402
from onnxpress.serving.models.repository import Repository  # noqa: E402

helper = onnx.helper
KINDS = {"int32": 6, "int64": 7}


def divided(operator: str, dtype: str, *, within: bool = False, constant: list[int] | None = None) -> Any:
    """`a / b`, or the same in the branch of an If, or by a constant."""
    kind = KINDS[dtype]
    node = helper.make_node(operator, ["a", "b"], ["y"])
    inputs = [helper.make_tensor_value_info(name, kind, ["N", 3]) for name in ("a", "b")]
    output = helper.make_tensor_value_info("y", kind, ["N", 3])
    constants = []
    if constant is not None:
        constants.append(onnx.numpy_helper.from_array(np.array(constant, dtype), "b"))
        inputs = inputs[:1]
    if within:
        node.output[0] = "inner"
        branch = helper.make_graph([node], "branch", [], [helper.make_tensor_value_info("inner", kind, None)])
        constants.append(onnx.numpy_helper.from_array(np.array(True), "yes"))
        node = helper.make_node("If", ["yes"], ["y"], then_branch=branch, else_branch=branch)
    graph = helper.make_graph([node], "g", inputs, [output], constants)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)


@pytest.mark.parametrize("dtype", KINDS)
@pytest.mark.parametrize("within", [False, True])
@pytest.mark.parametrize("operator", ["Div", "Mod"])
def test_the_smallest_by_minus_one_is_answered_and_all_else_as_before(operator: str, dtype: str, within: bool) -> None:
    proto = divided(operator, dtype, within=within)
    trapping = value_dependent.findings(proto.SerializeToString()).trapping
    assert make_safe(proto, trapping) == (2 if within else 1)
    onnx.checker.check_model(proto)
    assert value_dependent.findings(proto.SerializeToString()).trapping == ()
    engine = Engine.load(proto.SerializeToString())
    limits = np.iinfo(dtype)
    edge = engine.run({"a": np.full((1, 3), limits.min, dtype), "b": np.array([[-1, 1, -2]], dtype)})["y"]
    quotients = [[limits.min, limits.min, -(limits.min // 2)]]
    assert edge.tolist() == (quotients if operator == "Div" else [[0, 0, 0]])
    draw = np.random.default_rng(0)
    a = draw.integers(-20, 20, (200, 3)).astype(dtype)
    b = draw.choice([-7, -2, -1, 1, 2, 7], (200, 3)).astype(dtype)
    before = Engine.load(divided(operator, dtype).SerializeToString()).run({"a": a, "b": b})["y"]
    after = engine.run({"a": a, "b": b})["y"]
    assert after.dtype == before.dtype
    np.testing.assert_array_equal(after, before)


def test_a_constant_divisor_with_minus_one_is_rewritten_and_another_left_alone() -> None:
    for constant, count in (([2, -1, 3], 1), ([2, 4, 3], 0)):
        proto = divided("Div", "int64", constant=constant)
        assert make_safe(proto, value_dependent.findings(proto.SerializeToString()).trapping) == count


def test_floats_are_left_alone() -> None:
    proto = divided("Div", "int64")
    for value in (*proto.graph.input, *proto.graph.output):
        value.type.tensor_type.elem_type = 1
    content = proto.SerializeToString()
    assert make_safe(proto, ["y (Div)"]) == 0
    assert proto.SerializeToString() == content


def test_a_published_file_is_served_where_the_file_itself_is_refused(tmp_path: Path) -> None:
    (tmp_path / "div.onnx").write_bytes(divided("Div", "int64").SerializeToString())
    with pytest.raises(BadModel, match="Div"):
        Repository(tmp_path / "div.onnx").load()
    published = export(
        resolve(SourceRef(reference=str(tmp_path / "div.onnx"), domains=["b:[-9,-1]"])), repository=tmp_path / "models"
    )
    assert any("1 integer division rewritten" in check.detail for check in published.report.checks)
    repository = Repository(tmp_path / "models")
    repository.load()
    smallest = {"a": np.full((1, 3), -(2**63), np.int64), "b": np.full((1, 3), -1, np.int64)}
    assert repository.find("div", None).engine.run(smallest)["y"].tolist() == [[-(2**63)] * 3]


@pytest.mark.torch
@pytest.mark.parametrize("operation", ["a // b", "a % b", "torch.div(a, b, rounding_mode='trunc')", "torch.fmod(a, b)"])
def test_torchs_divisions_are_published_and_safe(tmp_path: Path, operation: str) -> None:
    torch = pytest.importorskip("torch")
    pytest.importorskip("onnxscript")

    class Divides(torch.nn.Module):  # type: ignore[misc, name-defined]
        def forward(self, a: Any, b: Any) -> Any:
            return eval(operation, {"torch": torch}, {"a": a, "b": b})

    a = torch.tensor([[7, -7, 5], [-20, 9, 1], [-1, 3, 2]])
    b = torch.tensor([[2, 3, -2], [7, -1, 1], [-3, 2, 4]])
    source = Source(
        reference="divides",
        name="m",
        framework="pytorch",
        network=Divides(),
        example_inputs=(a, b),
        domains=["b:[-9,-1]"],
    )
    published = export(source, repository=tmp_path)
    engine = Engine.load(published.folder / "model.onnx")
    assert engine.findings.trapping == ()
    answer = engine.run({"a": np.full((1, 3), -(2**63)), "b": np.full((1, 3), -1)})[engine.output_names[0]]
    assert answer.tolist() == [[0 if "%" in operation or "fmod" in operation else -(2**63)] * 3]
