"""Batch norm of every opset, local response norm and transposed convolutions answer as ONNX Runtime does."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnxruntime
import pytest
from onnx import TensorProto, helper

from onnxpress.export.equivalence.evaluator.numpy_graph import NumpyGraph

SHAPES: dict[str, dict[str, tuple[int, ...]]] = {
    "BatchNormalization": {"x": (5, 3, 4), "scale": (3,), "bias": (3,), "mean": (3,), "var": (3,)},
    "LRN": {"x": (2, 7, 4, 5)},
    "ConvTranspose": {"x": (2, 4, 5, 6), "w": (4, 3, 3, 3)},
}


@pytest.mark.parametrize(
    ("op_type", "opset", "attributes"),
    [
        *[("BatchNormalization", opset, {"momentum": 0.7, "epsilon": 1e-3}) for opset in (9, 13, 14, 15)],
        ("BatchNormalization", 9, {}),
        *[("LRN", 17, {"size": size, "alpha": 0.01, "beta": 0.6, "bias": 1.5}) for size in (3, 5)],
        ("ConvTranspose", 17, {}),
        ("ConvTranspose", 17, {"strides": [2, 3], "pads": [1, 0, 1, 2], "output_padding": [1, 1], "group": 2}),
        ("ConvTranspose", 17, {"auto_pad": "SAME_UPPER", "strides": [2, 2]}),
        ("ConvTranspose", 17, {"auto_pad": "SAME_LOWER", "strides": [2, 2]}),
        ("ConvTranspose", 17, {"auto_pad": "VALID", "strides": [3, 2]}),
        ("ConvTranspose", 17, {"strides": [2, 2], "output_shape": [11, 12]}),
        ("ConvTranspose", 17, {"dilations": [2, 1]}),
    ],
)
def test_it_answers_as_the_runtime_does(op_type: str, opset: int, attributes: dict[str, Any]) -> None:
    generator = np.random.default_rng(0)
    feeds = {name: generator.random(shape).astype(np.float32) - 0.3 for name, shape in SHAPES[op_type].items()}
    if "var" in feeds:
        feeds["var"] += 0.5
    if op_type == "ConvTranspose":
        feeds["b"] = generator.random(3 * attributes.get("group", 1)).astype(np.float32)
    inputs = [helper.make_tensor_value_info(name, TensorProto.FLOAT, value.shape) for name, value in feeds.items()]
    answer = helper.make_tensor_value_info("y", TensorProto.FLOAT, None)
    node = helper.make_node(op_type, list(feeds), ["y"], **attributes)
    opsets = [helper.make_opsetid("", opset)]
    proto = helper.make_model(helper.make_graph([node], "net", inputs, [answer]), opset_imports=opsets, ir_version=8)
    (wanted,) = onnxruntime.InferenceSession(proto.SerializeToString()).run(None, feeds)
    found = NumpyGraph(proto, np.float32).run(feeds)["y"]
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, wanted, atol=1e-5)
