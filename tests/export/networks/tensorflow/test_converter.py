"""tf2onnx through its seam: what it has no form for is named, and its nodes tell the layer."""

from __future__ import annotations

import numpy as np
import pytest

tf = pytest.importorskip("tensorflow")
keras = pytest.importorskip("keras")
pytest.importorskip("tf2onnx")

from onnxpress.core.errors import BadModel  # noqa: E402
from onnxpress.core.tensors import parse_spec  # noqa: E402
from onnxpress.export.graph.layer_notes import layer_of  # noqa: E402
from onnxpress.export.networks.tensorflow.converter import convert  # noqa: E402

pytestmark = pytest.mark.tensorflow
X = parse_spec("x:float32[batch,4]")


def test_an_operation_without_a_conversion_is_named() -> None:
    def digamma(tensors: list[object]) -> dict[str, object]:
        return {"y": tf.math.digamma(tensors[0])}

    with pytest.raises(BadModel, match="Digamma"):
        convert(digamma, [X], ["y"], owner=None, log=[])


def test_nodes_are_named_after_the_layer() -> None:
    model = keras.Sequential(
        [keras.Input((4,)), keras.layers.Dense(3, name="first"), keras.layers.Dense(2, name="last")]
    )
    model(np.ones((1, 4), np.float32))
    proto = convert(lambda tensors: {"y": model(tensors[0])}, [X], ["y"], owner=model, log=[])
    layers = [layer_of(node, {"first", "last"}) for node in proto.graph.node if node.op_type == "MatMul"]
    assert layers == ["first", "last"]
