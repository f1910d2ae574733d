"""Rows that drive the tensors inside a graph furthest both ways are found among many, and asked."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("onnx")
import onnx
from onnx import TensorProto, helper, numpy_helper

import onnxpress
from onnxpress.core.tensors import Domain, TensorSpec, parse_spec
from onnxpress.export.equivalence.cases import cases
from onnxpress.export.equivalence.extremes import MOST, extremes
from onnxpress.export.equivalence.values import NOTHING_SHOWN, Shown

WIDTH, CELLS = 6, 3
INPUT = parse_spec(f"x:float32[batch,{WIDTH}]")
WEIGHT = np.random.default_rng(0).standard_normal((WIDTH, CELLS)).astype(np.float32)
FAR = 4.2
"""standard deviations of a cell's input: a row in some hundred gets there"""
BIAS = (-FAR * np.linalg.norm(WEIGHT, axis=0)).astype(np.float32) * np.float32(0.6)


def graph(*nodes: onnx.NodeProto, batch: str | int = "batch", **constants: np.ndarray) -> onnx.ModelProto:
    given = [numpy_helper.from_array(np.asarray(value), name) for name, value in constants.items()]
    made = helper.make_graph(
        list(nodes),
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [batch, WIDTH])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [batch, CELLS])],
        given,
    )
    return helper.make_model(made, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)


def rare(activation: str = "Relu", batch: str | int = "batch") -> onnx.ModelProto:
    """Cells that few rows switch on."""
    return graph(
        helper.make_node("Gemm", ["x", "weight", "bias"], ["h"]),
        helper.make_node(activation, ["h"], ["y"]),
        batch=batch,
        weight=WEIGHT,
        bias=BIAS,
    )


def on(feeds: dict[str, np.ndarray]) -> np.ndarray:
    """Which cells some row switches on."""
    return np.asarray((feeds["x"] @ WEIGHT + BIAS > 0).any(0))


def test_every_cell_of_an_activation_is_switched_on_and_off() -> None:
    near = next(case for case in extremes(rare(), [INPUT], {}, NOTHING_SHOWN) if case.about == "near")
    assert on(near.feeds).all()
    assert not (near.feeds["x"] @ WEIGHT + BIAS > 0).all()
    ordinary = [case for case in cases([INPUT], {}) if case.kind == "generated" and case.batch < MOST]
    assert not all(on(case.feeds).any() for case in ordinary), "else the model is no test of it"


def test_a_case_is_small_and_the_same_each_time() -> None:
    found = extremes(rare(), [INPUT], {}, NOTHING_SHOWN)
    assert [case.name.partition(",")[0] for case in found] == ["extremes near", "extremes far"]
    assert all(1 < case.batch <= MOST and len(case.feeds["x"]) == case.batch for case in found)
    again = extremes(rare(), [INPUT], {}, NOTHING_SHOWN)
    assert all(np.array_equal(one.feeds["x"], two.feeds["x"]) for one, two in zip(found, again, strict=True))
    assert np.abs(found[1].feeds["x"]).max() > np.abs(found[0].feeds["x"]).max()


def test_a_declared_domain_is_kept_and_has_nothing_far() -> None:
    spec = TensorSpec(name="x", dtype="float32", shape=("batch", WIDTH), domain=Domain(low=0.0, high=1.0))
    (near,) = extremes(rare(), [spec], {}, NOTHING_SHOWN)
    assert near.about == "near"
    assert near.feeds["x"].min() >= 0
    assert near.feeds["x"].max() <= 1


def test_conditions_are_met_and_missed() -> None:
    """A mask of which an ordinary row meets nothing at all."""
    model = graph(
        helper.make_node("Gemm", ["x", "weight", "bias"], ["h"]),
        helper.make_node("Greater", ["h", "bound"], ["mask"]),
        helper.make_node("Where", ["mask", "h", "bound"], ["y"]),
        weight=WEIGHT,
        bias=BIAS,
        bound=np.float32(0),
    )
    near = extremes(model, [INPUT], {}, NOTHING_SHOWN)[0]
    met = (near.feeds["x"] @ WEIGHT + BIAS > 0).any(1)
    assert met.any()
    assert not met.all()


def test_ids_are_chosen_by_what_the_table_makes_of_them() -> None:
    table = np.random.default_rng(1).standard_normal((200, 2)).astype(np.float32)
    table[17, 0], table[151, 0] = 40, -40
    made = helper.make_graph(
        [helper.make_node("Gather", ["table", "ids"], ["y"])],
        "g",
        [helper.make_tensor_value_info("ids", TensorProto.INT64, ["batch"])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["batch", 2])],
        [numpy_helper.from_array(table, "table")],
    )
    model = helper.make_model(made, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)
    (near,) = extremes(model, [parse_spec("ids:int64[batch]")], {}, Shown({"ids": 200}, ()))
    assert {17, 151} <= set(near.feeds["ids"].tolist())


def test_none_where_the_graph_has_no_batch_or_cannot_be_looked_at() -> None:
    assert extremes(rare(batch=4), [parse_spec(f"x:float32[4,{WIDTH}]")], {}, NOTHING_SHOWN) == []
    assert extremes(rare("NoSuchOperator"), [INPUT], {}, NOTHING_SHOWN) == []


def test_an_export_that_differs_on_rare_rows_alone_is_refused() -> None:
    def original(x: np.ndarray) -> dict[str, np.ndarray]:
        return {"y": np.maximum(x @ WEIGHT + BIAS, 0).astype(np.float32)}

    assert onnxpress.measure(original, rare().SerializeToString(), inputs=[INPUT]).equivalent
    capped = rare()
    capped.graph.node[1].output[0] = "r"
    capped.graph.node.append(helper.make_node("Min", ["r", "most"], ["y"]))
    capped.graph.initializer.append(numpy_helper.from_array(np.float32(1), "most"))
    report = onnxpress.measure(original, capped.SerializeToString(), inputs=[INPUT])
    assert not report.equivalent
    assert any(case.name.startswith("extremes") and max(case.multiples.values()) > 10 for case in report.cases)
