"""Sigmoids are written out where something is chosen from them, and nowhere else."""

from __future__ import annotations

import numpy as np
import pytest

onnx = pytest.importorskip("onnx")

from onnxpress.export.graph.exact_sigmoids import exactly_scored  # noqa: E402
from onnxpress.serving.engine import Engine  # noqa: E402


def graph(*, between: str = "ReduceMax", opset: int = 18) -> onnx.ModelProto:
    helper = onnx.helper
    nodes = [
        helper.make_node("Sigmoid", ["x"], ["scores"], name="scores"),
        helper.make_node("Sigmoid", ["x"], ["gate"], name="gate"),
        helper.make_node(between, ["scores"], ["best"]),
        helper.make_node("ArgMax", ["best"], ["at"], axis=1, keepdims=0),
        helper.make_node("Mul", ["x", "gate"], ["y"]),
    ]
    tensors = [helper.make_tensor_value_info(name, 1, ["batch", 4, 2]) for name in ("x", "y")]
    at = helper.make_tensor_value_info("at", 7, ["batch", 1])
    made = helper.make_graph(nodes, "g", tensors[:1], [tensors[1], at])
    return helper.make_model(made, opset_imports=[helper.make_opsetid("", opset)], ir_version=10)


def test_that_which_is_chosen_from_is_written_out_alone() -> None:
    made = exactly_scored(graph(between="Neg"))
    assert made is not None
    assert [node.name for node in made.graph.node if node.op_type == "Sigmoid"] == ["gate"]
    x = np.random.default_rng(0).normal(size=(50, 4, 2)).astype(np.float32) - 30
    settings = {"at": (1 / (1 + np.exp(30 - (x.astype(np.float64) + 30)))).argmin(1)}
    model = onnx.ModelProto()
    model.CopyFrom(made)
    model.graph.output[1].type.tensor_type.shape.dim[1].dim_value = 2
    np.testing.assert_array_equal(
        Engine.load(model.SerializeToString(), self_test=False).run({"x": x})["at"], settings["at"]
    )


def test_those_that_are_answers_are_written_out_where_they_are_named() -> None:
    other = graph(between="Neg")
    other.graph.output[0].name = other.graph.node[4].output[0] = "gate_of_x"
    made = exactly_scored(other, ["gate_of_x"])
    assert made is not None
    assert [node.name for node in made.graph.node if node.op_type == "Sigmoid"] == ["scores"]
    assert exactly_scored(other, []) is None


@pytest.mark.parametrize("other", [graph(between="Exp"), graph(opset=13)], ids=["computed with", "an old opset"])
def test_others_stay(other: onnx.ModelProto) -> None:
    assert exactly_scored(other) is None
