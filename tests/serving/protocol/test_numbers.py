"""Long lists read by simdjson: the values that Python's json gives, and the refusals of the careful reading."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from onnxpress.core.arrays import Array
from onnxpress.core.tensors import parse_spec
from onnxpress.serving.protocol import numbers
from onnxpress.serving.protocol.refusal import Refusal
from onnxpress.serving.protocol.requests import Reader
from onnxpress.serving.protocol.strictness import strict

pytest.importorskip("simdjson", reason="simdjson is not installed: the extra `simd`")

Y = parse_spec("y:float32[batch]")
READERS = {
    dtype: Reader([parse_spec(f"x:{dtype}[batch,3]")], [Y]) for dtype in ("float32", "float64", "int64", "uint8")
}
DATATYPES = {"float32": "FP32", "float64": "FP64", "int64": "INT64", "uint8": "UINT8"}


def body(text: str, rows: int, dtype: str = "float32", rest: str = "") -> bytes:
    """A request whose data are written as in `text`."""
    return (
        f'{{"inputs":[{{"name":"x","shape":[{rows},3],"datatype":"{DATATYPES[dtype]}","data":{text}}}]{rest}}}'
    ).encode()


def read(content: bytes, dtype: str = "float32") -> Array | str:
    """The array of the one input, or what the refusal says."""
    own = READERS[dtype]
    try:
        return strict().run(lambda: own.feeds([own.read(content)]))["x"]
    except Refusal as refusal:
        return f"{refusal.status}: {refusal.message}"


def read_carefully(content: bytes, dtype: str, patch: pytest.MonkeyPatch) -> Array | str:
    """The same without simdjson."""
    with patch.context() as without:
        without.setattr(numbers, "LONG", len(content) + 1)
        return read(content, dtype)


def same(one: Array | str, other: Array | str) -> bool:
    """Whether these are the same bytes, but for the sign of `-0`; or both refusals, with the same words."""
    if isinstance(one, str) or isinstance(other, str):
        return isinstance(one, str) and isinstance(other, str) and one == other
    return one.dtype == other.dtype and one.shape == other.shape and bool(np.array_equal(one, other, equal_nan=True))


def long(items: list[str], separator: str = ",") -> tuple[str, int]:
    """The items, repeated until they are long and fill rows of 3, and how many rows these are."""
    items = items * (3 * (1 + numbers.LONG // max(1, len(separator.join(items)))))
    return f"[{separator.join(items)}]", len(items) // 3


DECIMALS = st.one_of(
    st.floats(allow_nan=False, allow_infinity=False).map(repr),
    st.floats(width=32, allow_nan=False, allow_infinity=False).map(repr),
    st.floats(0, 1).map(lambda value: f"{value:.6f}"),
    st.integers(-(2**63), 2**64 - 1).map(str),
    st.from_regex(r"-?(0|[1-9][0-9]{0,30})(\.[0-9]{1,30})?([eE][+-]?[0-9]{1,3})?", fullmatch=True),
)


@settings(deadline=None, max_examples=200)
@given(
    st.lists(DECIMALS, min_size=1, max_size=30), st.sampled_from([",", ", ", " ,\n"]), st.sampled_from(list(READERS))
)
def test_values_are_those_of_the_careful_reading(items: list[str], separator: str, dtype: str) -> None:
    text, rows = long(items, separator)
    with pytest.MonkeyPatch.context() as patch:
        careful = read_carefully(body(text, rows, dtype), dtype, patch)
    found = read(body(text, rows, dtype), dtype)
    assert same(found, careful)
    if dtype.startswith("float") and isinstance(found, np.ndarray):
        exact = np.array([float(item) for item in json.loads(text)])
        assert found.ravel().tolist() == exact.astype(dtype).tolist()


@settings(deadline=None, max_examples=300)
@given(st.data())
def test_what_is_wrong_is_refused_as_by_the_careful_reading(data: st.DataObject) -> None:
    text, rows = long([f"{value / 7:.6f}" for value in range(21)])
    place = data.draw(st.integers(0, len(text)))
    gone = data.draw(st.integers(0, 3))
    instead = data.draw(st.text('0123456789.,-+eE []{}":nulltrue/\\\x00', max_size=4))
    wrong = text[:place] + instead + text[place + gone :]
    with pytest.MonkeyPatch.context() as patch:
        careful = read_carefully(body(wrong, rows), "float32", patch)
    assert same(read(body(wrong, rows)), careful)


def test_long_lists_are_read_without_objects_for_the_numbers() -> None:
    text, rows = long(["0.25", "1", "-2e-3"])
    own = READERS["float32"]
    (values,) = own.read(body(text, rows)).values
    assert isinstance(values, np.ndarray)
    assert values.dtype == np.float32
    assert own.reads_long


def test_nested_lists_have_the_shape_that_they_say() -> None:
    rows = [[0.5, 1.0, -3.25]] * numbers.LONG
    own = READERS["float32"]
    inputs = own.read(body(json.dumps(rows), len(rows)))
    assert isinstance(inputs.values[0], np.ndarray)
    np.testing.assert_array_equal(own.feeds([inputs])["x"], np.array(rows, np.float32))
    crooked = [*rows[:-2], [0.5, 1.0], [-3.25, 0.5, 1.0, -3.25]]
    assert "do not have the shape" in str(read(body(json.dumps(crooked), len(rows))))


@pytest.mark.parametrize(
    ("dtype", "item", "said"),
    [
        ("uint8", "256", "do not fit UINT8"),
        ("uint8", "-1", "do not fit UINT8"),
        ("uint8", "1.0", "which is no UINT8"),
        ("float32", "1e39", "do not fit FP32"),
        ("float32", '"1"', "which is no FP32"),
        ("float32", "true", "which is no FP32"),
    ],
)
def test_what_does_not_fit(dtype: str, item: str, said: str) -> None:
    text, rows = long(["1", "2", item])
    assert said in str(read(body(text, rows, dtype), dtype))


def test_null_is_nan_in_a_long_list_too() -> None:
    text, rows = long(["1", "null", "2.5"])
    np.testing.assert_array_equal(read(body(text, rows)), np.array([[1, np.nan, 2.5]] * rows, np.float32))


@pytest.mark.parametrize(
    "rest",
    [
        ',"id":"\\"data\\":[1,2,3]"',
        ',"id":"@0"',
        ',"more":{"data":[1,2,3]}',
        ',"id":"data"',
        ',"outputs":[{"name":"y"}]',
    ],
)
def test_what_stands_besides_the_list(rest: str) -> None:
    text, rows = long(["1", "2", "3"])
    np.testing.assert_array_equal(read(body(text, rows, rest=rest)), np.array([[1, 2, 3]] * rows, np.float32))


def test_a_list_elsewhere_is_no_data() -> None:
    text, rows = long(["1", "2", "3"])
    stolen = body('"@0"', rows, rest=f',"more":{{"data":{text}}}')
    assert isinstance(read(stolen), str)
    twice = body(f'{text},"data":[1,2,3]', 1)
    np.testing.assert_array_equal(read(twice), np.array([[1, 2, 3]], np.float32))
    assert isinstance(read(body(f'[{text[1:-1]},x],"data":[1,2,3]', 1)), str)


def test_several_long_inputs() -> None:
    own = Reader([parse_spec("a:float32[batch,3]"), parse_spec("b:int64[batch]")], [Y])
    rows = numbers.LONG
    a, b = np.random.default_rng(0).random((rows, 3)).astype(np.float32), np.arange(rows)
    tensors = [
        {"name": "b", "shape": [rows], "datatype": "INT64", "data": b.tolist()},
        {"name": "a", "shape": [rows, 3], "datatype": "FP32", "data": a.tolist()},
    ]
    inputs = own.read(json.dumps({"inputs": tensors}).encode())
    assert all(isinstance(values, np.ndarray) for values in inputs.values)
    feeds = own.feeds([inputs, inputs])
    np.testing.assert_array_equal(feeds["a"], np.concatenate([a, a]))
    np.testing.assert_array_equal(feeds["b"], np.concatenate([b, b]))


def test_simdjson_is_loaded_for_the_first_long_list_and_not_before() -> None:
    program = f"""
import sys
from typing import Any
from onnxpress.core.tensors import parse_spec
from onnxpress.serving.protocol.requests import Reader
own = Reader([parse_spec("x:float32[n]")], [parse_spec("y:float32[n]")])
def ask(n):
    own.read(b'{{"inputs":[{{"name":"x","shape":[%d],"datatype":"FP32","data":[%b]}}]}}' % (n, b",".join([b"1"] * n)))
    return "simdjson" in sys.modules
assert (ask(10), ask({numbers.LONG})) == (False, True)
sys.modules["simdjson"] = None
from onnxpress.serving.protocol import numbers
numbers.parser_type.cache_clear()
own = Reader([parse_spec("x:float32[n]")], [parse_spec("y:float32[n]")])
ask({numbers.LONG})
assert not own.reads_long
"""
    subprocess.run([sys.executable, "-c", program], check=True, timeout=60)


class Looked(bytes):
    """Bytes that count how far they were looked through."""

    seen = 0

    def find(self, sub: Any, start: Any = None, end: Any = None) -> int:
        at = super().find(sub, start, end)
        stop = len(self) if end is None else end
        Looked.seen += (stop if at < 0 else at) - (start or 0)
        return at

    def rfind(self, sub: Any, start: Any = None, end: Any = None) -> int:
        at = super().rfind(sub, start, end)
        Looked.seen += (len(self) if end is None else end) - max(at, start or 0)
        return at


@pytest.mark.parametrize("part", [b'"data":[1],', b'"data":[', b'"data":[[1]', b'"data":[1 "', b'"data":[1}'])
def test_the_same_key_again_and_again_is_not_looked_through_again_and_again(part: bytes) -> None:
    text = Looked(b'{"inputs":[{' + part * 20_000)
    Looked.seen = 0
    numbers.cut(text)
    assert Looked.seen < 8 * len(text)
