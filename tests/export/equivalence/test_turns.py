"""Integers are asked where the graph turns, and far from all that was shown: what turns elsewhere is refused."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest

pytest.importorskip("onnx")
import onnx

from onnxpress.core.tensors import Domain, TensorSpec
from onnxpress.export import measure
from onnxpress.export.equivalence.graph_domain import shown
from onnxpress.export.equivalence.turns import turns
from onnxpress.export.equivalence.values import around

ROWS = np.random.default_rng(0).integers(0, 100, (50, 6))
Original = Callable[[np.ndarray], dict[str, np.ndarray]]


def graph(body: str, *, constants: str = "", dtype: str = "int64", columns: int = 6) -> onnx.ModelProto:
    return onnx.parser.parse_model(f"""
        <ir_version: 10, opset_import: ["": 20]>
        g ({dtype}[batch, {columns}] x) => (float[batch, n] y) <float zero = {{0.0}}, float one = {{1.0}}{constants}> {{
            f = Cast<to = 1>(x)
            {body}
        }}
    """)


def asked(original: Original, made: onnx.ModelProto) -> bool:
    given = f"x:int64[batch,{ROWS.shape[1]}]"
    return measure(original, made.SerializeToString(), inputs=[given], samples={"x": ROWS}).equivalent


def floats(value: np.ndarray) -> dict[str, np.ndarray]:
    return {"y": value.astype(np.float32)}


Way = tuple[str, Callable[[int], str], Callable[[np.ndarray, int], np.ndarray]]
WAYS: dict[str, Way] = {
    "plain": (
        "m = Greater(x, c) y = Where(m, one, f)",
        lambda c: f", int64 c = {{{c}}}",
        lambda x, c: np.where(x > c, 1, x),
    ),
    "cast": (
        "m = LessOrEqual(f, c) y = Where(m, f, one)",
        lambda c: f", float c = {{{c}.0}}",
        lambda x, c: np.where(x <= c, x, 1),
    ),
    "scaled": (
        "a = Sub(f, fifty) b = Div(a, fifty) m = Less(b, c) y = Where(m, f, one)",
        lambda c: f", float fifty = {{50.0}}, float c = {{{(c - 50) / 50}}}",
        lambda x, c: np.where(x < c, x, 1),
    ),
    "clipped": ("y = Min(f, c)", lambda c: f", float c = {{{c}.0}}", np.minimum),
    "equal": (
        "m = Equal(x, c) y = Where(m, one, f)",
        lambda c: f", int64 c = {{{c}}}",
        lambda x, c: np.where(x == c, 1, x),
    ),
    "summed": (
        "s = ReduceSum(x, axis) m = Greater(s, c) y = Where(m, one, f)",
        lambda c: f", int64[1] axis = {{1}}, int64 c = {{{c}}}",
        lambda x, c: np.where(x.sum(1, keepdims=True) > c, 1, x),
    ),
    "remainder": ("q = Mod(x, c) y = Cast<to = 1>(q)", lambda c: f", int64 c = {{{c}}}", np.mod),
    "square root": (
        "p = Max(f, zero) r = Sqrt(p) m = Greater(r, c) y = Where(m, one, f)",
        lambda c: f", float c = {{{math.sqrt(c + 0.5)}}}",
        lambda x, c: np.where(x > c, 1, x),
    ),
}


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize(("own", "exported"), [(4000, 5000), (4000, 4001), (5000, 4000)])
def test_what_turns_elsewhere_is_refused(way: str, own: int, exported: int) -> None:
    body, constants, function = WAYS[way]
    assert not asked(lambda x: floats(function(x, own)), graph(body, constants=constants(exported)))


@pytest.mark.parametrize("way", WAYS)
def test_what_turns_at_the_same_place_is_not(way: str) -> None:
    body, constants, function = WAYS[way]
    assert asked(lambda x: floats(function(x, 4000)), graph(body, constants=constants(4000)))


def test_a_turn_that_the_export_lost_is_refused() -> None:
    """The graph shows no constant: integers far from all that was shown are asked."""
    assert not asked(lambda x: floats(np.where(x > 4000, 1, x)), graph("y = Identity(f)"))


def test_what_the_original_does_not_answer_is_not_asked() -> None:
    """It knows the integers below 7000 alone: the rows of others are left out, and the rest is asked."""

    def known(turn: int) -> Original:
        def original(x: np.ndarray) -> dict[str, np.ndarray]:
            if ((x < 0) | (x > 7000)).any():
                raise KeyError("unknown")
            return floats(np.where(x > turn, 1, x))

        return original

    made = graph("m = Greater(x, c) y = Where(m, one, f)", constants=", int64 c = {5000}")
    assert asked(known(5000), made)
    assert not asked(known(4990), made)


def test_bounds_that_a_search_takes_out_of_a_table_are_known() -> None:
    """torch.bucketize becomes one: it compares with an element of the bounds, at a place that it computes."""
    made = graph(
        "i = Equal(x, x) j = Cast<to = 7>(i) b = Gather(bounds, j) m = Less(b, x) y = Where(m, one, f)",
        constants=", int64[2] bounds = {20, 4000}",
    )
    assert turns(made, ["x"]).of("x").tolist() == [20, 4000]


def test_an_integer_that_counts_is_not_asked_far_away() -> None:
    """It would fill the memory: of a table of so many rows, and of a loop of so many turns."""
    made = graph("r = ReduceMax<keepdims = 0>(x) z = ConstantOfShape<value = float[1] {0.0}>(x) y = Add(f, one)")
    assert turns(made, ["x"]).counts == {"x"}
    assert not shown(made).anywhere
    assert shown(graph("y = Identity(f)")).anywhere == {"x"}


@pytest.mark.parametrize("dtype", ["int16", "int32", "int64", "uint16", "uint64"])
def test_integers_around_a_turn_fit_their_type_and_domain(dtype: str) -> None:
    made = graph("m = Greater(f, c) y = Where(m, f, one)", constants=", float c = {40000.5}", dtype=dtype)
    values = around(TensorSpec(name="x", dtype=dtype, shape=("batch", 6)), shown(made))
    assert values.dtype == dtype
    assert dtype == "int16" or {40000, 40001, 20000} <= set(values.tolist())
    narrow = TensorSpec(name="x", dtype=dtype, shape=("batch", 6), domain=Domain(low=0, high=30000))
    assert around(narrow, shown(made)).max() <= 30000
    assert around(narrow, shown(made)).min() >= 0


def test_rows_that_nobody_showed_and_the_original_refuses_are_left_out() -> None:
    """It was fitted with a few codes and raises for others: what lies between them is not held against it."""
    rows = ROWS // 20 * 20

    def codes(x: np.ndarray) -> dict[str, np.ndarray]:
        if not np.isin(x, rows).all():
            raise ValueError("unknown code")
        return floats(x)

    made = graph("y = Identity(f)").SerializeToString()
    assert measure(codes, made, inputs=["x:int64[batch,6]"], samples={"x": rows}).equivalent
    with pytest.raises(ValueError, match="unknown code"):
        measure(codes, made, inputs=["x:int64[batch,6]"])
