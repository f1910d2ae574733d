"""The models that the server is measured with, with random weights: only their time counts.

tiny    32 features, two layers; from the tests' models
cnn     14 one-dimensional convolutions of 32 channels over 64 steps, then one score: some 0.15 ms a row
image   the means of the channels of a 224x224 image: nothing but reading it
"""

from __future__ import annotations

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper
from tests.serving.publishing import MODELS

LAYERS, CHANNELS, STEPS = 14, 32, 64
SHAPES = {"tiny": (1, 32), "cnn": (1, 1, STEPS), "image": (1, 3, 224, 224)}
"""model → the shape of one request's input `x`, float32"""


def build(name: str) -> bytes:
    """A serialized model."""
    if name == "tiny":
        return (MODELS / "tiny.onnx").read_bytes()
    graph = {"cnn": _cnn, "image": _image}[name]()
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)
    onnx.checker.check_model(model, full_check=True)
    return bytes(model.SerializeToString())


def _cnn() -> onnx.GraphProto:
    draw = np.random.default_rng(0)
    nodes, weights, x, channels = [], [], "x", 1
    for layer in range(LAYERS):
        w, a, b = f"w{layer}", f"a{layer}", f"b{layer}"
        kernel = draw.standard_normal((CHANNELS, channels, 3)) / np.sqrt(3 * channels)
        weights.append(numpy_helper.from_array(kernel.astype(np.float32), w))
        nodes += [helper.make_node("Conv", [x, w], [a], pads=[1, 1]), helper.make_node("Relu", [a], [b])]
        x, channels = b, CHANNELS
    weights.append(numpy_helper.from_array(draw.standard_normal((CHANNELS, 1)).astype(np.float32), "head"))
    nodes += [
        helper.make_node("GlobalAveragePool", [x], ["pooled"]),
        helper.make_node("Flatten", ["pooled"], ["flat"]),
        helper.make_node("MatMul", ["flat", "head"], ["y"]),
    ]
    return _graph("cnn", nodes, 1, weights)


def _image() -> onnx.GraphProto:
    nodes = [helper.make_node("GlobalAveragePool", ["x"], ["means"]), helper.make_node("Flatten", ["means"], ["y"])]
    return _graph("image", nodes, 3, [])


def _graph(name: str, nodes: list[onnx.NodeProto], outputs: int, weights: list[onnx.TensorProto]) -> onnx.GraphProto:
    x = helper.make_tensor_value_info("x", TensorProto.FLOAT, ["batch", *SHAPES[name][1:]])
    y = helper.make_tensor_value_info("y", TensorProto.FLOAT, ["batch", outputs])
    return helper.make_graph(nodes, name, [x], [y], weights)
