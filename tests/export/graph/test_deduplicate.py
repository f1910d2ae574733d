"""Equal weights are written once."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

onnx = pytest.importorskip("onnx")

from onnxpress.core.manifest import SessionSettings  # noqa: E402
from onnxpress.export.pipeline.export import export  # noqa: E402
from onnxpress.export.sources.resolve import resolve  # noqa: E402


def test_a_weight_that_is_there_twice_is_written_once(tmp_path: Path) -> None:
    weight = np.random.default_rng(0).standard_normal((4, 4)).astype(np.float32)
    graph = onnx.helper.make_graph(
        [onnx.helper.make_node("MatMul", ["x", "a"], ["t"]), onnx.helper.make_node("MatMul", ["t", "b"], ["y"])],
        "g",
        [onnx.helper.make_tensor_value_info("x", 1, ["N", 4])],
        [onnx.helper.make_tensor_value_info("y", 1, ["N", 4])],
        [onnx.numpy_helper.from_array(weight, name) for name in ("a", "b", "unused")],
    )
    model = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 18)], ir_version=10)
    (tmp_path / "twice.onnx").write_bytes(model.SerializeToString())
    published = export(resolve(str(tmp_path / "twice.onnx")), repository=tmp_path / "models")
    found = onnx.load(published.folder / "model.onnx")
    assert len(found.graph.initializer) == 1
    assert published.manifest.session == SessionSettings()
