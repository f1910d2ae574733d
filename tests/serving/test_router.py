"""Routes of the V2 protocol."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.serving.publishing import publish

from onnxpress.serving.exchange import Headers
from onnxpress.serving.models.repository import Repository
from onnxpress.serving.router import Router
from onnxpress.serving.service import Service


@pytest.fixture(scope="module")
def router(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Router]:
    folder = tmp_path_factory.mktemp("repository")
    publish(folder, "tiny")
    repository = Repository(folder)
    repository.load()
    yield Router(Service(repository))
    repository.close()


class Asked:
    gone = False

    def respond(self, status: int, body: bytes, headers: Headers = ()) -> None:
        self.status, self.body, self.headers = status, json.loads(body), dict(headers)


def ask(router: Router, target: str, method: str = "GET") -> Asked:
    asked = Asked()
    router.submit(method.encode(), target.encode(), b"", asked)
    return asked


def test_server_metadata(router: Router) -> None:
    answer = ask(router, "/v2")
    assert answer.status == 200
    assert answer.body["name"] == "onnxpress"
    assert "binary_tensor_data" in answer.body["extensions"]


@pytest.mark.parametrize("path", ["/v2/health/live", "/v2/health/ready", "/v2/models/tiny/ready"])
def test_health(router: Router, path: str) -> None:
    assert ask(router, path).status == 200
    assert ask(router, path, "HEAD").status == 200


@pytest.mark.parametrize(
    "path", ["/v2/models/tiny", "/v2/models/tiny/versions/1", "/v2/models/t%69ny?x=1", "http://h/v2/models/tiny"]
)
def test_model_metadata(router: Router, path: str) -> None:
    body: dict[str, Any] = ask(router, path).body
    assert body["versions"] == ["1"]
    assert body["inputs"] == [{"name": "x", "datatype": "FP32", "shape": [-1, 32]}]
    assert body["outputs"] == [{"name": "y", "datatype": "FP32", "shape": [-1, 8]}]
    assert body["parameters"]["verified"] is True
    assert body["parameters"]["self_test_multiple"] <= 1


def test_metadata_says_where_the_nodes_run(router: Router) -> None:
    nodes: dict[str, int] = ask(router, "/v2/models/tiny").body["parameters"]["nodes"]
    assert list(nodes) == ["CPUExecutionProvider"]
    assert nodes["CPUExecutionProvider"] >= 1


DEADLINE = b"x-envoy-expected-rq-timeout-ms"


@pytest.mark.parametrize("target", [b"/v2/models/tiny/infer", b"/v2/models/t%69ny/infer", b"/v1/models/tiny:predict"])
@pytest.mark.parametrize(("milliseconds", "status"), [(b"60000", 200), (b"0", 504), (b"-1", 400), (b"soon", 400)])
def test_the_deadline_of_a_proxy(router: Router, target: bytes, milliseconds: bytes, status: int) -> None:
    assert DEADLINE in router.headers_read
    tensor = {"name": "x", "shape": [1, 32], "datatype": "FP32", "data": [0.5] * 32}
    body = json.dumps({"instances": [tensor["data"]]} if b"v1" in target else {"inputs": [tensor]}).encode()

    async def main() -> list[int]:
        asked = [Asked() for _ in range(2)]
        for one in asked:
            one.status = 0
            router.submit_with({DEADLINE: milliseconds}, b"POST", target, body, one)
        while not all(one.status for one in asked):
            await asyncio.sleep(0.001)
        return [one.status for one in asked]

    assert asyncio.run(asyncio.wait_for(main(), 10)) == [status, status]


@pytest.mark.parametrize(
    "path",
    ["/", "/v1", "/v2/models", "/v2/models/none", "/v2/models/tiny/versions/2", "/v2/models/tiny/versions",
     "/v2/models/tiny/x", "/v2/models/tiny/../tiny", "/v2/models/%ff", "/v2/models/tiny/versions/1/versions/1"],
)  # fmt: skip
def test_404(router: Router, path: str) -> None:
    answer = ask(router, path)
    assert answer.status == 404
    assert list(answer.body) == ["error"]


@pytest.mark.parametrize(
    ("method", "path", "allow"),
    [
        ("POST", "/v2", b"GET, HEAD"),
        ("GET", "/v2/models/tiny/infer", b"POST"),
        ("PUT", "/v2/models/tiny", b"GET, HEAD"),
    ],
)
def test_405_names_what_is_allowed(router: Router, method: str, path: str, allow: bytes) -> None:
    answer = ask(router, path, method)
    assert (answer.status, answer.headers[b"allow"]) == (405, allow)


def test_not_ready_before_loading_and_while_draining(tmp_path: Path) -> None:
    publish(tmp_path, "tiny")
    repository = Repository(tmp_path)
    service = Service(repository)
    own = Router(service)
    assert [ask(own, f"/v2/health/{kind}").status for kind in ("live", "ready")] == [200, 503]
    assert ask(own, "/v2/models/tiny").status == 503
    repository.load()
    assert ask(own, "/v2/health/ready").status == 200
    service.leave()
    assert ask(own, "/v2/health/ready").body == {"ready": False}
    assert [ask(own, path).status for path in ("/v2/health/live", "/v2/health/ready", "/v2/models/tiny/ready")] == [
        200,
        503,
        503,
    ]
    repository.close()
