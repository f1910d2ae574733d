"""The graph in float64 against the framework in float64."""

from __future__ import annotations

import numpy as np
import pytest

onnx = pytest.importorskip("onnx")
from onnx import TensorProto, helper, numpy_helper  # noqa: E402

from onnxpress.core.golden import Golden  # noqa: E402
from onnxpress.export.equivalence.cases import Case  # noqa: E402
from onnxpress.export.equivalence.layerwise.whole_graph import Verdict, compare, with_the_graphs_noise  # noqa: E402
from onnxpress.export.equivalence.results import CaseResult  # noqa: E402

X = np.random.default_rng(0).standard_normal((3, 4)).astype(np.float32)
FLOOR = 1e-7


def graph(*nodes: onnx.NodeProto, **constants: np.ndarray) -> onnx.ModelProto:
    made = helper.make_graph(
        list(nodes),
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["batch", X.shape[1]])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)],
        [numpy_helper.from_array(value, name) for name, value in constants.items()],
    )
    return helper.make_model(made, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)


def held(model: onnx.ModelProto, truth: np.ndarray, narrow: float = 0.0) -> Verdict:
    golden = Golden({"x": X}, {"y": truth.astype(np.float32)}, {"y": np.full(truth.shape, FLOOR)})
    return compare(model, [CaseResult(Case("generated", 64, {"x": X}), golden, {"y": truth}, nearest={"y": narrow})])


def test_the_same_in_float64_is_far_below_one_floor() -> None:
    model = graph(helper.make_node("Mul", ["x", "two"], ["y"]), two=np.array(2, np.float32))
    found = held(model, 2.0 * X.astype(np.float64))
    assert found.check is not None
    assert found.check.passed
    assert "is 0 noise floors" in found.check.detail


def test_a_constant_that_is_off_by_three_floors_is_seen() -> None:
    model = graph(helper.make_node("Add", ["x", "c"], ["y"]), c=np.array(3 * FLOOR, np.float32))
    found = held(model, X.astype(np.float64), narrow=3.0)
    assert found.check is not None
    assert not found.check.passed


def test_a_rounding_that_falls_otherwise_in_float64_is_no_fault_and_is_told() -> None:
    nodes = helper.make_node("Add", ["x", "c"], ["s"]), helper.make_node("Floor", ["s"], ["y"])
    found = held(graph(*nodes, c=np.array(1, np.float32)), np.floor(X.astype(np.float64)), narrow=1.0)
    assert found.check is None
    assert "other ways than in float32" in found.why_not
    found = held(graph(*nodes, c=np.array(1, np.float32)), np.floor(X.astype(np.float64)), narrow=1e7)
    assert found.check is not None
    assert not found.check.passed, "float32 shows it too"


def test_floors_are_widened_by_the_rounding_of_a_graph_that_sums_in_float32() -> None:
    model = graph(helper.make_node("CumSum", ["x", "axis"], ["y"]), axis=np.array(1))
    case = Case("generated", 64, {"x": np.full((2, 4), 0.1, np.float32)})
    golden = Golden({}, {"y": np.zeros((2, 4), np.float32)}, {"y": np.full((2, 4), 1e-12)})
    (wider,) = with_the_graphs_noise(model, [CaseResult(case, golden)])
    assert (wider.golden.floors["y"] > 1e-9).all()


def test_without_a_truth_nothing_is_compared_and_the_reason_is_told() -> None:
    model = graph(helper.make_node("Identity", ["x"], ["y"]))
    found = compare(model, [CaseResult(Case("generated", 1, {"x": X}), Golden({}, {"y": X}, {}))])
    assert found.check is None
    assert "float64 answers are not available" in found.why_not
