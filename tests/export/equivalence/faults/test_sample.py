"""A sample of faults is bounded, the same for a seed, of many kinds, and leaves the sound graph as it is."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("onnx")
import onnx
from onnx import TensorProto, helper, numpy_helper

from onnxpress.export.equivalence.faults.sample import deadly, sample


def graph(*more: onnx.NodeProto) -> onnx.ModelProto:
    weight = np.random.default_rng(0).standard_normal((4, 4)).astype(np.float32)
    nodes = [
        helper.make_node("Gemm", ["x", "weight", "bias"], ["h"]),
        helper.make_node("Relu", ["h"], ["r"]),
        helper.make_node("Greater", ["r", "zero"], ["mask"]),
        helper.make_node("Where", ["mask", "r", "h"], ["w"]),
        helper.make_node("Softmax", ["w"], ["y"], axis=-1),
        *more,
    ]
    constants = {"weight": weight, "bias": weight[0], "zero": np.float32(0.5)}
    made = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["batch", 4])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["batch", 4])],
        [numpy_helper.from_array(np.asarray(value), name) for name, value in constants.items()],
    )
    return helper.make_model(made, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)


def test_it_is_bounded_repeatable_and_of_many_kinds() -> None:
    model = graph()
    before = model.SerializeToString()
    faults = list(sample(model, 1, 40))
    assert len(faults) == 40
    again = [(one.kind, one.place) for one in sample(model, 1, 40)]
    assert [(one.kind, one.place) for one in faults] == again
    assert [(one.kind, one.place) for one in sample(model, 2, 40)] != again
    assert len(set(again)) == 40, "none twice"
    assert len({one.kind for one in faults[:12]}) >= 9
    assert {"comparison turned", "condition or mask ignored", "activation dropped"} <= {one.kind for one in faults}
    changed = [one.graph().SerializeToString() != before for one in faults]
    assert all(changed)
    assert model.SerializeToString() == before


def test_what_ends_the_process_is_not_planted() -> None:
    assert not deadly(graph())
    recurrent = graph(helper.make_node("LSTM", ["y", "w", "r"], ["", "", "c"], hidden_size=4))
    assert "stride or dilation" in deadly(recurrent)
    kinds = {one.kind for one in sample(recurrent, 1, 60, leave_out=sorted(deadly(recurrent)))}
    assert len(kinds) >= 9
    assert not kinds & deadly(recurrent)


def test_trees_in_doubles_are_changed_too() -> None:
    wide = {name: numpy_helper.from_array(np.array([0.5, 2.0]), name) for name in ("values", "weights")}
    node = helper.make_node(
        "TreeEnsembleRegressor",
        ["y"],
        ["t"],
        domain="ai.onnx.ml",
        nodes_values_as_tensor=wide["values"],
        target_weights_as_tensor=wide["weights"],
    )
    model = graph(node)
    found = {one.kind: one.graph() for one in sample(model, 1, 60)}
    assert {"a tree's leaf or split changed", "threshold off by one ulp"} <= found.keys()
    for changed in found.values():
        held = {one.name: numpy_helper.to_array(one.t) for one in changed.graph.node[-1].attribute}
        assert all(value.dtype == np.float64 for value in held.values())
    moved = found["a tree's leaf or split changed"].graph.node[-1]
    assert any((numpy_helper.to_array(one.t) != [0.5, 2.0]).any() for one in moved.attribute)
