"""Answers that are not what they say are errors, and what JSON cannot say is refused."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest

from onnxpress.core.errors import BadData, ServerError
from onnxpress.core.tensors import parse_spec
from onnxpress.serving.client import tensors
from onnxpress.serving.client.http import Answer


def binary(output: dict[str, Any], behind: bytes) -> Answer:
    text = json.dumps({"outputs": [output]}).encode()
    return Answer(200, {"inference-header-content-length": str(len(text))}, bytearray(text + behind))


def output(datatype: str, shape: list[int], size: Any) -> dict[str, Any]:
    return {"name": "y", "datatype": datatype, "shape": shape, "parameters": {"binary_data_size": size}}


def test_what_comes_back_can_be_written_into() -> None:
    for pad in range(4):  # wherever the bytes begin
        answer = binary({**output("FP32", [2], 8), "name": "y" * (pad + 1)}, np.array([1, 2], np.float32).tobytes())
        (found,) = tensors.read(answer).values()
        found /= 2
        np.testing.assert_array_equal(found, [0.5, 1])


@pytest.mark.parametrize(
    ("told", "behind"),
    [
        (output("FP32", [2], 8), b"1234"),
        (output("FP32", [2], 4), b"1234"),
        (output("FP32", [2], -4), b"1234"),
        (output("FP32", [2], "8"), b"12345678"),
        (output("FP32", [-2], 8), b"12345678"),
        (output("FP32", [10**15], 8), b"12345678"),
        (output("BYTES", [10**15], 8), b"12345678"),
        (output("BYTES", [1], 8), b"\xff\0\0\0abcd"),
        (output("FP32", [1], 4), b"12345678"),
        (output("FP8", [1], 1), b"1"),
        ({"name": "y", "datatype": "FP32", "shape": []}, b""),
        ({"name": "y", "datatype": "FP32", "shape": [2], "data": [1]}, b""),
        ({"name": "y", "datatype": "FP32", "shape": [1], "data": ["a"]}, b""),
    ],
)
def test_an_answer_that_is_not_as_it_says_is_an_error(told: dict[str, Any], behind: bytes) -> None:
    with pytest.raises(ServerError, match="not one of the Open Inference Protocol"):
        tensors.read(binary(told, behind))


@pytest.mark.parametrize("length", ["-1", "x", "99999"])
def test_a_wrong_length_of_the_json_is_an_error(length: str) -> None:
    answer = binary(output("FP32", [1], 4), b"1234")
    answer.headers["inference-header-content-length"] = length
    with pytest.raises(ServerError):
        tensors.read(answer)


def test_json_says_nan_as_null_and_no_infinity() -> None:
    spec = parse_spec("x:float32[n]")
    _, body = tensors.write([spec], {"x": np.array([1, np.nan], np.float32)}, None, binary=False)
    assert json.loads(body[0])["inputs"][0]["data"] == [1, None]
    with pytest.raises(BadData, match="holds an infinity"):
        tensors.write([spec], {"x": np.array([np.inf], np.float32)}, None, binary=False)
    told = {"name": "y", "datatype": "FP32", "shape": [2], "data": [1, None]}
    found = tensors.read(Answer(200, {}, bytearray(json.dumps({"outputs": [told]}).encode())))
    np.testing.assert_array_equal(found["y"], [1, np.nan])
