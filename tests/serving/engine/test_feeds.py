"""What a caller hands over becomes the model's arrays, and no value is changed on the way."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from onnxpress.core.errors import BadData
from onnxpress.core.tensors import parse_spec
from onnxpress.serving.engine.feeds import as_arrays


def one(spec: str, value: Any) -> Any:
    return as_arrays([parse_spec(spec)], value, where="m")[parse_spec(spec).name]


@pytest.mark.parametrize(
    ("spec", "value", "expected"),
    [
        ("x:float32[n]", [1, 2.5], np.array([1, 2.5], np.float32)),
        ("x:float32[n]", np.array([0.1]), np.array([0.1], np.float32)),
        ("x:float32[n]", np.array([np.nan, np.inf]), np.array([np.nan, np.inf], np.float32)),
        ("x:float32[n]", np.array([1, 2], object), np.array([1, 2], np.float32)),
        ("x:float16[n]", [0.1], np.array([0.1], np.float16)),
        ("x:bfloat16[n]", [0.1], np.array([0.1], np.float32)),
        ("x:int64[n]", [1.0, 2.0], np.array([1, 2])),
        ("x:uint8[n]", [0, 255], np.array([0, 255], np.uint8)),
        ("x:bool[n]", [True, False], np.array([True, False])),
        ("x:bool[n]", [1, 0], np.array([True, False])),
        ("x:string[n]", ["é", ""], np.array(["é", ""], object)),
        ("x:string[n]", np.array(["ab", "c"]), np.array(["ab", "c"], object)),
        ("x:float32[]", 2, np.array(2, np.float32)),
        ("x:float32[0,n]", np.zeros((0, 3)), np.zeros((0, 3), np.float32)),
    ],
)
def test_what_keeps_its_value_is_taken(spec: str, value: Any, expected: Any) -> None:
    found = one(spec, value)
    assert found.dtype == expected.dtype
    np.testing.assert_array_equal(found, expected)


def test_an_array_that_fits_is_not_copied() -> None:
    for dtype in ("float32", "int64", "bool", "object"):
        value = np.zeros(3, dtype) if dtype != "object" else np.full(3, "a", object)
        assert one(f"x:{'string' if dtype == 'object' else dtype}[n]", value) is value


def test_bfloat16_arrays_of_ml_dtypes_are_taken() -> None:
    ml_dtypes = pytest.importorskip("ml_dtypes")
    value = np.array([1.5, -2], ml_dtypes.bfloat16)
    np.testing.assert_array_equal(one("x:bfloat16[n]", value), np.array([1.5, -2], np.float32))
    np.testing.assert_array_equal(one("x:float32[n]", value), np.array([1.5, -2], np.float32))


@pytest.mark.parametrize(
    ("spec", "value", "said"),
    [
        ("x:float32[n]", [2**24 + 1], "16777217 would become 1.6777216e"),
        ("x:float32[n]", np.array([1, 1e300]), r"1e\+300 would become inf"),
        ("x:float32[n]", ["1"], "they are <U1"),
        ("x:float32[n]", [1, None], "None is among them"),
        ("x:float32[n]", [2**70], "is among them"),
        ("x:float32[n]", [1j], "they are complex128"),
        ("x:float32[n]", np.array(["2026-01-01"], "M8[D]"), "they are datetime64"),
        ("x:int64[n]", [1.5], "1.5 would become 1"),
        ("x:int64[n]", [np.nan], "nan would become"),
        ("x:int64[n]", np.array([2**63], np.uint64), "9223372036854775808 would become"),
        ("x:uint64[n]", [-1], "-1 would become 18446744073709551615"),
        ("x:uint8[n]", [256], "256 would become 0"),
        ("x:bool[n]", [2], "2 would become True"),
        ("x:string[n]", [1], "they are int64"),
        ("x:string[n]", [b"a"], "they are |S1"),
        ("x:string[n]", ["a", None], "None is NoneType"),
        ("x:float32[n,2]", [[1, 2], [3]], "are no array"),
        ("x:float32[n,2]", [[1, 2, 3]], "axis 1 is 3"),
        ("x:float32[n,2]", [1, 2], "wants 2 dimensions"),
        ("x:float32[n]", {}, "the input x:float32.n. is missing"),
        ("x:float32[n]", {"x": [1], "z": [1]}, "no input 'z'"),
    ],
)
def test_what_would_change_is_refused_by_name(spec: str, value: Any, said: str) -> None:
    with pytest.raises(BadData, match=said) as caught:
        one(spec, value)
    assert caught.value.where == "m"


def test_several_inputs_come_by_name_and_share_their_dimensions() -> None:
    specs = [parse_spec("a:float32[batch,2]"), parse_spec("b:int64[batch]")]
    assert list(as_arrays(specs, {"b": [1], "a": [[1, 2]]}, where="m")) == ["a", "b"]
    with pytest.raises(BadData, match="hand them over by name"):
        as_arrays(specs, [1], where="m")
    with pytest.raises(BadData, match="'batch' is 1 elsewhere"):
        as_arrays(specs, {"a": [[1, 2]], "b": [1, 2]}, where="m")
