"""`onnxpress.export.measure` on two functions, and on a function and a graph, as a user's own test calls it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from onnxpress.core.errors import UsageError
from onnxpress.export import measure

onnx = pytest.importorskip("onnx")

WEIGHT = np.random.default_rng(2).standard_normal((12, 5))
INPUTS = ["x:float32[batch,12]"]


def original(x: np.ndarray) -> dict[str, np.ndarray]:
    return {"y": np.tanh(x @ WEIGHT.astype(np.float32))}


def truth(x: np.ndarray) -> dict[str, np.ndarray]:
    return {"y": np.tanh(x @ WEIGHT)}


def graph(weight: np.ndarray) -> bytes:
    helper = onnx.helper
    nodes = [helper.make_node("MatMul", ["x", "w"], ["product"]), helper.make_node("Tanh", ["product"], ["y"])]
    made = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info("x", onnx.TensorProto.FLOAT, ["batch", 12])],
        [helper.make_tensor_value_info("y", onnx.TensorProto.FLOAT, ["batch", 5])],
        [onnx.numpy_helper.from_array(weight.astype(np.float32), "w")],
    )
    model = helper.make_model(made, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)
    return bytes(model.SerializeToString())


def faulty() -> np.ndarray:
    weight = WEIGHT.copy()
    weight[0, 0] *= 1.001
    return weight


def test_a_sound_graph_is_equivalent_from_bytes_and_from_a_file(tmp_path: Path) -> None:
    report = measure(original, graph(WEIGHT), inputs=INPUTS, truth=truth)
    assert report.equivalent, report
    assert report.floor == "float64"
    assert report.batch_safe
    path = tmp_path / "model.onnx"
    path.write_bytes(graph(WEIGHT))
    assert measure(original, str(path), inputs=INPUTS).floor == "ulp"


@pytest.mark.parametrize("exact", [truth, None])
def test_one_weight_changed_by_a_thousandth_is_not(exact: object) -> None:
    report = measure(original, graph(faulty()), inputs=INPUTS, truth=exact)  # type: ignore[arg-type]
    assert not report.equivalent, report
    assert "NOT equivalent" in str(report)


def test_two_functions() -> None:
    assert measure(original, original, inputs=INPUTS, truth=truth).worst_multiple == 0


def test_other_outputs_are_wrong_usage() -> None:
    with pytest.raises(UsageError, match="the original answers y; the export z"):
        measure(original, lambda x: {"z": x}, inputs=INPUTS)


def test_a_function_that_does_not_name_its_outputs_is_wrong_usage() -> None:
    with pytest.raises(UsageError, match="returned ndarray"):
        measure(lambda x: x, original, inputs=INPUTS)  # type: ignore[arg-type, return-value]


def test_the_package_says_what_it_has() -> None:
    import onnxpress.export

    assert onnxpress.export.__all__ == ["measure"]
    with pytest.raises(AttributeError, match="nothing"):
        onnxpress.export.nothing  # noqa: B018
