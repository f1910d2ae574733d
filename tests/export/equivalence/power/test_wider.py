"""Wider inputs reach both sides of what a graph decides by, every row of a table, and stay in a declared domain."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("onnx")
import onnx
from onnx import TensorProto, helper, numpy_helper

from onnxpress.core.tensors import Domain, TensorSpec, parse_spec
from onnxpress.export.equivalence.power.wider import bounds_of, wider
from onnxpress.export.equivalence.values import NOTHING_SHOWN, Shown


def clips(*bounds: float) -> onnx.ModelProto:
    constants = [numpy_helper.from_array(np.float32(bound), f"b{at}") for at, bound in enumerate(bounds)]
    nodes = [helper.make_node("Max", ["x", value.name], [f"y{value.name}"]) for value in constants]
    value = helper.make_tensor_value_info("x", TensorProto.FLOAT, ["batch", 4])
    return helper.make_model(helper.make_graph(nodes, "g", [value], [], constants))


def values(spec: TensorSpec, model: onnx.ModelProto, shown: Shown = NOTHING_SHOWN) -> list[np.ndarray]:
    found = wider([spec], {}, model, shown, seed=1, light=True)
    assert len({case.name for case in found}) == len(found)
    return [case.feeds[spec.name] for case in found]


def test_floats_lie_on_both_sides_of_every_bound() -> None:
    model = clips(300.0, -0.02, 1e30)
    assert bounds_of(model).tolist() == pytest.approx([-0.02, 300.0]), "a guard against infinity is no bound"
    together = np.concatenate([value.ravel() for value in values(parse_spec("x:float32[batch,4]"), model)])
    assert ((together > 300) & (together < 500)).any()
    assert ((together > 100) & (together < 300)).any()
    assert together.dtype == np.float32


def test_every_row_of_a_table_is_looked_up() -> None:
    shown = Shown({"ids": 100}, ())
    found = values(parse_spec("ids:int64[batch,4]"), clips(), shown)
    assert set(np.concatenate([value.ravel() for value in found]).tolist()) == set(range(100))


def test_masks_have_every_length() -> None:
    found = values(parse_spec("mask:int64[batch,5]"), clips())
    rows = {tuple(row) for value in found for row in value.tolist()}
    assert {(1, 1, 0, 0, 0), (0, 0, 0, 0, 0), (1, 1, 1, 1, 1)} <= rows


def test_a_declared_domain_is_kept() -> None:
    spec = TensorSpec(name="x", dtype="float32", shape=("batch", 4), domain=Domain(low=0.0, high=1.0))
    for value in values(spec, clips(300.0)):
        assert value.min() >= 0
        assert value.max() <= 1
