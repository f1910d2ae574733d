"""Values that a signature refuses are answered 400 in every form that a request has; its neighbours are not."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from tests.serving.harness import Client, Running, ask, infer_body, request, serving
from tests.serving.onnx_models import identity, publish, publish_affine

from onnxpress.core import manifest as manifests
from onnxpress.core.domains import narrowed
from onnxpress.core.errors import BadData
from onnxpress.serving.engine.loading import load

NAN, OUTSIDE, FINE = [1.0, float("nan"), 3.0], [1.0, 256.0, 3.0], [0.0, 255.0, 3.0]


def sign(folder: Path, domain: str) -> Path:
    """Write the domain, and that NaN is refused, into the version's manifest."""
    path = folder / manifests.FILE_NAME
    manifest = manifests.decode(path.read_bytes(), where="")
    specs = narrowed(manifest.inputs, [domain])
    if specs[0].dtype == "float32":
        specs = [msgspec.structs.replace(spec, refuses=("nan",)) for spec in specs]
    path.write_bytes(manifests.encode(msgspec.structs.replace(manifest, inputs=specs)))
    return folder


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("domains")
    sign(publish_affine(folder), "x:[0,255]")
    texts = publish(folder, "words", identity("string"), ["x:string[batch,length]"], ["y:string[batch,length]"])
    sign(texts, "x:{red,green}")
    return folder


@pytest.fixture(scope="module")
def server(models: Path) -> Iterator[Running]:
    with serving(models) as found:
        yield found


def v2(row: list[float]) -> tuple[str, bytes, list[str]]:
    body = json.dumps({"inputs": [{"name": "x", "shape": [1, 3], "datatype": "FP32", "data": row}]})
    return "/v2/models/affine/infer", body.replace("NaN", "null").encode(), []


def long(row: list[float]) -> tuple[str, bytes, list[str]]:
    data = row + [7.125] * 9000
    body = json.dumps({"inputs": [{"name": "x", "shape": [3001, 3], "datatype": "FP32", "data": data}]})
    return "/v2/models/affine/infer", body.replace("NaN", "null").encode(), []


def binary(row: list[float]) -> tuple[str, bytes, list[str]]:
    content = np.array(row, np.float32).tobytes()
    tensor = {"name": "x", "shape": [1, 3], "datatype": "FP32", "parameters": {"binary_data_size": 12}}
    text = json.dumps({"inputs": [tensor]}).encode()
    return "/v2/models/affine/infer", text + content, [f"inference-header-content-length: {len(text)}"]


def raw(row: list[float]) -> tuple[str, bytes, list[str]]:
    content = np.array(row, np.float32).tobytes()
    return "/v2/models/affine/infer", content, ["inference-header-content-length: 0"]


def tensorflow(row: list[float]) -> tuple[str, bytes, list[str]]:
    return "/v1/models/affine:predict", json.dumps({"instances": [row]}).encode(), []


@pytest.mark.parametrize("form", [v2, long, binary, raw, tensorflow])
def test_every_form_is_held_against_the_signature(server: Running, form: Any) -> None:
    for row, said in ((OUTSIDE, "outside of its domain [0, 255]"), (NAN, "NaN"), (FINE, "")):
        if form is tensorflow and row is NAN:
            continue  # JSON has none, and TensorFlow Serving's format no null
        target, body, headers = form(row)
        reply = ask(server.port, "POST", target, body, headers)
        assert reply.status == (400 if said else 200), reply.body
        assert not said or said in reply.json()["error"]


def test_only_the_guilty_one_of_many_at_once_is_refused(server: Running) -> None:
    rows = [FINE, OUTSIDE, FINE, FINE, OUTSIDE, FINE] * 3
    with Client(server.port) as client:
        client.send(b"".join(request("POST", "/v2/models/affine/infer", infer_body([row])) for row in rows))
        assert [client.reply().status for _ in rows] == [200 if row is FINE else 400 for row in rows]


def test_words_that_are_not_listed_are_refused(server: Running) -> None:
    for word, status in (("red", 200), ("blue", 400)):
        tensor = {"name": "x", "shape": [1, 2], "datatype": "BYTES", "data": ["green", word]}
        reply = ask(server.port, "POST", "/v2/models/words/infer", json.dumps({"inputs": [tensor]}).encode())
        assert reply.status == status, reply.body
    assert "'blue', which is outside of its domain {red, green}" in reply.json()["error"]


def test_the_domain_is_in_the_metadata(server: Running) -> None:
    told = ask(server.port, "GET", "/v2/models/affine").json()["parameters"]
    assert told["domains"] == {"x": "[0, 255]"}


def test_a_model_in_this_process_refuses_them_too(models: Path) -> None:
    engine = load(models / "affine")
    assert engine(x=[FINE])["y"].shape == (1, 2)
    with pytest.raises(BadData, match="outside of its domain"):
        engine(x=[OUTSIDE])
