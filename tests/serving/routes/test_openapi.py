"""The OpenAPI document: typed from the signature, and true of what the server answers."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.serving.harness import Reply, Running, ask, running
from tests.serving.publishing import publish as publish_file
from tests.serving.routes.churn import repository_at

from onnxpress.serving.models.repository import Repository
from onnxpress.serving.service import Service
from onnxpress.serving.settings import AccessSettings, AnswerSettings

jsonschema = pytest.importorskip("jsonschema")
Invalid = jsonschema.ValidationError

_METHODS = ("get", "post")


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    repository = repository_at(tmp_path_factory.mktemp("models"))
    with running(Service(repository), answers=AnswerSettings(plain_rows=True)) as found:
        yield found


@pytest.fixture(scope="module")
def document(server: Running) -> Any:
    reply = ask(server.port, "GET", "/openapi.json")
    assert reply.status == 200
    return reply.json()


def checked(document: Any, schema: Any, value: Any) -> None:
    """Raises ValidationError where the value is not as this part of the document says."""
    whole = {**schema, "components": document["components"]}
    jsonschema.Draft202012Validator(whole).validate(value)


def fits(document: Any, name: str, value: Any) -> bool:
    try:
        checked(document, {"$ref": f"#/components/schemas/{name}"}, value)
    except Invalid:
        return False
    return True


def holds(document: Any, path: str, method: str, reply: Reply) -> None:
    """The reply is one that the document foresees there."""
    responses = document["paths"][path][method]["responses"]
    assert str(reply.status) in responses, (path, method, reply.status, reply.body)
    content = responses[str(reply.status)]["content"]
    media = reply.headers["content-type"].partition(";")[0]
    assert media in content, (path, media)
    if media == "application/json":
        checked(document, content[media]["schema"], reply.json())


def operations(document: Any) -> list[tuple[str, str, Any]]:
    return [
        (path, method, item[method])
        for path, item in document["paths"].items()
        for method in _METHODS
        if method in item
    ]


def test_every_schema_is_one_and_every_name_is_there_once(document: Any) -> None:
    assert document["openapi"] == "3.1.0"
    for schema in document["components"]["schemas"].values():
        jsonschema.Draft202012Validator.check_schema(schema)
    names = [operation["operationId"] for _, _, operation in operations(document)]
    assert len(names) == len(set(names))
    text = json.dumps(document)
    for part in text.split('"#/components/schemas/')[1:]:
        assert part.partition('"')[0] in document["components"]["schemas"]


def test_every_model_has_every_route(document: Any) -> None:
    for name, versions in (("churn", [1]), ("tiny", [1, 2]), ("fixed", [1])):
        for at in ["", *(f"/versions/{version}" for version in versions)]:
            for rest in ("", "/ready", "/config", "/stats", "/infer"):
                assert f"/v2/models/{name}{at}{rest}" in document["paths"]
            assert f"/v1/models/{name}{at}:predict" in document["paths"]
            assert (f"/models/{name}{at}" in document["paths"]) == (name != "fixed")


def test_requests_that_are_not_as_the_signature_says_do_not_fit(document: Any) -> None:
    def asked(**more: Any) -> Any:
        tensors = {
            "age": {"name": "age", "datatype": "FP32", "shape": [1], "data": [30]},
            "plan": {"name": "plan", "datatype": "BYTES", "shape": [1], "data": ["gold"]},
            "spent": {"name": "spent", "datatype": "INT64", "shape": [1, 1], "data": [3]},
        }
        return {"inputs": [{**tensor, **more.get(name, {})} for name, tensor in tensors.items()]}

    request = "churn.v1.InferRequest"
    assert fits(document, request, asked())
    for wrong in (
        {"age": {"datatype": "FP64"}}, {"age": {"data": [130]}}, {"age": {"data": ["x"]}}, {"plan": {"data": ["none"]}},
        {"spent": {"shape": [1]}}, {"spent": {"shape": [1, 2]}}, {"spent": {"data": [0.5]}}, {"age": {"name": "ages"}},
    ):  # fmt: skip
        assert not fits(document, request, asked(**wrong)), wrong
    assert fits(document, request, asked(spent={"data": [12]}))  # that range was measured, and is not held
    assert not fits(document, request, {"inputs": asked()["inputs"][:2]})
    rows = "churn.v1.Rows"
    assert fits(document, rows, [{"age": None, "plan": "gold", "spent": 3}])
    assert not fits(document, rows, [{"age": 1, "plan": "gold"}])
    assert not fits(document, rows, [])


def test_the_examples_are_golden_samples_and_are_answered_as_they_say(server: Running, document: Any) -> None:
    for path, method, operation in operations(document):
        if "tiny" not in path or "requestBody" not in operation or path.endswith((":classify", ":regress")):
            continue
        body = operation["requestBody"]["content"]["application/json"]
        checked(document, body["schema"], body["example"])
        reply = ask(server.port, method.upper(), path, json.dumps(body["example"]).encode())
        assert reply.status == 200, reply.body
        holds(document, path, method, reply)
        expected = operation["responses"]["200"]["content"]["application/json"].get("example")
        if expected is not None:
            assert close(expected, reply.json())


def flat(value: Any) -> list[Any]:
    if isinstance(value, dict):
        return [one for name, part in value.items() if name != "shape" for one in flat(part)]
    return [one for part in value for one in flat(part)] if isinstance(value, list) else [value]


def close(first: Any, second: Any) -> bool:
    pairs = list(zip(flat(first), flat(second), strict=True))
    return all(a == pytest.approx(b, rel=1e-4, abs=1e-6) if isinstance(a, float) else a == b for a, b in pairs)


ROW = {"age": 80, "plan": "basic", "spent": 12}
BODIES = [b"", b"{}", b"[]", b"3", b"\xff", b'{"inputs":[]}', b'{"instances":[1]}', b'{"inputs":[{"name":"x"}]}']


def test_every_answer_is_one_that_the_document_foresees(server: Running, document: Any) -> None:
    for path, method, _ in operations(document):
        target = path.replace("{model}", "tiny")
        for body in BODIES if method == "post" else [b""]:
            reply = ask(server.port, method.upper(), target, body)
            assert reply.status < 500 or "ready" in path, (target, reply.body)
            holds(document, path, method, reply)
    tensors = [
        {"name": "age", "datatype": "FP32", "shape": [2], "data": [80, None]},
        {"name": "plan", "datatype": "BYTES", "shape": [2], "data": ["basic", "gold"]},
        {"name": "spent", "datatype": "INT64", "shape": [2, 1], "data": [1, 2]},
    ]
    fixed = {"name": "b", "datatype": "BOOL", "shape": [2, 2], "data": [True, False, True, True]}
    asked: list[tuple[str, Any]] = [
        ("/v2/models/churn/infer", {"inputs": tensors}),
        ("/v2/models/churn/infer", {"inputs": tensors, "id": "7", "outputs": [{"name": "said"}]}),
        (
            "/v2/models/churn/infer",
            {"inputs": tensors, "outputs": [{"name": "probabilities", "parameters": {"classification": 1}}]},
        ),
        ("/v2/models/fixed/infer", {"inputs": [fixed]}),
        ("/v1/models/churn:predict", {"instances": [{"age": 3, "plan": "gold", "spent": [4]}]}),
        ("/v1/models/churn:predict", {"inputs": {"age": [3], "plan": ["gold"], "spent": [[4]]}}),
        ("/v1/models/fixed:predict", {"inputs": [[True, False], [False, False]]}),
        ("/v1/models/churn:classify", {"examples": [{"age": 3, "plan": "gold", "spent": 4}]}),
        ("/models/churn", [ROW, {**ROW, "age": None}]),
        ("/predict/churn", {"rows": [ROW]}),
    ]
    for path, body in asked:
        operation = document["paths"][path]["post"]
        checked(document, operation["requestBody"]["content"]["application/json"]["schema"], body)
        reply = ask(server.port, "POST", path, json.dumps(body).encode())
        assert reply.status == 200, (path, reply.body)
        holds(document, path, "post", reply)


def test_it_follows_what_is_served_and_is_built_once_for_it(server: Running, document: Any) -> None:
    first = ask(server.port, "GET", "/openapi.json")
    assert first.json() == document
    assert ask(server.port, "POST", "/openapi.json").status == 405
    assert ask(server.port, "GET", "/openapi.json/x").status == 404


def test_another_model_is_in_it_as_soon_as_it_is_served(tmp_path: Path) -> None:
    publish_file(tmp_path, "tiny")
    repository = Repository(tmp_path)
    with running(Service(repository)) as server:
        before = ask(server.port, "GET", "/openapi.json").json()
        served = repository.models["tiny"]
        server.call(repository.put, "tiny", {}, {})
        without = ask(server.port, "GET", "/openapi.json").json()
        server.call(repository.put, "tiny", served, {})
    assert "/v2/models/tiny" in before["paths"]
    assert "/v2/models/tiny" not in without["paths"]
    assert "/models/tiny" not in before["paths"]  # rows are not asked for here


def test_with_tokens_it_is_for_those_who_show_one_and_says_so(tmp_path: Path) -> None:
    publish_file(tmp_path / "models", "tiny")
    tokens = tmp_path / "tokens"
    tokens.write_text("a-token-of-some-length\n")
    with running(Service(Repository(tmp_path / "models")), access=AccessSettings(tokens=tokens)) as server:
        refused = ask(server.port, "GET", "/openapi.json")
        assert refused.status == 401
        document = ask(
            server.port, "GET", "/openapi.json", headers=["authorization: Bearer a-token-of-some-length"]
        ).json()
    holds(document, "/openapi.json", "get", refused)
    assert document["security"] == [{"token": []}]
