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


@pytest.mark.parametrize("beside", [False, True])
def test_it_states_the_power_of_its_questions(beside: bool, tmp_path: Path) -> None:
    path = tmp_path / "model.onnx"
    proto = onnx.load_from_string(graph(WEIGHT))
    onnx.save(proto, path, save_as_external_data=beside, size_threshold=0)
    report = measure(original, path, inputs=INPUTS, truth=truth)
    assert report.equivalent, report
    assert report.power is not None
    assert report.power.planted > 5, report.power
    assert report.power.strong_shown >= 0.9 * report.power.strong, report.power
    assert str(report).startswith(f"these questions would have shown {report.power.shown} of ")


def test_what_only_wider_questions_show_is_asked_and_refused() -> None:
    """The original gives up above 0.77776, the export above 0.77777, of shares."""

    def limited(share: np.ndarray) -> dict[str, np.ndarray]:
        return {"y": np.where(share > np.float32(0.77776), np.float32(0), share * np.float32(0.3))}

    made = onnx.parser.parse_model("""
        <ir_version: 10, opset_import: ["": 20]>
        g (float[batch, 12] share) => (float[batch, 12] y)
        <float bound = {0.77777}, float scale = {0.3}, float zero = {0.0}>
        {
            scaled = Mul(share, scale)
            mask = Greater(share, bound)
            y = Where(mask, zero, scaled)
        }
    """)
    rows = np.random.default_rng(0).uniform(0, 1, (20, 12)).astype(np.float32)
    report = measure(limited, made.SerializeToString(), inputs=["share:float32[batch,12]"], samples={"share": rows})
    assert not report.equivalent, report
    assert any(case.name.startswith("wider") for case in report.cases)


def test_a_question_that_the_original_fails_on_is_not_asked() -> None:
    def narrow(x: np.ndarray) -> dict[str, np.ndarray]:
        if x.shape[0] > 64 or np.abs(x).max() > 1e4:
            raise RuntimeError("not for me")
        return original(x)

    assert measure(narrow, graph(WEIGHT), inputs=INPUTS, samples={"x": np.ones((3, 12), np.float32)}).power is not None


def test_bounded_answers_have_the_floor_of_their_bounds() -> None:
    """ONNX Runtime's Sigmoid is exact absolutely, not relatively: a rare class is not refused for it."""

    def rare(x: np.ndarray) -> dict[str, np.ndarray]:
        return {"y": np.exp(-np.logaddexp(0, 16 - x.astype(np.float64))).astype(np.float32)}

    made = onnx.parser.parse_model("""
        <ir_version: 10, opset_import: ["": 20]>
        g (float[batch, 12] x) => (float[batch, 12] y) <float sixteen = {16.0}>
        {
            shifted = Sub(x, sixteen)
            y = Sigmoid(shifted)
        }
    """)
    rows = np.random.default_rng(0).uniform(-1, 1, (20, 12)).astype(np.float32)
    report = measure(rare, made.SerializeToString(), inputs=INPUTS, samples={"x": rows}, truth=rare)
    assert report.equivalent, report


@pytest.mark.parametrize("seed", range(4))
def test_a_truth_may_hold_weights_that_float32_cannot(seed: int) -> None:
    """It is then off by a rounding of each weight: what the graph means in float64 is not held against it."""
    weight = np.random.default_rng(seed).standard_normal((64, 64)) / 8

    def wide(x: np.ndarray) -> dict[str, np.ndarray]:
        return {"y": np.tanh(x @ weight.astype(x.dtype))}

    made = onnx.parser.parse_model("""
        <ir_version: 10, opset_import: ["": 20]>
        g (float[batch, 64] x, float[64, 64] w) => (float[batch, 64] y) { p = MatMul(x, w) y = Tanh(p) }
    """)
    del made.graph.input[1]
    made.graph.initializer.append(onnx.numpy_helper.from_array(weight.astype(np.float32), "w"))
    report = measure(wide, made.SerializeToString(), inputs=["x:float32[batch,64]"], truth=wide)
    assert report.equivalent, report


def test_two_functions() -> None:
    report = measure(original, original, inputs=INPUTS, truth=truth)
    assert report.worst_multiple == 0
    assert report.power is not None
    assert report.power.why_not == "there is no graph to plant them in"


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
