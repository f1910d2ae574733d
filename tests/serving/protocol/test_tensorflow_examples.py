"""TensorFlow Serving's classify and regress, as its page on the REST API has them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.serving.harness import Running, ask, running
from tests.serving.onnx_models import model, node, plain
from tests.serving.routes.churn import repository_at

from onnxpress.serving.service import Service


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    folder: Path = tmp_path_factory.mktemp("models")
    nodes = [node("ReduceSum", ["x", "axes"], ["y"])]
    import numpy as np

    content = model(nodes, ["x:float32[n,2]"], ["y:float32[n,1]"], {"axes": np.array([1], np.int64)})
    plain(folder, "total", content)
    plain(folder, "pair", model([node("Identity", ["x"], ["y"])], ["x:float32[n,2]"], ["y:float32[n,2]"]))
    with running(Service(repository_at(folder))) as found:
        yield found


def post(server: Running, name: str, verb: str, body: Any) -> tuple[int, Any]:
    text = body if isinstance(body, bytes) else json.dumps(body).encode()
    reply = ask(server.port, "POST", f"/v1/models/{name}:{verb}", text)
    return reply.status, reply.json()


def test_classify_answers_labels_with_their_scores(server: Running) -> None:
    context = {"plan": "basic"}
    body = {"examples": [{"age": 80, "spent": 1}, {"age": [20], "spent": [2], "plan": "gold"}], "context": context}
    status, found = post(server, "churn", "classify", body)
    assert status == 200, found
    first, second = found["result"]
    assert first == [["stays", pytest.approx(0.2)], ["leaves", pytest.approx(0.8)]]
    assert second == [["stays", pytest.approx(0.8)], ["leaves", pytest.approx(0.2)]]
    assert post(server, "pair", "classify", {"examples": [{"x": [1, 2]}]}) == (200, {"result": [[["0", 1], ["1", 2]]]})


def test_regress_answers_a_number_for_each(server: Running) -> None:
    body = {"signature_name": "serving_default", "examples": [{"x": [1, 2]}, {"x": [3, 4.5]}]}
    assert post(server, "total", "regress", body) == (200, {"result": [3, 7.5]})
    many = {"examples": [{"x": [number, 0.25]} for number in range(60_000)]}  # more than 1 MiB
    assert post(server, "total", "regress", many) == (200, {"result": [number + 0.25 for number in range(60_000)]})


@pytest.mark.parametrize(
    ("name", "verb", "body", "words"),
    [
        ("pair", "regress", {"examples": [{"x": [1, 2]}]}, "use predict"),
        ("total", "regress", {"examples": []}, "no rows"),
        ("total", "regress", {"examples": [{}] * 3000, "context": {"x": [1] * 3000}}, "the context comes to 18"),
        ("total", "regress", {"examples": [3]}, "examples"),
        ("total", "regress", {"examples": 3}, "examples"),
        ("total", "regress", {"examples": [{"z": 1}]}, "z"),
        ("total", "regress", {"examples": [{"x": [1, 2]}], "signature_name": "other"}, "signature"),
        ("total", "regress", {}, "examples"),
        ("total", "classify", b"", "examples"),
        ("fixed", "classify", {"examples": [{"b": [True, False]}]}, "rows"),
    ],
)
def test_what_cannot_be_answered_is_said(server: Running, name: str, verb: str, body: Any, words: str) -> None:
    status, found = post(server, name, verb, body)
    assert status == 400
    assert words in found["error"]
