"""Nested lists as arrays of a declared dtype: exact, of the nested shape, and nothing taken for something else."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from onnxpress.core.tensors import TensorSpec, parse_spec
from onnxpress.serving.protocol.datatypes import DATATYPE_OF
from onnxpress.serving.protocol.nested import array_of

NUMBERS = [dtype for dtype in DATATYPE_OF if dtype not in {"string", "bfloat16"}]
ODD = {
    "bool": [0, 1, 1.0, "true", None],
    "string": [1, 1.5, True, None, {"b64": 1}, {"b64": "a"}, {"text": "a"}],
    "float32": [True, "1", None, {"b64": "AA=="}, "NaN"],
    "int64": [True, 1.0, "1", None, 1e3],
    "uint8": [True, 0.0, "1", None],
}


def spec_of(dtype: str, rank: int) -> TensorSpec:
    return parse_spec(f"x:{dtype}[{','.join(f'd{axis}' for axis in range(rank))}]")


@given(data=st.data(), dtype=st.sampled_from(NUMBERS), shape=arrays.array_shapes(min_dims=0, max_dims=4, max_side=3))
def test_every_array_comes_back(data: st.DataObject, dtype: str, shape: tuple[int, ...]) -> None:
    x = data.draw(
        arrays.arrays(
            dtype, shape, elements={"allow_nan": False, "allow_infinity": False} if "float" in dtype else None
        )
    )
    found = array_of(spec_of(dtype, x.ndim), json.loads(json.dumps(x.tolist())))
    assert (found.dtype, found.shape) == (x.dtype, x.shape)
    np.testing.assert_array_equal(found, x)


@given(arrays.arrays(object, arrays.array_shapes(max_dims=3, max_side=3), elements=st.text(max_size=5)))
def test_every_text_comes_back(x: Any) -> None:
    assert array_of(spec_of("string", x.ndim), x.tolist()).tolist() == x.tolist()


@pytest.mark.parametrize(("dtype", "odd"), [(dtype, odd) for dtype, every in ODD.items() for odd in every])
def test_nothing_is_taken_for_something_else(dtype: str, odd: Any) -> None:
    fine = {"bool": True, "string": "a", "float32": 1.5}.get(dtype, 1)
    for data in ([odd], [fine, odd], [fine] * 100 + [odd]):
        with pytest.raises(ValueError, match="'x'"):
            array_of(spec_of(dtype, 1), data)


@pytest.mark.parametrize("data", [[[1], 2], [1, [2]], [[1], [2, 3]], [[[1]], [[2, 3]]], [[1], []]])
def test_lists_of_different_lengths(data: Any) -> None:
    with pytest.raises(ValueError, match="differ in length"):
        array_of(spec_of("float32", 3), data)


def test_what_is_nested_deeper_than_the_model_says() -> None:
    deep: Any = 1
    for _ in range(900):
        deep = [deep]
    with pytest.raises(ValueError, match="more axes than"):
        array_of(spec_of("float32", 2), deep)


def test_nan_where_it_may_be() -> None:
    assert np.isnan(array_of(spec_of("float32", 1), [None], null=True)).all()
    with pytest.raises(ValueError, match="are no int64"):
        array_of(spec_of("int64", 1), [None], null=True)
    spec = TensorSpec(name="x", dtype="float32", shape=("batch",), refuses=("nan",))
    with pytest.raises(ValueError, match="holds NaN"):
        array_of(spec, [None, 1], null=True)


def test_empty_lists_have_a_shape() -> None:
    assert array_of(spec_of("float32", 2), [[], []]).shape == (2, 0)
    assert array_of(spec_of("float32", 1), []).shape == (0,)
