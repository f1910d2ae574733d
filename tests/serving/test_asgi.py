"""The service mounted in another server: the same answers, with and without a lifespan, below a prefix too."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import httpx
from tests.serving.harness import infer_body
from tests.serving.onnx_models import publish_affine

from onnxpress.serving.transports.asgi import application


async def ask(app: Any, method: str, path: str, root_path: str = "", **more: Any) -> httpx.Response:
    transport = httpx.ASGITransport(app=app, root_path=root_path)
    async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
        return await client.request(method, path, **more)


def test_many_at_once_get_their_own_answers(tmp_path: Path) -> None:
    publish_affine(tmp_path)
    app = application(tmp_path)

    async def main() -> None:
        target = "/v2/models/affine/infer"
        calls = [ask(app, "POST", target, content=infer_body([[n, 0, 0]], id=str(n))) for n in range(50)]
        for number, reply in enumerate(await asyncio.gather(*calls)):
            assert reply.status_code == 200
            assert reply.headers["content-type"] == "application/json"
            assert (reply.json()["id"], reply.json()["outputs"][0]["data"]) == (str(number), [number, number])

    asyncio.run(main())


def test_refusals_head_and_a_prefix(tmp_path: Path) -> None:
    publish_affine(tmp_path)
    app = application(tmp_path, max_body=1000)

    async def main() -> None:
        assert (await ask(app, "GET", "/v2/models/nobody")).status_code == 404
        refused = await ask(app, "GET", "/v2/models/affine/infer")
        assert (refused.status_code, refused.headers["allow"]) == (405, "POST")
        assert (await ask(app, "POST", "/v2/models/affine/infer", content=b" " * 1001)).status_code == 413
        head = await ask(app, "HEAD", "/v2")
        assert (head.content, int(head.headers["content-length"]) > 0) == (b"", True)
        below = await ask(app, "GET", "/models/v2/health/ready", root_path="/models")
        assert (below.status_code, below.json()) == (200, {"ready": True})

    asyncio.run(main())


def test_the_lifespan_loads_and_a_failure_is_said(tmp_path: Path) -> None:
    async def life(app: Any) -> list[Any]:
        incoming = [{"type": "lifespan.startup"}, {"type": "lifespan.shutdown"}]
        sent: list[Any] = []

        async def receive() -> Any:
            return incoming.pop(0)

        async def send(message: Any) -> None:
            sent.append(message)

        await app({"type": "lifespan"}, receive, send)
        return sent

    failed = asyncio.run(life(application(tmp_path / "nothing")))
    assert failed[0]["type"] == "lifespan.startup.failed"
    assert "no such file or folder" in failed[0]["message"]
    publish_affine(tmp_path)
    assert [message["type"] for message in asyncio.run(life(application(tmp_path)))] == [
        "lifespan.startup.complete",
        "lifespan.shutdown.complete",
    ]


def test_a_client_that_leaves_while_it_sends_is_let_go(tmp_path: Path) -> None:
    publish_affine(tmp_path)
    app = application(tmp_path)
    sent: list[Any] = []

    async def receive() -> Any:
        return {"type": "http.disconnect"}

    async def send(message: Any) -> None:
        sent.append(message)

    scope = {"type": "http", "method": "POST", "path": "/v2", "headers": [], "raw_path": b"/v2"}
    asyncio.run(app(scope, receive, send))
    assert sent == []


def test_bodies_in_parts(tmp_path: Path) -> None:
    publish_affine(tmp_path)

    async def parts() -> Any:
        whole = infer_body([[1, 2, 3]])
        for start in range(0, len(whole), 7):
            yield whole[start : start + 7]

    reply = asyncio.run(ask(application(tmp_path), "POST", "/v2/models/affine/infer", content=parts()))
    assert json.loads(reply.content)["outputs"][0]["data"] == [6, 6]
