"""The guilty optimiser of ONNX Runtime is found, recorded, and stays off where the model is served."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

onnx = pytest.importorskip("onnx")

from onnxpress.core.manifest import SessionSettings  # noqa: E402
from onnxpress.export.equivalence.runtime.optimizers import fewest  # noqa: E402
from onnxpress.export.pipeline.export import export  # noqa: E402
from onnxpress.export.sources.resolve import resolve  # noqa: E402
from onnxpress.serving.engine import Engine  # noqa: E402


def padded_pooling(path: Path, opset: int = 18, *, before_convolution: bool = False) -> None:
    """A zero Pad before a MaxPool: the runtime folds it into the pooling's own padding, which is minus infinity."""
    helper = onnx.helper
    nodes = [
        helper.make_node("Pad", ["x", "pads"], ["padded"]),
        helper.make_node("MaxPool", ["padded"], ["y"], kernel_shape=[3, 3], strides=[2, 2]),
    ]
    constants = [onnx.numpy_helper.from_array(np.array([0, 0, 1, 1, 0, 0, 1, 1], np.int64), "pads")]
    if before_convolution:
        nodes = [
            helper.make_node("Pad", ["x", "pads"], ["around"]),
            helper.make_node("Conv", ["around", "kernel"], ["convolved"]),
            helper.make_node("Pad", ["convolved", "pads"], ["padded"]),
            nodes[1],
        ]
        constants.append(onnx.numpy_helper.from_array(np.ones((1, 1, 3, 3), np.float32), "kernel"))
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info("x", 1, ["N", 1, 5, 5])],
        [helper.make_tensor_value_info("y", 1, ["N", 1, 3, 3])],
        constants,
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=10)
    path.write_bytes(model.SerializeToString())


def test_pad_fusion_is_switched_off_and_nothing_else(tmp_path: Path) -> None:
    padded_pooling(tmp_path / "pool.onnx")
    published = export(resolve(str(tmp_path / "pool.onnx")), repository=tmp_path / "models")
    assert published.manifest.session.disabled_optimizers == ["Pad_Fusion"]
    assert any("Pad_Fusion" in check.detail for check in published.report.checks)
    negative = {"x": np.full((2, 1, 5, 5), -1, np.float32)}
    served = Engine.load(published.folder / "model.onnx").run(negative)["y"]
    assert served.max() == 0  # the padding's zeros are the largest
    original = Engine.load(tmp_path / "pool.onnx", settings=SessionSettings())
    if np.array_equal(original.run(negative)["y"], served):
        pytest.fail("this ONNX Runtime no longer has the fault; the search for the guilty optimiser needs another case")


@pytest.mark.parametrize(("opset", "told"), [(18, "1 Pad nodes name their axes"), (13, "1 copies stand between nodes")])
def test_the_published_file_is_right_in_a_plain_session(tmp_path: Path, opset: int, told: str) -> None:
    """Triton and every other user of the runtime load the same folder with its defaults, and read no manifest."""
    import onnxruntime

    padded_pooling(tmp_path / "pool.onnx", opset)
    published = export(resolve(str(tmp_path / "pool.onnx")), repository=tmp_path / "models")
    assert any(check.detail.endswith(told) for check in published.report.checks)
    assert published.report.rung("cpu, the runtime's defaults") <= published.report.limit
    assert published.manifest.session.disabled_optimizers == ["Pad_Fusion"]
    feeds = {"x": -np.arange(1, 51, dtype=np.float32).reshape(2, 1, 5, 5)}
    stock = onnxruntime.InferenceSession(published.folder / "model.onnx", providers=["CPUExecutionProvider"])
    plain = Engine.load(tmp_path / "pool.onnx", settings=SessionSettings(optimization="none"))
    np.testing.assert_array_equal(stock.run(None, feeds)[0], plain.run(feeds)["y"])


def test_only_what_is_needed_is_rewritten(tmp_path: Path) -> None:
    """A Pad that is rightly folded into its convolution stays as it is."""
    padded_pooling(tmp_path / "pool.onnx", before_convolution=True)
    published = export(resolve(str(tmp_path / "pool.onnx")), repository=tmp_path / "models")
    pads = [node for node in onnx.load(published.folder / "model.onnx").graph.node if node.op_type == "Pad"]
    assert sorted(len(node.input) for node in pads) == [2, 4]


def test_the_fewest_that_suffice_are_found() -> None:
    assert fewest("abcdefg", lambda chosen: {"b", "f"} <= set(chosen)) == ["b", "f"]
    assert fewest([1], lambda chosen: 1 in chosen) == [1]
