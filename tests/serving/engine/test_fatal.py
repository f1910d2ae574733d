"""Operators that would end the process on an empty tensor are found in a model, and kept from meeting one."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from tests.serving.harness import Client, request, serving
from tests.serving.onnx_models import in_attribute, model, node, plain

from onnxpress.core.onnx_graph import Model
from onnxpress.serving.engine import Engine, fatal


def gru() -> bytes:
    """y (steps, 1, batch, 2) of x (steps, batch, 3)."""
    rng = np.random.default_rng(0)
    weights = {"w": (1, 6, 3), "r": (1, 6, 2)}
    constants = {name: rng.standard_normal(shape).astype(np.float32) for name, shape in weights.items()}
    nodes = [node("GRU", ["x", "w", "r"], ["y"], hidden_size=2)]
    return model(nodes, ["x:float32[steps,batch,3]"], ["y:float32[steps,1,batch,2]"], constants)


@pytest.mark.parametrize(
    ("operator", "found"),
    [
        ("GRU", ("GRU",)),
        ("MultiHeadAttention", ("MultiHeadAttention",)),
        ("DynamicQuantizeLSTM", ("DynamicQuantizeLSTM",)),
        ("Relu", ()),
    ],
)
def test_they_are_found_by_name(operator: str, found: tuple[str, ...]) -> None:
    content = model([node(operator, ["x"], ["y"])], ["x:float32[batch]"], ["y:float32[batch]"])
    assert fatal.when_empty(Model(content)) == found


def test_a_constant_or_a_value_of_this_name_is_none() -> None:
    letters = {"GRU": np.frombuffer(b"\x22\x04LSTM\x22\x03GRU\x00", np.uint8)}
    content = model([node("Identity", ["GRU"], ["STFT"])], ["x:float32[batch]"], ["STFT:uint8[12]"], letters)
    assert fatal.when_empty(Model(content)) == ()


def test_one_in_a_branch_is_found() -> None:
    inner = in_attribute("w").replace(b"\x22\x08Constant", b"\x22\x08LSTMLSTM")
    assert fatal.when_empty(Model(inner)) == ("LSTMLSTM",)


def test_a_plain_model_outlives_every_empty_question(tmp_path: Path) -> None:
    plain(tmp_path, "gru", gru())
    with serving(tmp_path) as server, Client(server.port) as client:
        for shape in ([0, 2, 3], [2, 0, 3], [0, 0, 3]):
            client.send(question(shape, []))
            answer = client.reply()
            assert answer.status == 400, answer.body
            assert "GRU" in answer.json()["error"] or "no rows" in answer.json()["error"]
        client.send(question([1, 2, 3], [1, 2, 3, 4, 5, 6]))
        assert client.reply().status == 200


def question(shape: list[int], data: list[float]) -> bytes:
    tensor = {"name": "x", "shape": shape, "datatype": "FP32", "data": data}
    return request("POST", "/v2/models/gru/infer", json.dumps({"inputs": [tensor]}).encode())


def test_the_engine_says_what_it_has_in_it() -> None:
    assert Engine.load(gru()).fatal_when_empty == ("GRU",)
