"""What a graph does with values that shapes do not tell: found in small graphs written by hand."""

from __future__ import annotations

import numpy as np
import pytest
from tests.serving.onnx_models import model, node
from tests.serving.publishing import MODELS

from onnxpress.serving.engine import Engine
from onnxpress.serving.engine.value_dependent import findings

SIZES = {"n": np.array([2, -1], np.int64), "two": np.array([2], np.int64)}
TO = np.array([3], np.int64)


def test_a_loop_is_unmeasured_and_a_plain_graph_is_not() -> None:
    assert any("Loop" in one for one in findings(MODELS / "slow.onnx").unmeasured)
    for name in ("tiny", "table", "echo"):
        assert findings(MODELS / f"{name}.onnx") == ((), ())


def test_an_output_as_large_as_a_value_says_is_unmeasured() -> None:
    by_value = model([node("Expand", ["x", "s"], ["y"])], ["x:float32[b]", "s:int64[1]"], ["y:float32[m]"])
    assert findings(by_value).unmeasured == ("y (Expand)",)
    computed = [node("Cast", ["x"], ["i"], to=7), node("Mul", ["i", "two"], ["s"]), node("Tile", ["x", "s"], ["y"])]
    constants = {"two": SIZES["two"]}
    assert findings(model(computed, ["x:float32[1]"], ["y:float32[m]"], constants)).unmeasured == ("y (Tile)",)


def test_an_output_as_large_as_a_shape_says_is_measured() -> None:
    nodes = [node("Shape", ["x"], ["s"]), node("Mul", ["s", "two"], ["t"]), node("Expand", ["x", "s"], ["y"])]
    nodes += [node("Tile", ["y", "two"], ["z"])]
    made = model(nodes, ["x:float32[b]"], ["z:float32[m]"], {"two": SIZES["two"]})
    assert findings(made) == ((), ())


@pytest.mark.parametrize("operator", ["Div", "Mod"])
@pytest.mark.parametrize("dtype", ["int32", "int64"])
def test_a_division_that_callers_choose_is_found(operator: str, dtype: str) -> None:
    inputs = [f"a:{dtype}[n]", f"b:{dtype}[n]"]
    made = model([node(operator, ["a", "b"], ["y"])], inputs, [f"y:{dtype}[n]"])
    assert findings(made).trapping == (f"y ({operator})",)
    moved = [node("Transpose", ["b"], ["c"]), node(operator, ["a", "c"], ["y"])]
    assert findings(model(moved, inputs, [f"y:{dtype}[n]"])).trapping == (f"y ({operator})",)


@pytest.mark.parametrize(("divisor", "traps"), [(2, False), (-2, False), (-1, True)])
def test_a_constant_divisor_traps_where_it_is_minus_one(divisor: int, traps: bool) -> None:
    constants = {"c": np.array([divisor], np.int64)}
    made = model([node("Div", ["a", "c"], ["y"])], ["a:int64[n]"], ["y:int64[n]"], constants)
    assert bool(findings(made).trapping) == traps
    if not traps:
        answer = Engine.load(made).run({"a": np.array([-(2**63)], np.int64)})["y"]
        assert answer.tolist() == [-(2**63) // divisor]


def test_floats_sizes_and_short_integers_do_not_trap() -> None:
    for dtype in ("float32", "int8", "int16", "uint64"):
        made = model([node("Div", ["a", "b"], ["y"])], [f"a:{dtype}[n]", f"b:{dtype}[n]"], [f"y:{dtype}[n]"])
        assert findings(made).trapping == ()
    nodes = [node("Shape", ["a"], ["s"]), node("Div", ["s", "b"], ["y"])]
    assert findings(model(nodes, ["a:float32[n]", "b:int64[1]"], ["y:int64[1]"])).trapping == ()
    floats = [node("Cast", ["a"], ["f"], to=1), node("Div", ["f", "b"], ["y"])]
    assert findings(model(floats, ["a:int64[n]", "b:float32[n]"], ["y:float32[n]"])).trapping == ()


def test_what_cannot_be_read_is_unmeasured() -> None:
    assert findings(b"\x00").unmeasured
