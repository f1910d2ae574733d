"""Writing responses, and what comes back of what was sent."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from onnxpress.core.tensors import TensorSpec
from onnxpress.serving.protocol.datatypes import DATATYPE_OF
from onnxpress.serving.protocol.requests import Reader
from onnxpress.serving.protocol.responses import Writer

DTYPES = sorted(DATATYPE_OF.keys() - {"bfloat16"})  # numpy has none; see test_binary.py


def values(dtype: str) -> st.SearchStrategy[Any]:
    if dtype == "string":
        return st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
    if dtype == "bool":
        return st.booleans()
    if dtype.startswith("float"):
        width = int(dtype[5:])
        return st.floats(width=width, allow_nan=False, allow_infinity=False)  # type: ignore[arg-type]
    limits = np.iinfo(dtype)
    return st.integers(int(limits.min), int(limits.max))


@st.composite
def tensors(draw: st.DrawFn) -> np.ndarray[Any, Any]:
    dtype = draw(st.sampled_from(DTYPES))
    shape = draw(st.lists(st.integers(0, 3), max_size=4))
    count = int(np.prod(shape))
    flat = draw(st.lists(values(dtype), min_size=count, max_size=count))
    return np.array(flat, object if dtype == "string" else dtype).reshape(shape)


def spec_of(value: np.ndarray[Any, Any], name: str) -> TensorSpec:
    dtype = "string" if value.dtype == object else str(value.dtype)
    return TensorSpec(name=name, dtype=dtype, shape=tuple(f"d{axis}" for axis in range(value.ndim)))


@given(value=tensors(), nested=st.booleans(), id_=st.none() | st.text(max_size=5), name=st.text(min_size=1, max_size=5))
def test_what_is_sent_comes_back(value: np.ndarray[Any, Any], nested: bool, id_: str | None, name: str) -> None:
    spec = spec_of(value, name)
    reader, writer = Reader([spec], [spec]), Writer("m%d", 3, [spec])
    data = value.tolist() if nested and value.ndim else value.ravel().tolist()
    tensor = {"name": name, "shape": value.shape, "datatype": DATATYPE_OF[spec.dtype], "data": data}
    inputs = reader.read(json.dumps({"id": id_, "inputs": [tensor]}).encode())
    feeds = reader.feeds([inputs])
    answer = json.loads(writer.alone(inputs, [feeds[name]]))
    assert answer.pop("id", None) == id_
    assert (answer["model_name"], answer["model_version"]) == ("m%d", "3")
    (output,) = answer["outputs"]
    assert (output["name"], output["datatype"], output["shape"]) == (name, tensor["datatype"], list(value.shape))
    back = np.array(output["data"], value.dtype).reshape(output["shape"])
    assert back.tolist() == value.tolist()


def writer_and_reader() -> tuple[Writer, Reader]:
    inputs = [TensorSpec(name="x", dtype="float32", shape=("batch", 1))]
    outputs = [
        TensorSpec(name="a", dtype="float32", shape=("batch",)),
        TensorSpec(name="b", dtype="int64", shape=("batch", 2)),
        TensorSpec(name="c", dtype="string", shape=("batch", 0)),
    ]
    return Writer("m", 1, outputs), Reader(inputs, outputs)


def answers(rows: int) -> list[np.ndarray[Any, Any]]:
    return [
        np.arange(rows, dtype=np.float32) / 4,
        np.arange(2 * rows, dtype=np.int64).reshape(rows, 2),
        np.zeros((rows, 0), object),
    ]


def request(rows: int, **more: Any) -> bytes:
    tensor = {"name": "x", "shape": [rows, 1], "datatype": "FP32", "data": [0.0] * rows}
    return json.dumps({"inputs": [tensor], **more}).encode()


@given(rows=st.lists(st.integers(0, 3), min_size=2, max_size=5))
def test_a_batch_is_cut_into_the_answers_of_each(rows: list[int]) -> None:
    writer, reader = writer_and_reader()
    batch = [reader.read(request(count)) for count in rows]
    whole = answers(sum(rows))
    start = 0
    for inputs, body in zip(batch, writer.together(batch, whole), strict=True):
        stop = start + inputs.rows
        assert json.loads(body) == json.loads(writer.alone(inputs, [answer[start:stop] for answer in whole]))
        start = stop


def test_outputs_are_answered_as_selected() -> None:
    writer, reader = writer_and_reader()
    inputs = reader.read(request(1, id="q", outputs=[{"name": "b"}, {"name": "a"}]))
    answer = json.loads(writer.alone(inputs, answers(1)))
    assert [output["name"] for output in answer["outputs"]] == ["b", "a"]
    assert answer["id"] == "q"


def test_nan_and_infinity_are_null() -> None:
    writer, reader = writer_and_reader()
    outputs = answers(3)
    outputs[0][:] = [np.nan, np.inf, -np.inf]
    body = writer.alone(reader.read(request(3)), outputs)
    assert json.loads(body)["outputs"][0]["data"] == [None] * 3


@pytest.mark.parametrize("wrong", [np.float32(1), np.zeros(3, np.float32)])
def test_outputs_without_the_batchs_rows_are_an_error(wrong: Any) -> None:
    writer, reader = writer_and_reader()
    batch = [reader.read(request(1))] * 2
    with pytest.raises(ValueError, match="other rows"):
        list(writer.together(batch, [np.asarray(wrong), *answers(2)[1:]]))
