"""A request in a known frame is only cut: what comes of it must be what a reader that knows no frames makes of it."""

from __future__ import annotations

import json
import random
from typing import Any

import numpy as np
import pytest
from benchmarks.load.fuzz import mutated

from onnxpress.core.tensors import TensorSpec
from onnxpress.serving.protocol import numbers
from onnxpress.serving.protocol.refusal import Refusal
from onnxpress.serving.protocol.requests import Reader
from onnxpress.serving.protocol.strictness import strict


@pytest.fixture(params=["numbers by msgspec", "numbers by simdjson"], autouse=True)
def numbers_read(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Short lists by simdjson too, where it is installed."""
    monkeypatch.setattr(numbers, "JOINED", 1 if "simdjson" in request.param else 1 << 60)


X = TensorSpec(name="x", dtype="float32", shape=("batch", 3))
Y = TensorSpec(name="y", dtype="float32", shape=("batch", 1))


def reader(dtype: str = "float32") -> Reader:
    return Reader([TensorSpec(name="x", dtype=dtype, shape=("batch", 3))], [Y])


def body(data: Any, shape: list[int], **extra: Any) -> bytes:
    tensor = {"name": "x", "shape": shape, "datatype": "FP32", "data": data}
    return json.dumps({"inputs": [tensor], **extra}).encode()


def made(own: Reader, text: bytes) -> object:
    """The array that the model gets, as comparable bytes, or the refusal."""

    def feeds() -> object:
        try:
            array = own.feeds([own.read(text)])["x"]
        except Refusal as refusal:
            return refusal.status
        return array.shape, array.tobytes()

    return strict().run(feeds)


SEEDS = [
    body([1, 2.5, -3e2], [1, 3]),
    body([0.1, 0.2, 0.3, 4, 5, 6], [2, 3]),
    body([1, None, 3], [1, 3]),
    body([[1, 2, 3], [4, 5, 6]], [2, 3]),
    body([1, 2, 3], [1, 3], id="a"),
    b'{"a":{"data":[7,8,9]},"inputs":[{"data":[1,2,3],"name":"x","shape":[1,3],"datatype":"FP32"}]}',
    b'{"a":"\\"data\\":[1,2,3]","inputs":[{"name":"x","shape":[1,3],"datatype":"FP32","data":[4,5,6]}]}',
    b'{"inputs":[{"name":"x","shape":[1,3],"datatype":"FP32","data":[4],"data":[ 4 , 5\n,6]}]}',
    b'{"inputs":[{"data":[1,2,3],"name":"x","shape":[1,3],"datatype":"FP32","data":[4,5,6]}]}',
]


def test_frames_change_nothing() -> None:
    choice, known = random.Random(11), reader()
    for seed in SEEDS * 2:
        made(known, seed)
    for _ in range(4000):
        text = choice.choice(SEEDS)
        if choice.random() < 0.9:
            text = mutated(choice, text, SEEDS)
        assert made(known, text) == made(reader(), text), text


@pytest.mark.parametrize(
    "wrong",
    [
        b"1,2,3,4",
        b"1,2",
        b"1,,2",
        b"1,2,",
        b"1 2,3,4",
        b"1,2,3}",
        b"true,2,3",
        b'"1",2,3',
        b"01,2,3",
        b"1e39,2,3",
        b"-,1,2",
        b"  ",
    ],
)
def test_other_numbers_in_a_known_frame_are_refused_as_ever(wrong: bytes) -> None:
    known = reader()
    good = body([1, 2, 3], [1, 3])
    assert made(known, good) == made(known, good)
    assert made(known, good.replace(b"1, 2, 3]", wrong + b"]")) == 400


def test_requests_that_make_up_for_each_other_are_told_apart() -> None:
    """Two values here and four there are six as well."""
    known = reader()
    first = body([1, 2, 3], [1, 3])
    made(known, first)
    for others in (b"1, 2]", b"1, 2, 3, 4]"):
        with pytest.raises(Refusal):
            known.read(first.replace(b"1, 2, 3]", others))


def test_cut_requests_and_others_share_a_run() -> None:
    known = reader()
    plain = [body([n, n, n], [1, 3]) for n in range(3)]
    made(known, plain[0])
    batch = [known.read(text) for text in (*plain, body([7, 8, 9], [1, 3], id="7"), body([None, 1, 2], [1, 3]))]
    assert len({inputs.tails for inputs in batch}) == 1
    wanted = [[0, 0, 0], [1, 1, 1], [2, 2, 2], [7, 8, 9], [np.nan, 1, 2]]
    np.testing.assert_array_equal(known.feeds(batch)["x"], np.array(wanted, np.float32))


def test_a_lone_request_is_cut_where_it_is_long() -> None:
    known = reader()
    for numbers_here in ([1, 2, 3], [4, 5, 6], [7, None, 9]):
        inputs = known.read(body(numbers_here, [1, 3]), alone=True)
        found = strict().run(known.feeds, [inputs])["x"]
        np.testing.assert_array_equal(found, np.array([numbers_here], np.float32))
    assert (type(inputs.values[0]) is bytes) is (numbers.JOINED == 1)


@pytest.mark.parametrize("count", [63, 64, 65, 1000])
@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
def test_many_floats_are_the_floats_that_numpy_makes(count: int, dtype: str) -> None:
    own = reader(dtype)
    datatype = {"float16": "FP16", "float32": "FP32", "float64": "FP64"}[dtype]
    values = np.random.default_rng(count).standard_normal((count, 3)).ravel().tolist()
    for data in (values, [*values[:-1], None], [*values[:-1], 1 << 40 if dtype != "float16" else 7]):
        text = body(data, [count, 3]).replace(b"FP32", datatype.encode())
        for _ in range(2):
            found = strict().run(own.feeds, [own.read(text)])["x"]
            np.testing.assert_array_equal(found.ravel(), np.array(data, dtype))
            assert found.dtype == dtype


@pytest.mark.parametrize(
    ("data", "right"),
    [
        ([[1, 2, 3], [4, 5, 6]], True),
        ([[1, 2], [3, 4], [5, 6]], False),
        ([[1, 2, 3], [4, 5, [6]]], False),
        ([[1, 2, 3], 4, 5, 6], False),
        ([[[1, 2, 3], [4, 5, 6]]], False),
        ([[1, 2, 3], [4, 5, "6"]], False),
        ([[1, 2, 3], [4, None, 6]], True),
        ([[], [1, 2, 3, 4, 5, 6]], False),
    ],
)
def test_nested_data_have_the_shape_they_say(data: Any, right: bool) -> None:
    found = made(reader(), body(data, [2, 3]))
    assert found == (((2, 3), np.array(data, np.float32).tobytes()) if right else 400)
