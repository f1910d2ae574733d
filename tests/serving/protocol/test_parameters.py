"""Parameters are obeyed or refused with the reason, wherever they stand and on whichever way a request is read."""

from __future__ import annotations

import json
from typing import Any

import pytest

from onnxpress.core.tensors import parse_spec
from onnxpress.serving.protocol import parameters
from onnxpress.serving.protocol.refusal import Refusal
from onnxpress.serving.protocol.requests import Reader

X = {"name": "x", "shape": [1, 2], "datatype": "FP32", "data": [1, 2]}
ONE = Reader([parse_spec("x:float32[batch,2]")], [parse_spec("y:float32[batch]"), parse_spec("label:string[batch]")])
OPEN = Reader(
    [parse_spec("x:float32[batch,width]")], [parse_spec("y:float32[batch]"), parse_spec("label:string[batch]")]
)
READERS = pytest.mark.parametrize("reader", [ONE, OPEN], ids=["one pass", "general"])
LONG = {"name": "x", "shape": [10_000, 2], "datatype": "FP32", "data": [1.5] * 20_000}


def refusal(reader: Reader, document: Any) -> str:
    for alone in (False, True):
        with pytest.raises(Refusal) as caught:
            reader.read(json.dumps(document).encode(), alone)
        assert caught.value.status == 400
    return caught.value.message


@READERS
@pytest.mark.parametrize(
    ("asked", "says"),
    [
        ({"sequence_id": 7}, "sequences are not kept"),
        ({"sequence_id": "a"}, "sequences are not kept"),
        ({"sequence_start": True}, "sequences are not kept"),
        ({"sequence_end": True}, "sequences are not kept"),
        ({"priority": 1}, "no priorities"),
        ({"temperature": 0.5}, "not known here; it takes: timeout, binary_data_output"),
        ({"threshold": 0}, "not known here"),
        ({"timeout": "1"}, "number of microseconds"),
        ({"timeout": -1}, "number of microseconds"),
        ({"binary_data_output": 1}, "must be true or false"),
    ],
)
def test_what_a_request_asks_for_in_vain(reader: Reader, asked: dict[str, Any], says: str) -> None:
    assert says in refusal(reader, {"inputs": [X], "parameters": asked})
    assert says in refusal(reader, {"inputs": [X], "parameters": {"timeout": 1000, **asked}})


@READERS
@pytest.mark.parametrize("tensor", [X, LONG], ids=["short", "long"])
@pytest.mark.parametrize(
    ("asked", "says"),
    [
        ({"shared_memory_region": "r", "shared_memory_byte_size": 8}, "no shared memory"),
        ({"shared_memory_offset": 4}, "no shared memory"),
        ({"binary_data_size": 8}, "both data and a binary_data_size"),
        ({"content_type": "base64"}, "content_type"),
        ({"content_type": "str"}, "content_type"),
        ({"scale": 2}, "not known here"),
    ],
)
def test_what_an_input_asks_for_in_vain(reader: Reader, tensor: dict[str, Any], asked: Any, says: str) -> None:
    assert says in refusal(reader, {"inputs": [tensor | {"parameters": asked}]})


@READERS
@pytest.mark.parametrize(
    ("name", "asked", "says"),
    [
        ("y", {"shared_memory_region": "r"}, "no shared memory"),
        ("y", {"binary_data": "yes"}, "must be true or false"),
        ("y", {"classification": -1}, "number of classes"),
        ("y", {"classification": True}, "number of classes"),
        ("y", {"classification": 1.0}, "number of classes"),
        ("y", {"classification": "3"}, "number of classes"),
        ("y", {"top_k": 3}, "not known here; it takes: binary_data, classification"),
        ("label", {"classification": 1}, "no scores"),
    ],
)
def test_what_an_output_asks_for_in_vain(reader: Reader, name: str, asked: dict[str, Any], says: str) -> None:
    assert says in refusal(reader, {"inputs": [X], "outputs": [{"name": name, "parameters": asked}]})


@READERS
@pytest.mark.parametrize(
    "document",
    [
        {"parameters": {}},
        {"parameters": None},
        {"parameters": {"sequence_id": 0, "sequence_start": False, "sequence_end": False, "priority": 0}},
        {"parameters": {"sequence_id": "", "timeout": 0, "binary_data_output": False}},
        {"outputs": [{"name": "y", "parameters": {"classification": 0, "binary_data": False}}]},
        {"outputs": [{"name": "y", "parameters": {}}]},
    ],
)
def test_what_says_that_all_is_as_it_is_anyway(reader: Reader, document: dict[str, Any]) -> None:
    for own in ({}, {"parameters": None}, {"parameters": {}}, {"parameters": {"content_type": "np"}}):
        inputs = reader.read(json.dumps({"inputs": [X | own], **document}).encode())
        assert (inputs.form, inputs.timeout, inputs.shapes) == (None, None, [[1, 2]])


def test_a_size_of_bytes_without_bytes_is_said() -> None:
    tensor = {name: value for name, value in X.items() if name != "data"} | {"parameters": {"binary_data_size": 8}}
    assert "Inference-Header-Content-Length" in refusal(ONE, {"inputs": [tensor]})


def test_texts_may_be_called_texts() -> None:
    parameters.check_input(parse_spec("s:string[n]"), {"content_type": "str"}, in_json=True, binary=False)


@pytest.mark.parametrize(
    ("verb", "asked", "says"),
    [
        ("load", {"config": "{}"}, "as it lies in the repository"),
        ("load", {"file:1/model.onnx": "AAAA"}, "as it lies in the repository"),
        ("load", {"file:1/model.onnx": ""}, "as it lies in the repository"),
        ("load", {"config": None}, "as it lies in the repository"),
        ("load", {"version": 3}, "not known here"),
        ("unload", {"unload_dependents": 1}, "true or false"),
        ("unload", {"force": True}, "not known here; it takes: unload_dependents"),
    ],
)
def test_what_a_change_asks_for_in_vain(verb: str, asked: dict[str, Any], says: str) -> None:
    with pytest.raises(Refusal, match=says):
        (parameters.check_load if verb == "load" else parameters.check_unload)(asked)


def test_changes_that_ask_for_no_more() -> None:
    parameters.check_load(None)
    parameters.check_load({})
    parameters.check_unload({"unload_dependents": True})
