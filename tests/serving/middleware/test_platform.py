"""What SageMaker and Vertex AI ask of a container, as their pages say."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.serving.harness import Reply, Running, ask, running
from tests.serving.onnx_models import plain, publish_affine
from tests.serving.routes.churn import churn

from onnxpress.core.errors import UsageError
from onnxpress.serving import platforms, settings_file
from onnxpress.serving.models.repository import Repository
from onnxpress.serving.service import Service
from onnxpress.serving.settings import AccessSettings, AnswerSettings, ServerSettings

SAGEMAKER = AnswerSettings(platform="sagemaker")
X = np.array([[1, 2, 3], [4, 5, 6.5]], np.float32)
SUMS = [[6.0, 6.0], [15.5, 15.5]]


@pytest.fixture(scope="module")
def affine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    folder = tmp_path_factory.mktemp("models")
    publish_affine(folder)
    with running(Service(Repository(folder)), answers=SAGEMAKER) as found:
        yield found


@pytest.fixture(scope="module")
def mixed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    folder = tmp_path_factory.mktemp("models")
    plain(folder, "churn", churn())
    with running(Service(Repository(folder)), answers=SAGEMAKER) as found:
        yield found


def invoke(server: Running, body: bytes, media: str = "", accept: str = "", path: str = "/invocations") -> Reply:
    headers = [f"{name}: {value}" for name, value in (("content-type", media), ("accept", accept)) if value]
    return ask(server.port, "POST", path, body, headers)


def npy(array: Any) -> bytes:
    file = io.BytesIO()
    np.save(file, array)
    return file.getvalue()


def test_ping_says_that_requests_are_welcome(affine: Running) -> None:
    assert ask(affine.port, "GET", "/ping").status == 200
    assert ask(affine.port, "POST", "/ping").status == 405
    assert ask(affine.port, "GET", "/invocations").status == 405


@pytest.mark.parametrize("media", ["", "application/json", "application/json; charset=utf-8"])
@pytest.mark.parametrize(
    ("body", "key"),
    [
        ({"instances": X.tolist()}, "predictions"),
        ({"instances": X.tolist(), "parameters": {"a": 1}}, "predictions"),
        (X.tolist(), "predictions"),
        ({"inputs": X.tolist()}, "outputs"),
        ({"inputs": {"x": X.tolist()}}, "outputs"),
    ],
)
def test_json_is_taken_in_tensorflow_servings_forms(affine: Running, media: str, body: Any, key: str) -> None:
    reply = invoke(affine, json.dumps(body).encode(), media)
    assert reply.status == 200, reply.body
    assert reply.json() == {key: SUMS}


def test_json_is_taken_as_v2_and_as_rows_of_columns(affine: Running, mixed: Running) -> None:
    tensor = {"name": "x", "shape": [2, 3], "datatype": "FP32", "data": X.ravel().tolist()}
    assert invoke(affine, json.dumps({"inputs": [tensor]}).encode()).json()["outputs"][0]["shape"] == [2, 2]
    row = {"age": 80, "plan": "basic", "spent": 12}
    assert invoke(mixed, json.dumps([row]).encode()).json()[0]["said"] == "basic"
    assert invoke(mixed, json.dumps({"rows": [row]}).encode()).json()["rows"][0]["said"] == "basic"


def test_csv_is_answered_with_csv_and_with_json_where_that_is_accepted(affine: Running, mixed: Running) -> None:
    reply = invoke(affine, b"1,2,3\n4,5,6.5\n", "text/csv")
    assert (reply.status, reply.body) == (200, b"6.0,6.0\n15.5,15.5\n")
    assert reply.headers["content-type"].startswith("text/csv")
    assert invoke(affine, b"1,2,3\r\n4,5,6.5", "text/csv", "application/json").json() == {"predictions": SUMS}
    reply = invoke(mixed, b'80,"a, b",12\n,c,1\n', "text/csv")
    assert reply.status == 200
    first, second = reply.body.decode().splitlines()
    assert first.startswith("1,")
    assert first.endswith(',"a, b",12')
    assert second == "0,nan,nan,c,1"
    many = b"".join(b"%d,p,%d\n" % (number % 90, number) for number in range(10_000))
    lines = invoke(mixed, many, "text/csv").body.splitlines()
    assert [int(line.rpartition(b",")[2]) for line in lines] == list(range(10_000))


@pytest.mark.parametrize("media", ["application/jsonlines", "application/jsonl", "application/x-ndjson"])
def test_json_lines_are_answered_with_a_line_each(affine: Running, mixed: Running, media: str) -> None:
    reply = invoke(affine, b"[1, 2, 3]\n\n[4,5,6.5]\n", media)
    assert (reply.status, reply.body) == (200, b"[6.0,6.0]\n[15.5,15.5]\n")
    assert reply.headers["content-type"] == "application/jsonlines"
    assert invoke(affine, b'{"x": [1, 2, 3]}', media, "application/json").json() == {"predictions": SUMS[:1]}
    row = {"age": 80, "plan": "a\nb", "spent": 12}
    answer = json.loads(invoke(mixed, json.dumps(row).encode() + b"\r\n", media).body)
    assert (answer["said"], answer["paid"]) == ("a\nb", [12])
    many = b"".join(b"[%d,0,0]\n" % number for number in range(10_000))
    lines = invoke(affine, many, media).body.splitlines()
    assert [json.loads(line)[0] for line in lines] == list(range(10_000))


def test_what_is_accepted_may_be_another_form_than_what_is_sent(affine: Running) -> None:
    body = json.dumps({"instances": X.tolist()}).encode()
    assert invoke(affine, body, "application/json", "text/csv").body == b"6.0,6.0\n15.5,15.5\n"
    assert invoke(affine, body, "application/json", "application/jsonlines").body == b"[6.0,6.0]\n[15.5,15.5]\n"
    assert np.load(io.BytesIO(invoke(affine, body, "", "application/x-npy").body)).tolist() == SUMS


def test_an_array_is_answered_with_an_array(affine: Running) -> None:
    for array in (X, X.astype(np.float64), np.asfortranarray(X), X.astype(np.float16)):
        reply = invoke(affine, npy(array), "application/x-npy")
        assert reply.status == 200, reply.body
        assert reply.headers["content-type"] == "application/x-npy"
        answer = np.load(io.BytesIO(reply.body))
        assert answer.dtype == np.float32
        assert answer.tolist() == SUMS
    assert invoke(affine, npy(X), "application/x-npy", "application/json").json() == {"predictions": SUMS}


@pytest.mark.parametrize(
    ("body", "media", "accept", "status", "words"),
    [
        (b"1,2\n", "text/csv", "", 400, "row 0 has 2 columns; the model takes 3"),
        (b"1,2,3\n1,x,3\n", "text/csv", "", 400, "row 1, column 1"),
        (b"", "text/csv", "", 400, "no rows"),
        (b'1,"2', "text/csv", "", 400, "no CSV"),
        (b"\xff", "text/csv", "", 400, "no CSV"),
        (b"x", "application/xml", "", 415, "text/csv"),
        (b"1,2,3", "text/csv", "image/png", 400, "none of"),
        (b"[[1,2,3]]", "application/json", "image/png", 400, "none of"),
        (b"[1,2,3]\n[1,2", "application/jsonlines", "", 400, "line 2 is no JSON"),
        (b"[1,2,3],[4,5,6]", "application/jsonlines", "", 400, "line 1 is no JSON"),
        (b"[1,2,3]\n[1,2]", "application/jsonlines", "", 400, "differ in length"),
        (b"\n\n", "application/jsonlines", "", 400, "no rows"),
        (b"", "application/json", "", 400, "no JSON"),
        (b"[", "application/json", "", 400, ""),
        (b"nonsense", "application/x-npy", "", 400, "no array"),
        (npy(X)[:-1], "application/x-npy", "", 400, "bytes follow"),
        (npy(np.array(["a"])), "application/x-npy", "", 400, "holds"),
        (npy(X[:, :2]), "application/x-npy", "", 400, "axis 1"),
        (npy(X).replace(b"(2, 3), }      ", b"(2000000, 3), }"), "application/x-npy", "", 400, "bytes follow"),
    ],
)
def test_what_is_wrong_is_said(affine: Running, body: bytes, media: str, accept: str, status: int, words: str) -> None:
    reply = invoke(affine, body, media, accept)
    assert reply.status == status, reply.body
    assert words in reply.json()["error"]


def test_an_array_is_for_models_of_one_input(mixed: Running) -> None:
    assert invoke(mixed, npy(X), "application/x-npy").status == 400


def test_other_paths_are_answered_as_ever(affine: Running) -> None:
    assert ask(affine.port, "GET", "/v2/models/affine").status == 200
    tensor = {"name": "x", "shape": [2, 3], "datatype": "FP32", "data": X.ravel().tolist()}
    body = json.dumps({"inputs": [tensor]}).encode()
    headers = ["content-type: application/json", "accept: */*"]
    assert ask(affine.port, "POST", "/v2/models/affine/infer", body, headers).status == 200


def test_vertex_has_the_paths_that_it_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    publish_affine(tmp_path)
    where = "/v1/endpoints/7/deployedModels/9"
    monkeypatch.setenv("AIP_HEALTH_ROUTE", where)
    monkeypatch.setenv("AIP_PREDICT_ROUTE", f"{where}:predict")
    with running(Service(Repository(tmp_path)), answers=AnswerSettings(platform="vertex")) as server:
        assert ask(server.port, "GET", where).status == 200
        body = json.dumps({"instances": X.tolist()}).encode()
        assert invoke(server, body, "application/json", path=f"{where}:predict").json() == {"predictions": SUMS}
        paths = ask(server.port, "GET", "/openapi.json").json()["paths"]
    assert {where, f"{where}:predict"} <= set(paths)


def test_the_platform_says_port_and_folder_unless_they_are_given(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SAGEMAKER_BIND_TO_PORT", "9001")
    settings = settings_file.load(None, {"platform": "sagemaker"})
    assert (settings.address.host, settings.address.port) == (("0.0.0.0",), 9001)
    assert settings.path == Path("/opt/ml/model")
    given = settings_file.load(None, {"platform": "sagemaker", "port": 7, "path": Path("here")})
    assert (given.address.port, given.path) == (7, Path("here"))
    monkeypatch.setenv("AIP_STORAGE_URI", str(Path("mounted")))
    assert settings_file.load(None, {"platform": "vertex"}).path == Path("mounted")
    monkeypatch.setenv("AIP_HTTP_PORT", "x")
    with pytest.raises(UsageError, match="AIP_HTTP_PORT"):
        settings_file.load(None, {"platform": "vertex"})
    with pytest.raises(UsageError, match="AIP_HEALTH_ROUTE"):
        platforms.paths("vertex", {"AIP_HEALTH_ROUTE": "health"})


def test_sagemakers_numbers_are_settings_and_what_is_not_there_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SAGEMAKER_MODEL_SERVER_WORKERS", "2")
    monkeypatch.setenv("SAGEMAKER_MODEL_SERVER_TIMEOUT_SECONDS", "50")
    monkeypatch.setenv("SAGEMAKER_MAX_PAYLOAD_IN_MB", "6")
    monkeypatch.setenv("SAGEMAKER_BASE_DIR", "/elsewhere")
    settings = settings_file.load(None, {"platform": "sagemaker"})
    assert (settings.processes.workers, settings.processes.run_limit, settings.limits.max_body) == (2, 50, 6 << 20)
    assert settings.path == Path("/elsewhere/model")
    assert settings_file.load(None, {"platform": "sagemaker", "workers": 1}).processes.workers == 1
    for name, told in (("SAGEMAKER_MODEL_SERVER_WORKERS", "0"), ("SAGEMAKER_MULTI_MODEL", "true")):
        monkeypatch.setenv(name, told)
        with pytest.raises(UsageError, match=name):
            settings_file.load(None, {"platform": "sagemaker"})


def test_a_batch_transform_learns_what_it_may_send(affine: Running) -> None:
    told = ask(affine.port, "GET", "/execution-parameters").json()
    assert told["BatchStrategy"] == "MULTI_RECORD"
    assert told["MaxConcurrentTransforms"] * told["MaxPayloadInMB"] <= 100
    assert ask(affine.port, "POST", "/execution-parameters").status == 405


def test_a_platform_shows_no_token(tmp_path: Path) -> None:
    tokens = tmp_path / "tokens"
    tokens.write_text("a-token-of-some-length\n")
    with pytest.raises(UsageError, match="--platform"):
        ServerSettings(answers=SAGEMAKER, access=AccessSettings(tokens=tokens))
