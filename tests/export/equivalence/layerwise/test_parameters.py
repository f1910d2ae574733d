"""A parameter is found again in the graph in any layout; one changed value is told."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

onnx = pytest.importorskip("onnx")

from onnxpress.export.equivalence.layerwise.parameters import compare  # noqa: E402

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


@given(
    weight=arrays.arrays(
        np.float32,
        arrays.array_shapes(min_dims=1, max_dims=4, min_side=1, max_side=4),
        elements=st.floats(-4, 4, width=32) | st.sampled_from([0.0, -0.0, np.nan]),
    ),
    data=st.data(),
)
def test_any_order_of_the_axes_is_the_same_and_a_changed_value_is_not(weight: np.ndarray, data: st.DataObject) -> None:
    """Whatever is in it: zeros of both signs are equal, and so are NaNs."""
    weight.flat[data.draw(st.integers(0, weight.size - 1))] = 7.25  # there once
    held = weight.transpose(data.draw(st.permutations(range(weight.ndim)))).copy()
    assert compare(graph(np.where(held == 0, np.float32(-0.0), held)), {"layer.weight": weight}).same == [
        "layer.weight"
    ]
    held[held == 7.25] = 7.26
    assert compare(graph(held), {"layer.weight": weight}).same == []


def test_many_constants_of_the_size_do_not_hide_it() -> None:
    rng = np.random.default_rng(1)
    values = [rng.standard_normal((3, 3, 8, 8)).astype(np.float32) for _ in range(20)]
    constants = [onnx.numpy_helper.from_array(value, f"c{number}") for number, value in enumerate(values)]
    model = onnx.helper.make_model(onnx.helper.make_graph([], "g", [], [], constants))
    parameters = {f"p{number}": value.transpose(3, 2, 0, 1).copy() for number, value in enumerate(values)}
    parameters["p7"][0, 0, 0, 0] += 1
    found = compare(model, parameters)
    assert len(found.same) == 19
    assert list(found.changed) == ["p7"]


@pytest.mark.parametrize("name", ["bias", "the converter's own"])
def test_zeros_of_the_size_do_not_excuse_a_changed_value(name: str) -> None:
    """A parameter times a fresh norm's zeros is zeros, and these are in the graph: no expression of the parameter."""
    bias = np.random.default_rng(2).standard_normal(16).astype(np.float32)
    held = bias.copy()
    held[3] *= 1.001
    zeros = np.zeros(16, np.float32)
    constants = [onnx.numpy_helper.from_array(held, name), onnx.numpy_helper.from_array(zeros, "norm.bias")]
    model = onnx.helper.make_model(onnx.helper.make_graph([], "g", [], [], constants))
    assert list(compare(model, {"bias": bias, "norm.bias": zeros}).changed) == ["bias"]
