"""The guilty optimiser of ONNX Runtime is found, recorded, and stays off where the model is served."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

onnx = pytest.importorskip("onnx")

from onnxpress.core.manifest import SessionSettings  # noqa: E402
from onnxpress.export.pipeline.export import export  # noqa: E402
from onnxpress.export.sources.resolve import resolve  # noqa: E402
from onnxpress.serving.engine import Engine  # noqa: E402


def padded_pooling(path: Path) -> None:
    """A zero Pad before a MaxPool: the runtime folds it into the pooling's own padding, which is minus infinity."""
    helper = onnx.helper
    nodes = [
        helper.make_node("Pad", ["x", "pads"], ["padded"]),
        helper.make_node("MaxPool", ["padded"], ["y"], kernel_shape=[3, 3], strides=[2, 2]),
    ]
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info("x", 1, ["N", 1, 5, 5])],
        [helper.make_tensor_value_info("y", 1, ["N", 1, 3, 3])],
        [onnx.numpy_helper.from_array(np.array([0, 0, 1, 1, 0, 0, 1, 1], np.int64), "pads")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)
    path.write_bytes(model.SerializeToString())


def test_pad_fusion_is_switched_off_and_nothing_else(tmp_path: Path) -> None:
    padded_pooling(tmp_path / "pool.onnx")
    published = export(resolve(str(tmp_path / "pool.onnx")), repository=tmp_path / "models")
    assert published.manifest.session.disabled_optimizers == ["Pad_Fusion"]
    assert any("Pad_Fusion" in check.detail for check in published.report.checks)
    negative = {"x": np.full((2, 1, 5, 5), -1, np.float32)}
    served = Engine.load(published.folder / "model.onnx").run(negative)["y"]
    assert served.max() == 0  # the padding's zeros are the largest
    stock = Engine.load(published.folder / "model.onnx", settings=SessionSettings(), self_test=False)
    if np.array_equal(stock.run(negative)["y"], served):
        pytest.fail("this ONNX Runtime no longer has the fault; the search for the guilty optimiser needs another case")
