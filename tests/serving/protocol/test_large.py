"""Large bodies: read block by block they say what small ones say, and refuse what those refuse."""

from __future__ import annotations

import json
import random
from typing import Any

import numpy as np
import pytest

from onnxpress.core.arrays import Array
from onnxpress.core.tensors import TensorSpec
from onnxpress.serving.protocol import large, requests, responses, tensorflow_serving
from onnxpress.serving.protocol.refusal import Refusal
from onnxpress.serving.protocol.requests import Reader

DTYPES = {"FP32": "float32", "FP64": "float64", "INT32": "int32", "UINT8": "uint8", "BOOL": "bool", "BYTES": "string"}


def body(datatype: str, shape: list[int], data: Any, **dump: Any) -> bytes:
    tensor = {"name": "x", "shape": shape, "datatype": datatype, "data": data}
    return json.dumps({"inputs": [tensor]}, **dump).encode()


def reader(datatype: str, rank: int) -> Reader:
    spec = TensorSpec(name="x", dtype=DTYPES[datatype], shape=tuple(f"d{axis}" for axis in range(rank)))
    return Reader([spec], [TensorSpec(name="y", dtype="float32", shape=("n",))])


def said(reader: Reader, content: bytes) -> Array | str:
    """The array that a request makes, or why it makes none."""
    try:
        inputs = reader.read(content)
        with np.errstate(over="raise"):
            return reader.feeds([inputs])["x"]
    except Refusal as refusal:
        return refusal.message


@pytest.fixture
def small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every body is a large one, and a block holds next to nothing."""
    monkeypatch.setattr(requests, "LARGE", 1)
    monkeypatch.setattr(requests.numbers, "LONG", 1)
    monkeypatch.setattr(large, "_BLOCK", 16)


def values(datatype: str, count: int, draw: random.Random) -> list[Any]:
    if datatype == "BYTES":
        alphabet = ["a", ",", '","', "[", "]", '"', "\\", "é", "{}", " "]
        return ["".join(draw.choices(alphabet, k=draw.randrange(8))) for _ in range(count)]
    if datatype == "BOOL":
        return [draw.choice([True, False, 0, 1]) for _ in range(count)]
    if datatype.startswith("FP"):
        return [draw.choice([None, 1, -2.5, 1e-7, draw.random() * 1e6]) for _ in range(count)]
    return [draw.randrange(200) for _ in range(count)]


def nested(flat: list[Any], shape: list[int]) -> Any:
    if len(shape) < 2:
        return flat
    step = len(flat) // shape[0] if shape[0] else 0
    return [nested(flat[row * step : (row + 1) * step], shape[1:]) for row in range(shape[0])]


@pytest.mark.parametrize("datatype", DTYPES)
@pytest.mark.parametrize("shape", [[40], [7, 3], [1, 30], [30, 1], [3, 2, 4], [2, 1, 2, 5], [1], [0], [0, 3], [4, 0]])
@pytest.mark.parametrize("dump", [{}, {"separators": (",", ":")}, {"indent": 2}])
@pytest.mark.usefixtures("small_blocks")
def test_what_is_right_is_read_as_ever(
    datatype: str, shape: list[int], dump: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    draw = random.Random(f"{datatype}{shape}")
    for _ in range(5):
        flat = values(datatype, int(np.prod(shape)), draw)
        for data in (flat, nested(flat, shape)):
            content, of = body(datatype, shape, data, **dump), reader(datatype, len(shape))
            found = said(of, content)
            with monkeypatch.context() as as_ever:
                as_ever.setattr(requests, "LARGE", 1 << 30)
                as_ever.setattr(requests.numbers, "LONG", 1 << 30)
                wanted = said(of, content)
            assert isinstance(wanted, np.ndarray)
            assert isinstance(found, np.ndarray), found
            assert (found.dtype, found.shape) == (wanted.dtype, wanted.shape)
            np.testing.assert_array_equal(found, wanted)


WRONG = (
    "1,2,3,4,5", "1,2,3,4,5,6,7", "[1,2,3],[4,5]", "[1,2,3,4],[5,6]", "[1,2,3],[4,5,6],[7,8,9]", "[1,2]3,[4,5,6]",
    "[1,2,3],4,5,6", "1,2,3,[4,5,6]", "[[1,2,3],[4,5,6]]", "[1,2,3]],[[4,5,6]", "1,2,3,4,5,6,", ",1,2,3,4,5,6",
    "1,,2,3,4,5", "1 2,3,4,5,6", "[1,2,3] [4,5,6]", "[1,2,3],[4,5,6],", '1,2,3,4,5,"6"', "1,2,3,4,5,true",
    "1,2,3,4,5,1e39", "1,2,3,4,5,{}", "1,2,3,4,5,[", "1,2,3,4,5,6]", "", "[],[]", "1,2,3,4,5,nul", "1,2,3,4,5,nan",
    "[1,2,3],[4,5,-]", "1,2,3,4,5,6e", "[1,2,3],[4,5,6",
)  # fmt: skip


@pytest.mark.parametrize("data", WRONG)
@pytest.mark.usefixtures("small_blocks")
def test_what_is_wrong_is_refused_as_ever(data: str, monkeypatch: pytest.MonkeyPatch) -> None:
    content = b'{"inputs":[{"name":"x","shape":[2,3],"datatype":"FP32","data":[%b]}]}' % data.encode()
    assert isinstance(said(reader("FP32", 2), content), str)
    monkeypatch.setattr(requests, "LARGE", 1 << 30)
    monkeypatch.setattr(requests.numbers, "LONG", 1 << 30)
    assert isinstance(said(reader("FP32", 2), content), str)


@pytest.mark.usefixtures("small_blocks")
def test_what_is_decoded_at_once_is_short_whatever_comes(monkeypatch: pytest.MonkeyPatch) -> None:
    longest = 0
    decode = large._decode

    def watched(text: bytes) -> Any:
        nonlocal longest
        longest = max(longest, len(text))
        return decode(text)

    texts = [
        json.dumps(["a,b", '","', "c"] * 300),
        json.dumps([[1, 2, 3]] * 300),
        json.dumps([{"x": [1, 2], "y": "},"}] * 300),
        json.dumps([[[1, 2], [3, 4]]] * 300),
    ]
    for text in texts:
        longest = 0
        found = [item for piece in large.pieces(memoryview(text.encode()), watched) for item in piece]
        assert found == json.loads(text)
        assert longest < 200


def test_large_answers_are_written_as_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(responses, "_BLOCK", 5)
    for shape in ((3, 4), (1, 13), (13, 1), (2, 3, 4), (1, 1, 9), (0, 4), (7,), ()):
        answer = np.arange(np.prod(shape), dtype=np.float32).reshape(shape) / 4
        assert json.loads(responses.nested_text(answer)) == answer.tolist()
        assert json.loads(b"[%b]" % responses.flat_text(answer)) == answer.ravel().tolist()
        if len(shape) == 2:
            rows = responses._rows(answer, "float32")
            assert [json.loads(b"[%b]" % row) for row in rows] == answer.tolist()


V1 = (
    '{"instances":[[1,2],[3,4.5],[5,6]]}',
    '{"instances":[{"x":[1,2]},{"x":[3,4]}]}',
    '{"inputs":[[1,2],[3,4],[5,6],[7,8]]}',
    '{"inputs":{"x":[[1,2],[3,4],[5,6]]}}',
    '{"signature_name":"serving_default","instances":[[1,NaN],[3,-Infinity]]}',
    '{"instances": [ [1 , 2] , [3 , 4] ] }',
    '{"instances":[[1,2],[3]]}',
    '{"instances":[[1,2],[3,4,5]]}',
    '{"instances":[[1,true]]}',
    '{"instances":[]}',
    '{"instances":[1,2]}',
    '{"instances":[[1,2],[3,4],]}',
    '{"instances":[[1,2],[3,4]],"inputs":[[1,2]]}',
    '{"instances":[{"x":[1,2]},[3,4]]}',
    '{"instances":[{"x":[1,2]},{"y":[3,4]}]}',
    '{"instances":[[1,2],[3,"4"]]}',
    '{"instances":{"x":[1,2]}}',
    '{"inputs":"a"}',
    '{"inputs":{"y":[[1,2]]}}',
    '{"instances":[[1,2],[3,4]]',
    '{"signature_name":"other","instances":[[1,2]]}',
    '{"inputs":[[1,2],[3,1e39]]}',
    "{}",
    "[]",
    '{"instances":[[1,2],[3,null]]}',
)


@pytest.mark.parametrize("content", V1)
@pytest.mark.usefixtures("small_blocks")
def test_predict_requests_are_read_as_ever(content: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def said(step: int) -> Any:
        monkeypatch.setattr(tensorflow_serving, "LARGE", step)
        of = Reader([TensorSpec(name="x", dtype="float32", shape=("n", 2))], [])
        try:
            inputs = tensorflow_serving.read(of, content.encode())
        except Refusal as refusal:
            return refusal.status
        assert inputs.form is not None
        return [value.tolist() for value in inputs.values], inputs.shapes, type(inputs.form).__name__

    np.testing.assert_equal(said(1), said(1 << 30))
