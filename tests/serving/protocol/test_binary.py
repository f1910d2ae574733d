"""Binary tensors both ways: every dtype over the wire bit for bit, mixed with JSON, and each refusal says why."""

from __future__ import annotations

import json
import struct
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from tests.serving.harness import Client, Reply, Running, ask, request, serving
from tests.serving.onnx_models import identity, mixed, plain, publish_affine

from onnxpress.core.tensors import parse_spec
from onnxpress.serving.engine.bfloat16 import from_bits, to_bits
from onnxpress.serving.protocol.binary import from_bytes, to_bytes
from onnxpress.serving.protocol.datatypes import DATATYPE_OF
from onnxpress.serving.protocol.refusal import Refusal

NUMBERS = [dtype for dtype in DATATYPE_OF if dtype not in {"string", "bfloat16"}]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    folder = tmp_path_factory.mktemp("models")
    publish_affine(folder)
    plain(folder, "mixed", mixed())
    for dtype in DATATYPE_OF:
        plain(folder, f"echo_{dtype}", identity(dtype))
    with serving(folder) as found:
        yield found


def message(inputs: list[dict[str, Any]], contents: list[bytes], **more: Any) -> tuple[bytes, list[str]]:
    """Body and headers of a request."""
    text = json.dumps({"inputs": inputs, **more}).encode()
    return text + b"".join(contents), [f"inference-header-content-length: {len(text)}"]


def tensor(name: str, datatype: str, shape: list[int], content: bytes) -> dict[str, Any]:
    return {"name": name, "datatype": datatype, "shape": shape, "parameters": {"binary_data_size": len(content)}}


def parts(reply: Reply) -> tuple[Any, dict[str, bytes]]:
    """The JSON of an answer, and output name → bytes."""
    assert reply.status == 200, reply.body
    assert reply.headers["content-type"] == "application/octet-stream"
    length = int(reply.headers["inference-header-content-length"])
    answer, start, found = json.loads(reply.body[:length]), length, {}
    for output in answer["outputs"]:
        if "parameters" in output:
            size = output["parameters"]["binary_data_size"]
            found[output["name"]] = reply.body[start : start + size]
            start += size
    assert start == len(reply.body)
    return answer, found


WIRE = {
    "bool": np.array([[True, False, True]]).tobytes(),
    "bfloat16": np.array([[0x3F80, 0xFF80, 0x0001]], np.uint16).tobytes(),
    "string": b"".join(struct.pack("<I", len(text)) + text for text in (b"", "ä\0ß".encode(), b"x" * 300)),
    **{dtype: np.array([[1, 0, 3]], dtype).tobytes() for dtype in NUMBERS if dtype != "bool"},
}


@pytest.mark.parametrize("dtype", DATATYPE_OF)
def test_every_dtype_comes_back_bit_for_bit(server: Running, dtype: str) -> None:
    content, datatype = WIRE[dtype], DATATYPE_OF[dtype]
    for pad in ("", "x"):  # the JSON's length decides whether the bytes lie aligned
        body, headers = message(
            [tensor("x", datatype, [1, 3], content)], [content], id=pad, parameters={"binary_data_output": True}
        )
        answer, found = parts(ask(server.port, "POST", f"/v2/models/echo_{dtype}/infer", body, headers))
        assert found == {"y": content}
        assert (answer["outputs"][0]["datatype"], answer["outputs"][0]["shape"]) == (datatype, [1, 3])
        assert answer["id"] == pad
        assert "data" not in answer["outputs"][0]


@pytest.mark.parametrize("dtype", DATATYPE_OF)
def test_an_empty_tensor_of_every_dtype(server: Running, dtype: str) -> None:
    body, headers = message([tensor("x", DATATYPE_OF[dtype], [0, 3], b"")], [], parameters={"binary_data_output": True})
    answer, found = parts(ask(server.port, "POST", f"/v2/models/echo_{dtype}/infer", body, headers))
    assert (answer["outputs"][0]["shape"], found) == ([0, 3], {"y": b""})


def test_json_in_and_bytes_out_and_the_other_way(server: Running) -> None:
    x = np.array([[1, 2, 3]], np.float32)
    plain_tensor = {"name": "x", "shape": [1, 3], "datatype": "FP32", "data": [1, 2, 3]}
    for asked in ({"parameters": {"binary_data_output": True}},
                  {"outputs": [{"name": "y", "parameters": {"binary_data": True}}]}):  # fmt: skip
        text = json.dumps({"inputs": [plain_tensor], **asked}).encode()
        _, found = parts(ask(server.port, "POST", "/v2/models/affine/infer", text))
        assert np.frombuffer(found["y"], np.float32).tolist() == [6, 6]
    body, headers = message([tensor("x", "FP32", [1, 3], x.tobytes())], [x.tobytes()])
    reply = ask(server.port, "POST", "/v2/models/affine/infer", body, headers)
    assert reply.headers["content-type"] == "application/json"
    assert reply.json()["outputs"][0]["data"] == [6, 6]


def test_some_inputs_and_outputs_as_bytes_and_others_as_json(server: Running) -> None:
    a = np.array([[1, 2]], np.float32).tobytes()
    text = struct.pack("<I", 2) + "ä".encode()
    inputs = [
        tensor("s", "BYTES", [1], text),
        {"name": "b", "datatype": "FP32", "shape": [1, 2], "data": [3, 4]},
        tensor("a", "FP32", [1, 2], a),
    ]
    outputs = [
        {"name": "s_again", "parameters": {"binary_data": False}},
        {"name": "y"},
        {"name": "a_again", "parameters": {"binary_data": False}},
    ]
    body, headers = message(inputs, [text, a], outputs=outputs, parameters={"binary_data_output": True})
    answer, found = parts(ask(server.port, "POST", "/v2/models/mixed/infer", body, headers))
    assert [output["name"] for output in answer["outputs"]] == ["s_again", "y", "a_again"]
    assert answer["outputs"][0]["data"] == ["ä"]
    assert answer["outputs"][2]["data"] == [1, 2]
    assert np.frombuffer(found["y"], np.float32).tolist() == [4, 6]


def test_requests_of_all_kinds_at_once_get_their_own_answers(server: Running) -> None:
    with Client(server.port) as client:
        kinds = []
        for number in range(60):
            row = np.array([[number, 0, 0]], np.float32)
            asked = {"parameters": {"binary_data_output": True}} if number % 2 else {}
            if number % 3:
                body, headers = message([tensor("x", "FP32", [1, 3], row.tobytes())], [row.tobytes()], **asked)
            else:
                given = {"name": "x", "shape": [1, 3], "datatype": "FP32", "data": row.ravel().tolist()}
                body, headers = json.dumps({"inputs": [given], **asked}).encode(), []
            kinds.append(request("POST", "/v2/models/affine/infer", body, headers))
        client.send(b"".join(kinds))
        for number in range(60):
            reply = client.reply()
            if number % 2:
                assert np.frombuffer(parts(reply)[1]["y"], np.float32).tolist() == [number, number]
            else:
                assert reply.json()["outputs"][0]["data"] == [number, number]


def test_a_body_without_json_is_the_one_input(server: Running) -> None:
    x = np.arange(6, dtype=np.float32)
    headers = ["inference-header-content-length: 0"]
    answer, found = parts(ask(server.port, "POST", "/v2/models/affine/infer", x.tobytes(), headers))
    assert answer["outputs"][0]["shape"] == [2, 2]
    assert np.frombuffer(found["y"], np.float32).tolist() == [3, 3, 12, 12]
    answer, found = parts(ask(server.port, "POST", "/v2/models/echo_int8/infer", b"\1\2\3", headers))
    assert (answer["outputs"][0]["shape"], found["y"]) == ([1, 3], b"\1\2\3")
    assert ask(server.port, "POST", "/v2/models/affine/infer", b"12345", headers).status == 400
    assert ask(server.port, "POST", "/v2/models/mixed/infer", b"1234", headers).status == 400


def test_bfloat16_in_json_is_the_number(server: Running) -> None:
    body = json.dumps({"inputs": [{"name": "x", "datatype": "BF16", "shape": [1, 2], "data": [1.00390625, -2.5]}]})
    reply = ask(server.port, "POST", "/v2/models/echo_bfloat16/infer", body.encode())
    assert reply.json()["outputs"][0]["data"] == [1.0, -2.5]  # 1 + 2**-8 lies between two: the even one is taken


ROW = np.zeros(3, np.float32).tobytes()
GOOD = tensor("x", "FP32", [1, 3], ROW)


@pytest.mark.parametrize(
    ("inputs", "contents", "sentence"),
    [
        ([GOOD | {"parameters": {"binary_data_size": 8}}], [ROW], "4 bytes of the body belong to no input"),
        ([GOOD | {"parameters": {"binary_data_size": 13}}], [ROW], "cannot have a binary_data_size of 13; 12 bytes"),
        ([GOOD | {"parameters": {"binary_data_size": -1}}], [ROW], "binary_data_size of -1"),
        ([GOOD | {"parameters": {"binary_data_size": True}}], [ROW], "binary_data_size of True"),
        ([GOOD | {"parameters": {"binary_data_size": "12"}}], [ROW], "binary_data_size of '12'"),
        ([GOOD | {"parameters": {"binary_data_size": 8}}], [ROW[:8]], "has 8 bytes; 3 values of FP32 have 12"),
        ([GOOD | {"parameters": {}}], [], "has no data, neither as JSON nor as binary_data_size"),
        ([GOOD | {"datatype": "FP64"}], [ROW], "it must be FP32"),
        ([GOOD | {"shape": [2, 3]}], [ROW], "6 values of FP32 have 24"),
        ([GOOD | {"parameters": 5}], [ROW], "Expected `object | null`"),
        ([GOOD, GOOD], [ROW, ROW], "given twice"),
    ],
)
def test_bytes_that_do_not_fit_are_refused_with_the_reason(
    server: Running, inputs: list[dict[str, Any]], contents: list[bytes], sentence: str
) -> None:
    body, headers = message(inputs, contents)
    reply = ask(server.port, "POST", "/v2/models/affine/infer", body, headers)
    assert (reply.status, reply.headers["content-type"]) == (400, "application/json")
    assert sentence in reply.json()["error"]


@pytest.mark.parametrize("length", ["-1", "x", "999999", "9" * 400, "1, 1", ""])
def test_a_length_of_the_json_that_cannot_be_is_refused(server: Running, length: str) -> None:
    headers = [f"inference-header-content-length: {length}"]
    assert ask(server.port, "POST", "/v2/models/affine/infer", b"{}", headers).status == 400


@pytest.mark.parametrize(
    "content", [b"\x05\0\0\0abc", b"\1\0\0", b"\1\0\0\0\xff", b"\1\0\0\0ab", b"\xff\xff\xff\xffa", b""]
)
def test_bytes_that_are_no_texts_are_refused(content: bytes) -> None:
    with pytest.raises(Refusal):
        from_bytes(parse_spec("x:string[n]"), 1, memoryview(content))


@given(data=st.data(), dtype=st.sampled_from(NUMBERS), offset=st.integers(0, 8))
def test_bytes_anywhere_in_a_body_are_the_array(data: st.DataObject, dtype: str, offset: int) -> None:
    x = data.draw(arrays.arrays(dtype, st.integers(0, 9)))
    spec = parse_spec(f"x:{dtype}[n]")
    content = memoryview(b"j" * offset + to_bytes(spec.dtype, x))[offset:]
    got = from_bytes(spec, x.size, content)
    assert got.dtype == x.dtype
    assert got.flags.aligned
    assert got.tobytes() == x.tobytes()


@given(arrays.arrays(np.uint16, st.integers(0, 9)))
def test_every_bfloat16_survives_its_float32(bits: Any) -> None:
    back = to_bits(from_bits(bits))
    nan = np.isnan(from_bits(bits))
    np.testing.assert_array_equal(back[~nan], bits[~nan])
    assert np.isnan(from_bits(back[nan])).all()


@given(arrays.arrays(np.float32, st.integers(1, 9), elements=st.floats(width=32, allow_nan=False)))
def test_rounding_takes_the_nearest_bfloat16(x: Any) -> None:
    rounded = from_bits(to_bits(x)).astype(np.float64)
    for step in (-1, 1):
        with np.errstate(over="ignore", invalid="ignore"):
            other = from_bits((to_bits(x).astype(np.int64) + step).astype(np.uint16)).astype(np.float64)
            closer = np.abs(other - x) < np.abs(rounded - x)
        assert not (closer & np.isfinite(other) & np.isfinite(rounded)).any()
