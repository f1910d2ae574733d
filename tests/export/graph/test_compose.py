"""The graph form of every processing step answers like its numpy form."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from onnxpress.core.manifest import SessionSettings
from onnxpress.core.processing import MeanSquaredError, Processing, Scale, Threshold, Unscale, apply
from onnxpress.core.tensors import parse_spec
from onnxpress.serving.engine import Engine

onnx = pytest.importorskip("onnx")
from onnxpress.export.graph.compose import compose  # noqa: E402

WIDTH = 4
STEPS = Processing(
    before=[Scale(input="features", output="scaled", offset=[1.0, -2.0, 0.5, 0.0], factor=[0.5, 2.0, 1.0, 0.25])],
    after=[
        MeanSquaredError(input="decoded", target="scaled", output="score"),
        Threshold(input="score", output="is_anomaly", value=0.5),
        Unscale(input="decoded", output="reconstruction", offset=[1.0, -2.0, 0.5, 0.0], unit=[2.0, 0.5, 1.0, 4.0]),
    ],
)
INPUTS = [parse_spec(f"features:float32[batch,{WIDTH}]")]
OUTPUTS = [
    parse_spec(f"reconstruction:float32[batch,{WIDTH}]"),
    parse_spec("score:float32[batch]"),
    parse_spec("is_anomaly:bool[batch]"),
]


@pytest.fixture(scope="module")
def engine() -> Engine:
    """scaled → tanh → decoded, wrapped in the steps. Its inner tensor is called like a step's on purpose."""
    nodes = [
        onnx.helper.make_node("Identity", ["scaled"], ["score"]),
        onnx.helper.make_node("Tanh", ["score"], ["decoded"]),
    ]
    shape = ["batch", WIDTH]
    graph = onnx.helper.make_graph(
        nodes,
        "network",
        [onnx.helper.make_tensor_value_info("scaled", onnx.TensorProto.FLOAT, shape)],
        [onnx.helper.make_tensor_value_info("decoded", onnx.TensorProto.FLOAT, shape)],
    )
    network = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 18)], ir_version=10)
    proto = compose(network, STEPS, INPUTS, OUTPUTS)
    onnx.checker.check_model(proto, full_check=True)
    return Engine.load(proto.SerializeToString(), settings=SessionSettings(optimization="none"), self_test=False)


@settings(deadline=None, max_examples=50)
@given(
    x_BF=hnp.arrays(np.float32, st.tuples(st.integers(1, 9), st.just(WIDTH)), elements=st.floats(-100, 100, width=32))
)
def test_graph_form_equals_numpy_form(engine: Engine, x_BF: np.ndarray) -> None:
    tensors = apply(STEPS.before, {"features": x_BF})
    tensors["decoded"] = np.tanh(tensors["scaled"])
    expected = apply(STEPS.after, tensors)
    answers = engine.run({"features": x_BF})
    assert set(answers) == {"reconstruction", "score", "is_anomaly"}
    for name in ("reconstruction", "score"):
        assert answers[name].dtype == expected[name].dtype
        assert answers[name].shape == expected[name].shape
        np.testing.assert_allclose(answers[name], expected[name], rtol=1e-5, atol=1e-5)
    decided = np.abs(expected["score"] - 0.5) > 1e-4
    assert (answers["is_anomaly"] == expected["is_anomaly"])[decided].all()


def test_a_step_without_a_graph_form_is_an_error() -> None:
    from onnxpress.export.graph.compose import Fragment, write

    with pytest.raises(TypeError, match="no ONNX form"):
        write(object(), Fragment("x"))  # type: ignore[arg-type]
