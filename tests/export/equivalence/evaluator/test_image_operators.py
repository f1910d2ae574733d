"""Resize in float64 is exact, and means what ONNX Runtime and torch compute."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

onnx = pytest.importorskip("onnx")
from onnx import helper  # noqa: E402

from onnxpress.export.equivalence.evaluator.numpy_graph import NumpyGraph  # noqa: E402
from onnxpress.serving.engine import Engine  # noqa: E402

rng = np.random.default_rng(0)
X = rng.normal(size=(1, 2, 13, 17))


def graph(given: str, axes: list[int] | None, **attributes: Any) -> Any:
    whole = {"sizes": np.asarray([1, 2, 7, 31]), "scales": np.asarray([1, 1, 0.5, 1.7], np.float32)}[given]
    value = onnx.numpy_helper.from_array(whole if axes is None else whole[2:], "s")
    inputs = ["x", "", "", "s"] if given == "sizes" else ["x", "", "s"]
    node = helper.make_node("Resize", inputs, ["y"], **attributes, **({} if axes is None else {"axes": axes}))
    ends = [helper.make_tensor_value_info(name, 1, shape) for name, shape in (("x", X.shape), ("y", None))]
    made = helper.make_graph([node], "g", ends[:1], ends[1:], [value])
    return helper.make_model(made, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)


@pytest.mark.parametrize("axes", [None, [2, 3]])
@pytest.mark.parametrize("given", ["sizes", "scales"])
@pytest.mark.parametrize(
    ("where", "antialias"),
    [
        ("half_pixel", 0),
        ("half_pixel", 1),
        ("pytorch_half_pixel", 0),
        ("pytorch_half_pixel", 1),
        ("asymmetric", 0),
        ("align_corners", 0),
    ],
)
@pytest.mark.parametrize("mode", ["linear", "cubic"])
def test_it_means_what_the_runtime_computes(
    mode: str, where: str, antialias: int, given: str, axes: list[int] | None
) -> None:
    made = graph(
        given,
        axes,
        mode=mode,
        antialias=antialias,
        exclude_outside=antialias,
        coordinate_transformation_mode=where,
    )
    served = Engine.load(made.SerializeToString(), self_test=False).run({"x": X.astype(np.float32)})["y"]
    np.testing.assert_allclose(NumpyGraph(made).run({"x": X})["y"], served, atol=2e-5)


@pytest.mark.parametrize("antialias", [0, 1])
@pytest.mark.parametrize("mode", ["linear", "cubic"])
def test_it_is_exact_in_float64(mode: str, antialias: int) -> None:
    torch = pytest.importorskip("torch")
    made = graph(
        "sizes",
        None,
        mode=mode,
        antialias=antialias,
        exclude_outside=antialias,
        coordinate_transformation_mode="half_pixel",
        cubic_coeff_a=-0.5 if antialias else -0.75,
    )
    said = torch.nn.functional.interpolate(
        torch.from_numpy(X), (7, 31), mode=f"bi{mode}", antialias=bool(antialias), align_corners=False
    )
    np.testing.assert_allclose(NumpyGraph(made).run({"x": X})["y"], said.numpy(), atol=1e-13)
