"""Requests and responses in JSON: what goes in comes out, and each refusal says what is wrong."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from onnxpress.core.tensors import parse_spec
from onnxpress.serving.protocol.datatypes import DATATYPE_OF
from onnxpress.serving.protocol.inputs import Inputs
from onnxpress.serving.protocol.refusal import Refusal
from onnxpress.serving.protocol.requests import Reader
from onnxpress.serving.protocol.responses import Writer
from onnxpress.serving.protocol.strictness import strict

NUMBERS = [dtype for dtype in DATATYPE_OF if dtype not in {"string", "bfloat16"}]


class Codec:
    """Both halves of the protocol for one model."""

    def __init__(self, inputs: Sequence[str], outputs: Sequence[str]) -> None:
        specs = [parse_spec(text) for text in inputs], [parse_spec(text) for text in outputs]
        self.reader, self.writer = Reader(*specs), Writer("m", 1, specs[1])
        self.decode, self.feeds = self.reader.read, self.reader.feeds

    def encode(self, batch: Sequence[Inputs], answers: Sequence[Any]) -> list[bytes]:
        if len(batch) == 1:
            return [self.writer.alone(batch[0], answers)]
        return list(self.writer.together(batch, answers))


def codec(*inputs: str, outputs: tuple[str, ...] = ("y:float32[batch]",)) -> Codec:
    return Codec(inputs, outputs)


def echo(dtype: str, shape: str) -> Codec:
    return codec(f"x:{dtype}[{shape}]", outputs=(f"y:{dtype}[{shape}]",))


def request(data: Any, shape: list[int], datatype: str, **more: Any) -> bytes:
    return json.dumps({"inputs": [{"name": "x", "shape": shape, "datatype": datatype, "data": data}], **more}).encode()


def refused(codec: Codec, body: bytes) -> str:
    """The refusal's sentence, wherever it is found: while decoding, or while the arrays are made."""
    with pytest.raises(Refusal) as caught:
        strict().run(lambda: codec.feeds([codec.decode(body)]))
    assert caught.value.status == 400
    assert json.loads(caught.value.body()) == {"error": caught.value.message}
    return caught.value.message


@given(data=st.data(), dtype=st.sampled_from(NUMBERS), fixed=st.booleans(), nested=st.booleans())
def test_every_number_comes_back_as_it_was(data: st.DataObject, dtype: str, fixed: bool, nested: bool) -> None:
    shape = data.draw(arrays.array_shapes(min_dims=1, max_dims=3, max_side=4))
    x = data.draw(arrays.arrays(dtype, shape))
    if dtype not in {"float16", "float32", "float64"} or np.isfinite(x).all():
        spec = ",".join(["batch", *(str(size) if fixed else f"d{axis}" for axis, size in enumerate(shape[1:]))])
        made = echo(dtype, spec)
        values = x.tolist() if nested else x.ravel().tolist()
        inputs = made.decode(request(values, list(shape), DATATYPE_OF[dtype], id="7"))
        feeds = made.feeds([inputs])
        assert feeds["x"].dtype == x.dtype
        np.testing.assert_array_equal(feeds["x"], x)
        (body,) = made.encode([inputs], [feeds["x"]])
        answer = json.loads(body)
        assert (answer["model_name"], answer["model_version"], answer["id"]) == ("m", "1", "7")
        (tensor,) = answer["outputs"]
        assert (tensor["name"], tensor["datatype"], tensor["shape"]) == ("y", DATATYPE_OF[dtype], list(shape))
        np.testing.assert_array_equal(np.array(tensor["data"], dtype).reshape(shape), x)


@given(x=arrays.arrays(object, arrays.array_shapes(max_dims=2, max_side=3), elements=st.text(max_size=5)))
def test_every_text_comes_back_as_it_was(x: Any) -> None:
    made = echo("string", ",".join(["batch", *(f"d{axis}" for axis in range(1, x.ndim))]))
    inputs = made.decode(request(x.ravel().tolist(), list(x.shape), "BYTES"))
    (body,) = made.encode([inputs], [made.feeds([inputs])["x"]])
    assert json.loads(body)["outputs"][0]["data"] == x.ravel().tolist()


@pytest.mark.parametrize("dtype", NUMBERS)
def test_a_scalar_and_an_empty_tensor(dtype: str) -> None:
    scalar = echo(dtype, "")
    feeds = scalar.feeds([scalar.decode(request([1], [], DATATYPE_OF[dtype]))])
    assert (feeds["x"].shape, feeds["x"].dtype) == ((), np.dtype(dtype))
    empty = echo(dtype, "batch,3")
    inputs = empty.decode(request([], [0, 3], DATATYPE_OF[dtype]))
    feeds = empty.feeds([inputs])
    assert (feeds["x"].shape, feeds["x"].dtype) == ((0, 3), np.dtype(dtype))
    (body,) = empty.encode([inputs], [feeds["x"]])
    assert json.loads(body)["outputs"][0]["data"] == []


def test_null_is_nan_both_ways_and_an_infinity_is_written_as_null() -> None:
    made = echo("float32", "batch")
    feeds = made.feeds([made.decode(request([None, 1.5], [2], "FP32"))])
    np.testing.assert_array_equal(feeds["x"], np.array([np.nan, 1.5], np.float32))
    inputs = made.decode(request([0, 0, 0], [3], "FP32"))
    (body,) = made.encode([inputs], [np.array([np.nan, np.inf, 2], np.float32)])
    assert json.loads(body)["outputs"][0]["data"] == [None, None, 2]


@given(st.lists(st.integers(1, 4), min_size=2, max_size=5))
def test_the_rows_of_a_batch_go_back_to_who_sent_them(counts: list[int]) -> None:
    made = echo("int64", "batch,2")
    sent = [np.arange(count * 2).reshape(count, 2) + 100 * number for number, count in enumerate(counts)]
    batch = [made.decode(request(x.ravel().tolist(), list(x.shape), "INT64", id=str(n))) for n, x in enumerate(sent)]
    feeds = made.feeds(batch)
    np.testing.assert_array_equal(feeds["x"], np.concatenate(sent))
    for number, body in enumerate(made.encode(batch, [feeds["x"]])):
        answer = json.loads(body)
        assert answer["id"] == str(number)
        assert answer["outputs"][0]["shape"] == list(sent[number].shape)
        assert answer["outputs"][0]["data"] == sent[number].ravel().tolist()


def test_outputs_are_chosen_and_ordered_by_the_request() -> None:
    made = codec("x:float32[batch]", outputs=("p:float32[batch]", "q:int64[batch]"))
    inputs = made.decode(request([1], [1], "FP32", outputs=[{"name": "q"}, {"name": "p"}]))
    (body,) = made.encode([inputs], [np.ones(1, np.float32), np.ones(1, np.int64)])
    assert [tensor["name"] for tensor in json.loads(body)["outputs"]] == ["q", "p"]
    inputs = made.decode(request([1], [1], "FP32", outputs=[]))
    (body,) = made.encode([inputs], [np.ones(1, np.float32), np.ones(1, np.int64)])
    assert [tensor["name"] for tensor in json.loads(body)["outputs"]] == ["p", "q"]


TENSOR = {"name": "x", "shape": [1, 2], "datatype": "FP32", "data": [1, 2]}


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"name": "z"}, 'there is no input "z"; the model takes: x'),
        ({"datatype": "FP64"}, 'datatype "FP64"; it must be FP32'),
        ({"shape": [2]}, "must have 2 axes"),
        ({"shape": [1, 3]}, "axis 1 is 3, but it must be 2"),
        ({"shape": [-1, 2]}, "cannot be negative"),
        ({"shape": [2, 2]}, "has 2 values; its shape [2, 2] wants 4"),
        ({"shape": [10**30, 2]}, "too few values"),
        ({"shape": [1.5, 2]}, "Expected `int`"),
        ({"shape": "12"}, "Expected `array`"),
        ({"data": [1, "2"]}, 'hold "2", which is no FP32'),
        ({"data": [1, True]}, "hold true, which is no FP32"),
        ({"data": [1, {}]}, "hold {}, which is no FP32"),
        ({"data": [[1], [2]]}, "do not have the shape [1, 2]"),
        ({"data": [[1, 2], 3]}, "do not have the shape"),
        ({"data": [[[1, 2]]]}, "do not have the shape"),
        ({"data": 1}, "must be an array"),
        ({"data": {"0": 1}}, "must be an array"),
    ],
)
def test_a_tensor_that_does_not_fit_is_refused_with_the_reason(change: dict[str, Any], sentence: str) -> None:
    made = codec("x:float32[batch,2]")
    assert sentence in refused(made, json.dumps({"inputs": [TENSOR | change]}).encode())


@pytest.mark.parametrize(
    ("body", "sentence"),
    [
        (b"", "not JSON"),
        (b"{", "not JSON"),
        (b"\xff\xfe", "not JSON"),
        (b'{"inputs":' + b"[" * 200_000, "not an inference request"),
        (b'{"inputs":[{"name":"x","shape":[1,2],"datatype":"FP32","data":' + b"[" * 200_000, "not JSON"),
        (b'{"inputs":[{"name":"\xff","shape":[1,2],"datatype":"FP32","data":[1,2]}]}', "not JSON"),
        (b'{"inputs":[{"name":"x","shape":[1,2],"datatype":"FP32","data":[NaN,2]}]}', "not JSON"),
        (b"[]", "not an inference request: Expected `object`"),
        (b"{}", "missing required field `inputs`"),
        (b'{"inputs":[]}', "the input 'x' is missing; the model takes x:float32[batch,2]"),
        (b'{"inputs":[{"name":"x"}]}', "missing required field"),
        (json.dumps({"inputs": [TENSOR, TENSOR]}).encode(), "given twice"),
        (json.dumps({"inputs": [TENSOR], "outputs": [{"name": "z"}]}).encode(), 'there is no output "z"'),
        (json.dumps({"inputs": [TENSOR], "outputs": [{}]}).encode(), "missing required field `name`"),
        (json.dumps({"inputs": [TENSOR], "id": 5}).encode(), "Expected `str | null`"),
    ],
)
def test_a_request_that_is_none_is_refused_with_the_reason(body: bytes, sentence: str) -> None:
    assert sentence in refused(codec("x:float32[batch,2]"), body)


@pytest.mark.parametrize(
    ("dtype", "value"),
    [
        ("int8", 128), ("uint8", -1), ("int64", 2**63), ("uint64", -1), ("int32", 1.5), ("int32", 10**400),
        ("int32", None), ("bool", 2), ("bool", "true"), ("string", 1), ("string", None), ("float64", 10**400),
        ("float16", 1e10), ("float32", 1e39),
    ],
)  # fmt: skip
def test_a_value_beyond_the_datatype_is_refused(dtype: str, value: Any) -> None:
    message = refused(echo(dtype, "batch"), request([value], [1], DATATYPE_OF[dtype]))
    assert "x" in message


def test_sizes_that_bear_one_name_must_agree() -> None:
    made = codec("a:float32[batch,2]", "b:float32[batch,2]")
    tensors = [
        {"name": name, "shape": [rows, 2], "datatype": "FP32", "data": [0] * rows * 2}
        for name, rows in (("a", 1), ("b", 2))
    ]
    assert "'batch' is 1 elsewhere" in refused(made, json.dumps({"inputs": tensors}).encode())


@given(st.binary(max_size=60) | st.text(max_size=60).map(str.encode))
def test_no_bytes_but_a_request_get_further_than_a_refusal(body: bytes) -> None:
    refused(codec("x:float32[batch,2]"), body)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=6,
)


@given(
    dtype=st.sampled_from(["float32", "int64", "bool", "string"]),
    change=st.fixed_dictionaries({}, optional=dict.fromkeys(("name", "shape", "datatype", "data", "parameters"), JSON)),
    more=st.fixed_dictionaries({}, optional=dict.fromkeys(("id", "outputs", "parameters"), JSON)),
)
def test_a_request_with_anything_anywhere_is_read_or_refused(
    dtype: str, change: dict[str, Any], more: dict[str, Any]
) -> None:
    made = echo(dtype, "batch,2")
    body = json.dumps({"inputs": [TENSOR | {"datatype": DATATYPE_OF[dtype]} | change], **more}).encode()
    try:
        with np.errstate(over="ignore"):
            feeds = made.feeds([made.decode(body)])
    except Refusal:
        return
    assert feeds["x"].shape[1:] == (2,)
