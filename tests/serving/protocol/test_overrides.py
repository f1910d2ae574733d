"""Initializers that double as inputs: a request may override them, and no other request notices."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner
from tests.serving.harness import Client, Running, ask, request, running, serving
from tests.serving.onnx_models import model, node, plain, publish

import onnxpress
from onnxpress.core.errors import BadData
from onnxpress.serving.cli.predict import predict
from onnxpress.serving.engine import Engine
from onnxpress.serving.models.repository import Repository
from onnxpress.serving.service import Service
from onnxpress.serving.settings import ModelSettings, ProcessSettings

X, Y = "x:float32[batch,2]", "y:float32[batch,2]"
SCALED = model(
    [node("Mul", ["x", "k"], ["h"]), node("Add", ["h", "c"], ["y"])],
    [X, "k:float32[1]", "c:float32[2]"],
    [Y],
    {"k": np.array([2], np.float32), "c": np.zeros(2, np.float32)},
)
"""`y = x * k + c`, of which k and c have defaults"""
PATH = "/v2/models/scaled/infer"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    folder = tmp_path_factory.mktemp("models")
    plain(folder, "scaled", SCALED)
    publish(folder, "measured", SCALED, [X], [Y])
    with serving(folder) as found:
        yield found


def tensor(name: str, data: Any, shape: list[int], datatype: str = "FP32", **more: Any) -> dict[str, Any]:
    return {"name": name, "shape": shape, "datatype": datatype, "data": data, **more}


def body(*others: dict[str, Any], x: float = 1) -> bytes:
    return json.dumps({"inputs": [tensor("x", [x, 10 * x], [1, 2]), *others]}).encode()


def answer(server: Running, content: bytes, path: str = PATH) -> Any:
    reply = ask(server.port, "POST", path, content)
    assert reply.status == 200, reply.body
    return reply.json()["outputs"][0]["data"]


def test_given_or_not(server: Running) -> None:
    assert answer(server, body()) == [2, 20]
    assert answer(server, body(tensor("k", [3], [1]))) == [3, 30]
    assert answer(server, body(tensor("c", [1, 2], [2]))) == [3, 22]
    assert answer(server, body(tensor("c", [1, 2], [2]), tensor("k", [0], [1]))) == [1, 2]
    assert answer(server, body()) == [2, 20]


def test_as_bytes(server: Running) -> None:
    content = np.array([5], "<f4").tobytes()
    k = {"name": "k", "shape": [1], "datatype": "FP32", "parameters": {"binary_data_size": 4}}
    text = body(k)
    headers = [f"inference-header-content-length: {len(text)}"]
    reply = ask(server.port, "POST", PATH, text + content, headers)
    assert reply.json()["outputs"][0]["data"] == [5, 50]


def test_in_columns_of_tensorflow_serving(server: Running) -> None:
    path = "/v1/models/scaled:predict"
    for document, wanted in (
        ({"inputs": {"x": [[1, 10]], "k": [4]}}, {"outputs": [[4, 40]]}),
        ({"inputs": {"x": [[1, 10]]}}, {"outputs": [[2, 20]]}),
        ({"inputs": [[1, 10]]}, {"outputs": [[2, 20]]}),
        ({"instances": [{"x": [1, 10]}]}, {"predictions": [[2, 20]]}),
    ):
        assert ask(server.port, "POST", path, json.dumps(document).encode()).json() == wanted
    row = {"instances": [{"x": [1, 10], "k": [4]}]}
    assert (
        ask(server.port, "POST", path, json.dumps(row).encode()).status == 400
    )  # one k for all rows, or one for each?


def test_many_at_once_do_not_share(server: Running) -> None:
    with Client(server.port) as client:
        for _ in range(3):
            bodies = [body(*([tensor("k", [n], [1])] if n % 3 else []), x=n + 1) for n in range(40)]
            client.send(b"".join(request("POST", PATH, one) for one in bodies))
            for n in range(40):
                k = n if n % 3 else 2
                assert client.reply().json()["outputs"][0]["data"] == [k * (n + 1), k * (n + 1) * 10]


@pytest.mark.parametrize(
    ("others", "says"),
    [
        ([tensor("k", [1, 2], [2])], "axis 0 is 2, but it must be 1"),
        ([tensor("k", [1], [1], "INT64")], "it must be FP32"),
        ([tensor("k", ["a"], [1])], "which is no FP32"),
        ([tensor("k", [1e39], [1])], "do not fit FP32"),
        ([tensor("k", [], [0])], "axis 0 is 0"),
        ([tensor("k", [1], [1]), tensor("k", [1], [1])], "given twice"),
        ([tensor("k", [1], [1], parameters={"shared_memory_region": "r"})], "no shared memory"),
        ([tensor("z", [1], [1])], "the model takes: x, k, c"),
    ],
)
def test_what_does_not_fit(server: Running, others: list[dict[str, Any]], says: str) -> None:
    reply = ask(server.port, "POST", PATH, body(*others))
    assert (reply.status, says in reply.json()["error"]) == (400, True), reply.body


def test_what_is_not_optional_is_still_needed(server: Running) -> None:
    reply = ask(server.port, "POST", PATH, json.dumps({"inputs": [tensor("k", [1], [1])]}).encode())
    assert "'x' is missing" in reply.json()["error"]


def test_metadata_names_them_apart(server: Running) -> None:
    found = ask(server.port, "GET", "/v2/models/scaled").json()
    assert [one["name"] for one in found["inputs"]] == ["x"]
    assert found["parameters"]["optional_inputs"] == [
        {"name": "k", "datatype": "FP32", "shape": [1]},
        {"name": "c", "datatype": "FP32", "shape": [2]},
    ]


def test_what_was_measured_is_what_is_served(server: Running) -> None:
    reply = ask(server.port, "POST", "/v2/models/measured/infer", body(tensor("k", [3], [1])))
    assert "there is no input" in reply.json()["error"]
    assert answer(server, body(), "/v2/models/measured/infer") == [2, 20]


def test_in_a_process_of_its_own(tmp_path: Path) -> None:
    plain(tmp_path, "scaled", SCALED)
    service = Service(Repository(tmp_path, ModelSettings(), ProcessSettings(isolate=True)))
    with running(service) as isolated:
        assert answer(isolated, body(tensor("k", [3], [1]))) == [3, 30]
        assert answer(isolated, body()) == [2, 20]


def test_from_python(tmp_path: Path) -> None:
    engine = Engine.load(SCALED)
    assert engine([[1, 10]])["y"].tolist() == [[2, 20]]
    assert engine(x=[[1, 10]], k=[3.0])["y"].tolist() == [[3, 30]]
    with pytest.raises(BadData, match="there is no input 'z'"):
        engine(x=[[1, 10]], z=[3])


def test_from_a_client_and_the_command_line(server: Running, tmp_path: Path) -> None:
    url = f"http://127.0.0.1:{server.port}"
    for binary in (True, False):
        with onnxpress.Client(url, binary=binary) as client:
            assert client.infer("scaled", {"x": [[1, 10]], "k": [3]})["y"].tolist() == [[3, 30]]
            assert client.infer("scaled", [[1, 10]])["y"].tolist() == [[2, 20]]
            with pytest.raises(BadData, match="there is no input 'z'"):
                client.infer("scaled", {"x": [[1, 10]], "z": [3]})
    np.savez(tmp_path / "q.npz", x=[[1.0, 10]], k=[3.0])
    tensors = [{"name": "x", "shape": [1, 2], "datatype": "FP32", "data": [1, 10]}, tensor("k", [3], [1])]
    plain(tmp_path, "scaled", SCALED)
    for place in (str(tmp_path / "scaled"), f"{url}/v2/models/scaled"):
        for given in ('{"x": [[1, 10]], "k": [3]}', json.dumps({"inputs": tensors}), str(tmp_path / "q.npz")):
            arguments, stdin = ([place, given], None) if given.endswith("npz") else ([place, "-"], given)
            done = CliRunner().invoke(predict, arguments, input=stdin, catch_exceptions=False)
            assert json.loads(done.stdout) == {"y": [[3, 30]]}
