"""A parameter is found again in the graph in any layout; one changed value is told."""

from __future__ import annotations

import numpy as np
import pytest

onnx = pytest.importorskip("onnx")

from onnxpress.export.equivalence.initializers import compare  # noqa: E402

WEIGHT = np.random.default_rng(0).standard_normal((6, 4)).astype(np.float32)


def graph(value: np.ndarray) -> onnx.ModelProto:
    constant = onnx.numpy_helper.from_array(np.ascontiguousarray(value), "w")
    return onnx.helper.make_model(onnx.helper.make_graph([], "g", [], [], [constant]))


@pytest.mark.parametrize("held", [WEIGHT, WEIGHT.T, WEIGHT[[2, 0, 1, 5, 3, 4]]])
def test_the_same_values_in_another_layout_are_found(held: np.ndarray) -> None:
    assert compare(graph(held), {"layer.weight": WEIGHT}).same == ["layer.weight"]


def test_one_changed_value_is_told() -> None:
    held = WEIGHT.T.copy()
    held[1, 2] *= 1.001
    assert list(compare(graph(held), {"layer.weight": WEIGHT}).changed) == ["layer.weight"]


def test_a_parameter_that_is_not_there_is_absent() -> None:
    assert compare(graph(WEIGHT * 2), {"layer.weight": WEIGHT + 1}).absent == ["layer.weight"]
