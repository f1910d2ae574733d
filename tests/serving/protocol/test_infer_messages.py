"""gRPC's requests for inference: what Google's protobuf writes is read, and what is no message is refused."""

from __future__ import annotations

import contextlib
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from onnxpress.core.tensors import TensorSpec
from onnxpress.serving.protocol.infer_messages import InferMessages, parameters_of
from onnxpress.serving.protocol.protobuf import decoded, encoded, varint
from onnxpress.serving.protocol.refusal import Refusal
from onnxpress.serving.protocol.requests import Reader
from onnxpress.serving.protocol.responses import Writer
from onnxpress.serving.protocol.typed_contents import from_contents, to_contents, to_varints, varints

SPECS = [TensorSpec(name="x", dtype="float32", shape=("n", 2))], [TensorSpec(name="y", dtype="float32", shape=("n", 2))]


def google() -> Any:
    return pytest.importorskip("tritonclient.grpc", reason="needs tritonclient[grpc]").service_pb2


@given(st.lists(st.integers(0, 2**64 - 1), max_size=50))
def test_unsigned_numbers_there_and_back(numbers: list[int]) -> None:
    packed = to_varints(np.array(numbers, np.uint64))
    assert packed == b"".join(varint(number) for number in numbers)
    assert varints(np.frombuffer(packed, np.uint8)).tolist() == numbers


@given(st.lists(st.integers(-(2**63), 2**63 - 1), max_size=50))
def test_signed_numbers_there_and_back(numbers: list[int]) -> None:
    spec = TensorSpec(name="x", dtype="int64", shape=("n",))
    content = to_contents("int64", np.array(numbers, np.int64))
    assert from_contents(spec, len(numbers), memoryview(content)).tolist() == numbers


@pytest.mark.parametrize("data", ["80", "ffffffffffffffffffff01", "0180"])
def test_numbers_that_are_none(data: str) -> None:
    with pytest.raises(ValueError, match=r"cut off|ten bytes"):
        varints(np.frombuffer(bytes.fromhex(data), np.uint8))


def plain(parameters: Any) -> dict[str, Any] | None:
    """Without the names of the kinds."""
    return {key: next(iter(value.values())) for key, value in parameters.items()} or None


TEXT = st.text(max_size=20)
VALUE = st.one_of(
    st.fixed_dictionaries({"bool_param": st.booleans()}),
    st.fixed_dictionaries({"int64_param": st.integers(-(2**63), 2**63 - 1)}),
    st.fixed_dictionaries({"string_param": TEXT}),
    st.fixed_dictionaries({"double_param": st.floats(allow_nan=False)}),
    st.fixed_dictionaries({"uint64_param": st.integers(0, 2**64 - 1)}),
)
PARAMETERS = st.dictionaries(TEXT, VALUE, max_size=3)


@given(
    TEXT,
    TEXT,
    TEXT,
    PARAMETERS,
    st.lists(st.tuples(TEXT, st.lists(st.integers(-(2**63), 2**63 - 1), max_size=4), PARAMETERS), max_size=3),
    st.lists(st.tuples(TEXT, PARAMETERS), max_size=3),
    st.lists(st.binary(max_size=300), max_size=3),
)
def test_what_google_writes_is_read(
    model: str, version: str, name: str, parameters: Any, inputs: Any, outputs: Any, raw: list[bytes]
) -> None:
    pb2 = google()
    asked = {key: pb2.InferParameter(**value) for key, value in parameters.items()}
    request = pb2.ModelInferRequest(model_name=model, model_version=version, id=name, raw_input_contents=raw)
    for key, value in asked.items():
        request.parameters[key].CopyFrom(value)
    for one, shape, own in inputs:
        tensor = request.inputs.add(name=one, datatype="FP32", shape=shape)
        for key, value in own.items():
            tensor.parameters[key].CopyFrom(pb2.InferParameter(**value))
    for one, own in outputs:
        output = request.outputs.add(name=one)
        for key, value in own.items():
            output.parameters[key].CopyFrom(pb2.InferParameter(**value))
    messages = InferMessages()
    for _ in range(2):  # the second time its opening is known
        message = messages.read(request.SerializeToString())
        opening = message.opening
        assert (opening.model, opening.version, opening.request.id) == (model, version or None, name or None)
        assert [bytes(content) for content in message.raw] == raw
        assert opening.request.parameters == plain(parameters)
        for tensor, (one, shape, own) in zip(opening.request.inputs, inputs, strict=True):
            assert (tensor.name, tensor.shape, tensor.datatype) == (one, shape, "FP32")
            assert tensor.parameters == plain(own)
        assert [output.name for output in opening.request.outputs or []] == [one for one, _ in outputs]


def asking(rows: int, *, name: str = "", raw: bytes | None = None) -> bytes:
    """A request for `rows` rows, by hand."""
    tensor = encoded({"name": (1, str), "datatype": (2, str), "shape": (3, int)}, {
        "name": "x", "datatype": "FP32", "shape": [rows, 2],
    })  # fmt: skip
    content = np.arange(2 * rows, dtype="<f4").tobytes() if raw is None else raw
    head = b"\x0a\1m" + (b"\x1a" + varint(len(name)) + name.encode() if name else b"")
    return head + b"\x2a" + varint(len(tensor)) + tensor + b"\x3a" + varint(len(content)) + content


def test_an_opening_is_read_once_and_its_contents_every_time() -> None:
    messages, reader, writer = InferMessages(), Reader(*SPECS), Writer("m", 1, SPECS[1])
    first = messages.read(asking(3))
    expected = np.arange(6, dtype=np.float32)
    np.testing.assert_array_equal(first.read(reader, asking(3)).values[0], expected)
    content = np.arange(1, 7, dtype="<f4").tobytes()
    again = messages.read(asking(3, raw=content))
    assert again.opening is first.opening
    inputs = again.read(reader, asking(3, raw=content))
    np.testing.assert_array_equal(reader.feeds([inputs])["x"], (expected + 1).reshape(3, 2))
    # What is an array already and what is bytes still go into one run, in their order.
    mixed = [first.read(Reader(*SPECS), asking(3)), inputs, again.read(reader, asking(3, raw=content))]
    for batch in (mixed, mixed[1:]):
        parts = [expected if one is mixed[0] else expected + 1 for one in batch]
        np.testing.assert_array_equal(reader.feeds(batch)["x"], np.concatenate(parts).reshape(-1, 2))
    assert inputs.form is not None
    body, headers = inputs.form.write(writer, inputs, [np.ones((3, 2), np.float32)])
    assert (b"\x0a\1m\x12\x011" in body, headers) == (True, ())
    # Another reader, as after a reload, makes its own plan; other bytes are refused for each.
    assert again.read(Reader(*SPECS), asking(3, raw=content)).rows == 3
    for _ in range(2):
        with pytest.raises(Refusal, match="has 23 bytes"):
            messages.read(asking(3, raw=content[:-1])).read(reader, b"x" * 100)
    assert messages.read(asking(3, name="b")).read(reader, asking(3)).id == "b"


def test_fields_in_another_order_are_read() -> None:
    usual = asking(1)
    cut = usual.index(b"\x3a")
    message = InferMessages().read(usual[cut:] + usual[:cut])
    assert message.read(Reader(*SPECS), usual).shapes == [[1, 2]]


@given(st.binary(max_size=60))
def test_whatever_comes_is_read_or_refused(data: bytes) -> None:
    messages, reader = InferMessages(), Reader(*SPECS)
    for body in (data, asking(1)[: len(data)] + data, asking(2)[:-16] + data):
        with contextlib.suppress(Refusal):
            messages.read(body).read(reader, body)
        with contextlib.suppress(Refusal):
            assert len(from_contents(SPECS[0][0], 2, memoryview(data))) == 2


@pytest.mark.parametrize(
    "body",
    [
        b"\x12\0" * 100_000,  # fields without end
        b"\x0a\1m\x2a" + varint(200_003) + b"\x1a" + varint(199_999) + b"\1" * 199_999,  # sizes without end
        b"\x0b",  # a group
        b"\x02\0",  # field 0
        b"\x0a\1\xff",  # no UTF-8
        b"\x0a\5m",
        b"\x2a\x02\x18",
    ],
)
def test_what_is_no_request_or_endless(body: bytes) -> None:
    with pytest.raises(Refusal, match="no ModelInferRequest"):
        InferMessages().read(body)


def test_parameters_that_are_unsigned() -> None:
    assert parameters_of([{"key": "a", "value": {"uint64": -1}}, {"key": "b"}]) == {"a": 2**64 - 1, "b": None}


def test_a_repeated_field_may_be_unpacked() -> None:
    table = {3: ("shape", [int])}
    assert decoded(table, b"\x18\1\x18\2", "x") == decoded(table, b"\x1a\2\1\2", "x") == {"shape": [1, 2]}
