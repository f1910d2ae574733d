"""ONNX files as other tools write them: old ones, and outputs with any name."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

onnx = pytest.importorskip("onnx")

from onnxpress.export.networks.onnx_file import OnnxNetwork  # noqa: E402
from onnxpress.export.source import Source  # noqa: E402
from onnxpress.serving.engine import Engine  # noqa: E402

WEIGHTS = np.arange(12, dtype=np.float32).reshape(4, 3)


def file(ir_version: int, *, listed: bool, output: str) -> onnx.ModelProto:
    """x @ W, with W among the inputs where `listed`."""
    info = onnx.helper.make_tensor_value_info
    kind = onnx.TensorProto.FLOAT
    inputs = [info("x", kind, ["N", 4]), *([info("W", kind, [4, 3])] if listed else [])]
    node = onnx.helper.make_node("MatMul", ["x", "W"], [output], name="product")
    held = onnx.numpy_helper.from_array(WEIGHTS, "W")
    graph = onnx.helper.make_graph([node], "g", inputs, [info(output, kind, ["N", 3])], [held])
    opset = 8 if ir_version < 4 else 18
    return onnx.helper.make_model(graph, ir_version=ir_version, opset_imports=[onnx.helper.make_opsetid("", opset)])


@pytest.mark.parametrize("listed", [True, False])
@pytest.mark.parametrize("ir_version", [3, 4, 10])
@pytest.mark.parametrize("output", ["y", "product", "MatMul"])
def test_initializers_among_the_inputs_are_weights(ir_version: int, listed: bool, output: str, tmp_path: Path) -> None:
    given = file(ir_version, listed=listed, output=output)
    before = given.SerializeToString()
    made = OnnxNetwork(Source(reference="old.onnx", name="old", framework="onnx", network=given))
    assert [str(spec) for spec in made.inputs] == ["x:float32[batch,4]"]
    written = made.convert(tmp_path)
    onnx.checker.check_model(written)
    rows = np.ones((2, 4), np.float32)
    answers = Engine.load(written.SerializeToString(), self_test=False).run({"x": rows})
    np.testing.assert_allclose(answers[output], rows @ WEIGHTS)
    assert given.SerializeToString() == before  # the caller's own is as it was
