"""Faults planted in quantized graphs: found where they matter, and none found in sound graphs."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from onnx import helper, numpy_helper
from tests.export.derive.networks import classifier, rows
from tests.export.derive.test_tools import convolutional, outlying

from onnxpress.core.arrays import Array
from onnxpress.export.derive.prepared import prepare
from onnxpress.export.derive.rewriting import CUT, faults
from onnxpress.export.derive.static_int8 import NARROW, WIDE, StaticInt8


def made(graph: onnx.ModelProto, x: Array, calibration: str = "min-max", **how: object) -> tuple[onnx.ModelProto, ...]:
    prepared = prepare(graph)
    how.setdefault("operators", WIDE)
    return prepared, StaticInt8(prepared, {"x": x}, together=True).quantized(calibration, **how)  # type: ignore[arg-type]


def pooled(operator: str) -> onnx.NodeProto:
    """A mean over half of a picture reaches half of the values at most, and keeps the steps of what it takes."""
    return helper.make_node(operator, ["c"], ["e"], kernel_shape=[4, 8], strides=[4, 8])


@pytest.mark.parametrize("calibration", ["min-max", "percentile", "entropy"])
@pytest.mark.parametrize("reduced", [True, False])
def test_sound_graphs_have_no_faults(calibration: str, reduced: bool) -> None:
    for graph, x in (
        (classifier(), rows(200, 16)),
        (classifier(alpha=0.5), rows(200, 16)),
        (convolutional(), rows(64, 3, 8, 8)),
        (convolutional(pooled("AveragePool")), rows(64, 3, 8, 8)),
        (convolutional(pooled("MaxPool")), rows(64, 3, 8, 8)),
        (outlying(), rows(200, 32)),
    ):
        for operators in (NARROW, WIDE):
            prepared, quantized = made(graph, x, calibration, operators=operators, reduced=reduced)
            assert faults(prepared, quantized, [{"x": x}], cut=CUT[calibration]) == []


def changed(graph: onnx.ModelProto, name: str, value: Array) -> None:
    (tensor,) = [one for one in graph.graph.initializer if one.name == name]
    tensor.CopyFrom(numpy_helper.from_array(value, name))


def constant(graph: onnx.ModelProto, name: str) -> Array:
    return numpy_helper.to_array(next(one for one in graph.graph.initializer if one.name == name)).copy()


@pytest.mark.parametrize("factor", [0.5, 0.97, 1.03, 2.0])
def test_a_weights_wrong_scale(factor: float) -> None:
    x = rows(200, 16)
    prepared, quantized = made(classifier(), x)
    changed(quantized, "w_scale", constant(quantized, "w_scale") * np.float32(factor))
    assert any(told.startswith("w:") for told in faults(prepared, quantized, [{"x": x}], cut=CUT["min-max"]))


@pytest.mark.parametrize("factor", [0.4, 4.0])
def test_an_activations_wrong_scale(factor: float) -> None:
    x = rows(200, 16)
    prepared, quantized = made(classifier(), x)
    changed(quantized, "x_scale", constant(quantized, "x_scale") * np.float32(factor))
    assert any(told.startswith("x:") for told in faults(prepared, quantized, [{"x": x}], cut=CUT["min-max"]))


def test_a_zero_point_off_by_one_where_a_tensor_is_unpacked() -> None:
    x = rows(200, 16)
    prepared, quantized = made(classifier(), x)
    zero = constant(quantized, "x_zero_point")
    quantized.graph.initializer.append(numpy_helper.from_array(zero + np.uint8(1), "other"))
    (node,) = [
        one for one in quantized.graph.node if one.op_type == "DequantizeLinear" and "x_q" in one.input[0].lower()
    ]
    node.input[2] = "other"
    assert any(
        told.startswith("x: packed and unpacked")
        for told in faults(prepared, quantized, [{"x": x}], cut=CUT["min-max"])
    )


def test_scales_along_the_wrong_axis() -> None:
    x = rows(200, 16)
    square = classifier(hidden=16)
    prepared, quantized = made(square, x)
    (node,) = [one for one in quantized.graph.node if one.input[0] == "w_quantized"]
    (axis,) = [one for one in node.attribute if one.name == "axis"]
    axis.i = 1 - axis.i
    assert any(told.startswith("w:") for told in faults(prepared, quantized, [{"x": x}], cut=CUT["min-max"]))


def test_a_saturated_bias() -> None:
    x = rows(200, 16)
    prepared, quantized = made(classifier(), x)
    bias = constant(quantized, "b_quantized")
    changed(quantized, "b_quantized", np.clip(bias, -np.abs(bias).max() // 2, np.abs(bias).max() // 2))
    assert any(told.startswith("b:") for told in faults(prepared, quantized, [{"x": x}], cut=CUT["min-max"]))


def test_swapped_tensors() -> None:
    x = rows(200, 32)
    prepared, quantized = made(outlying(), x)
    w, v = constant(quantized, "w_quantized"), constant(quantized, "v_quantized")
    changed(quantized, "w_quantized", v)
    changed(quantized, "v_quantized", w)
    assert {told[:2] for told in faults(prepared, quantized, [{"x": x}], cut=CUT["min-max"])} >= {"w:", "v:"}
