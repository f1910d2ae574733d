"""What a graph shows of its inputs: table sizes, also behind the choice that TensorFlow makes for negative ids."""

from __future__ import annotations

import numpy as np
import pytest
from onnx import ModelProto, TensorProto, helper, numpy_helper

from onnxpress.export.equivalence.graph_domain import shown


def graph(nodes: list[tuple[str, list[str], str]], **constants: np.ndarray) -> ModelProto:
    """int32 x (batch, 1) to y; an input named t is a table of 300 rows."""
    made = [helper.make_node(kind, taken, [given]) for kind, taken, given in nodes]
    values = {"t": np.zeros((300, 2), np.float32), **constants}
    return helper.make_model(
        helper.make_graph(
            made,
            "g",
            [helper.make_tensor_value_info("x", TensorProto.INT32, ["batch", 1])],
            [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)],
            [numpy_helper.from_array(value, name) for name, value in values.items()],
        )
    )


def test_ids_that_may_be_negative() -> None:
    chosen = graph(
        [
            ("Add", ["x", "rows"], "moved"), ("Less", ["x", "zero"], "less"), ("Not", ["less"], "not"),
            ("Cast", ["less"], "a"), ("Cast", ["not"], "b"), ("Mul", ["a", "moved"], "negative"),
            ("Mul", ["x", "b"], "positive"), ("Add", ["negative", "positive"], "ids"), ("Gather", ["t", "ids"], "y"),
        ],
        rows=np.array(300, np.int32), zero=np.array(0, np.int32),
    )  # fmt: skip
    assert shown(chosen).sizes == {"x": 300}


@pytest.mark.parametrize(("offset", "sizes"), [(100, {"x": 200}), (0, {"x": 300}), (300, {}), (-1, {})])
def test_ids_that_are_moved_have_less_room(offset: int, sizes: dict[str, int]) -> None:
    moved = graph([("Add", ["x", "c"], "ids"), ("Gather", ["t", "ids"], "y")], c=np.array([offset], np.int32))
    assert shown(moved).sizes == sizes


def test_a_product_with_a_number_shows_nothing() -> None:
    scaled = graph([("Mul", ["x", "c"], "ids"), ("Gather", ["t", "ids"], "y")], c=np.array(10, np.int32))
    assert shown(scaled).sizes == {}
