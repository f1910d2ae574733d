"""What a graph does with values that shapes do not tell: found in small graphs written by hand."""

from __future__ import annotations

import contextlib

import numpy as np
import pytest
from tests.serving.onnx_models import model, node
from tests.serving.publishing import MODELS

from onnxpress.core.errors import BadData
from onnxpress.serving.engine import Engine
from onnxpress.serving.engine.value_dependent import Findings, findings

SIZES = {"n": np.array([2, -1], np.int64), "two": np.array([2], np.int64)}
TO = np.array([3], np.int64)


def test_a_loop_is_unmeasured_and_a_plain_graph_is_not() -> None:
    assert any("Loop" in one for one in findings(MODELS / "slow.onnx").unmeasured)
    for name in ("tiny", "table", "echo"):
        assert findings(MODELS / f"{name}.onnx") == Findings()


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
    assert findings(made) == Findings()


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


A, B, Y = "a:int64[n]", "b:int64[n]", "y:int64[n]"
ONE, LESS = np.array([1], np.int64), np.array([-1], np.int64)
EQUAL = node("Equal", ["b", "less"], ["e"])


@pytest.mark.parametrize(
    ("nodes", "traps"),
    [
        ([node("Equal", ["b", "less"], ["e"]), node("Where", ["e", "one", "b"], ["c"])], False),
        ([node("Equal", ["less", "b"], ["e"]), node("Where", ["e", "one", "b"], ["c"])], False),
        ([EQUAL, node("Not", ["e"], ["u"]), node("Where", ["u", "b", "one"], ["c"])], False),
        ([node("Greater", ["b", "zero"], ["e"]), node("Where", ["e", "b", "one"], ["c"])], False),
        ([node("Less", ["zero", "b"], ["e"]), node("Where", ["e", "b", "one"], ["c"])], False),
        ([node("LessOrEqual", ["b", "zero"], ["e"]), node("Where", ["e", "one", "b"], ["c"])], False),
        ([node("Abs", ["b"], ["c"])], False),
        ([node("Clip", ["b", "one"], ["c"])], False),
        ([node("Max", ["b", "zero"], ["c"])], False),
        ([node("Abs", ["b"], ["p"]), node("Identity", ["p"], ["c"])], False),
        ([node("Mod", ["b", "seven"], ["c"])], False),
        # The guard that is none: of another tensor, turned round, for another value, or with -1 in its place.
        ([node("Equal", ["a", "less"], ["e"]), node("Where", ["e", "one", "b"], ["c"])], True),
        ([node("Equal", ["b", "less"], ["e"]), node("Where", ["e", "b", "one"], ["c"])], True),
        ([node("Equal", ["b", "one"], ["e"]), node("Where", ["e", "one", "b"], ["c"])], True),
        ([node("Equal", ["b", "less"], ["e"]), node("Where", ["e", "less", "b"], ["c"])], True),
        ([node("Greater", ["b", "zero"], ["e"]), node("Where", ["e", "one", "b"], ["c"])], True),
        ([node("Greater", ["b", "before"], ["e"]), node("Where", ["e", "b", "one"], ["c"])], True),
        ([EQUAL, node("Where", ["e", "one", "b"], ["s"]), node("Neg", ["s"], ["c"])], True),
        ([node("Clip", ["b", "less"], ["c"])], True),
        ([node("Max", ["b", "less"], ["c"])], True),
        ([node("Equal", ["b", "pair"], ["e"]), node("Where", ["e", "one", "b"], ["c"])], True),
    ],
)  # fmt: skip
def test_a_guard_before_the_division_is_understood_and_no_other(nodes: list[bytes], traps: bool) -> None:
    constants = {
        "one": ONE, "less": LESS, "zero": ONE - 1, "seven": ONE * 7, "before": LESS - 1,
        "pair": np.array([-1, 5], np.int64),
    }  # fmt: skip
    made = model([*nodes, node("Div", ["a", "c"], ["y"])], [A, B], [Y], constants)
    assert bool(findings(made).trapping) == traps
    if not traps:  # and it is the truth: the processor would end this process
        feeds = {"a": np.full(5, -(2**63), np.int64), "b": np.array([-1, 1, 2, -(2**63), 2**63 - 1], np.int64)}
        with contextlib.suppress(BadData):  # a division by zero is refused by the runtime
            Engine.load(made).run(feeds)


def test_two_outputs_of_one_node_are_two_tensors() -> None:
    """A guard of the first half says nothing of the second."""
    nodes = [
        node("Split", ["b"], ["f", "s"], num_outputs=2, axis=0),
        node("Equal", ["f", "less"], ["e"]),
        node("Where", ["e", "one", "s"], ["c"]),
        node("Div", ["a", "c"], ["y"]),
    ]
    assert findings(model(nodes, [A, B], [Y], {"one": ONE, "less": LESS})).trapping


@pytest.mark.parametrize(("listed", "traps"), [([2, 3], False), ([2, -1], True)])
def test_a_list_of_a_constant_node_is_looked_at(listed: list[int], traps: bool) -> None:
    nodes = [node("Constant", [], ["c"], value_ints=listed), node("Div", ["a", "c"], ["y"])]
    assert bool(findings(model(nodes, ["a:int64[2]"], ["y:int64[2]"])).trapping) == traps
