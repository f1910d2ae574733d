"""The service mounted as an ASGI application."""

from __future__ import annotations

import asyncio
import gzip
import json
import threading
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx
import pytest
from tests.serving.publishing import publish

from onnxpress.core.errors import BadModel, UsageError
from onnxpress.serving.models.repository import Repository
from onnxpress.serving.settings import ModelSettings
from onnxpress.serving.transports.asgi import Application, application

ROW = {"inputs": [{"name": "row", "shape": [1], "datatype": "INT64", "data": [3]}]}


def ask(app: Application, *requests: tuple[str, str, Any], root: str = "") -> list[httpx.Response]:
    async def main() -> list[httpx.Response]:
        transport = httpx.ASGITransport(app=app, root_path=root)  # type: ignore[arg-type]
        async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
            return list(await asyncio.gather(*(client.request(m, path, json=body) for m, path, body in requests)))

    return asyncio.run(main())


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    publish(tmp_path, "table")
    return tmp_path


def test_concurrent_first_requests_load_once_and_are_answered(repository: Path) -> None:
    app = application(repository)
    answers = ask(app, *[("POST", "/v2/models/table/infer", ROW)] * 5, ("GET", "/v2/health/ready", None))
    assert [answer.status_code for answer in answers] == [200] * 6
    assert answers[0].json()["outputs"][0]["data"] == [30.0]
    # Another loop: nothing of the first may be kept.
    assert ask(app, ("POST", "/v2/models/table/infer", ROW))[0].status_code == 200


def test_it_is_live_while_models_load(repository: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    go, loaded = threading.Event(), []
    load = Repository.load

    def late(self: Repository) -> None:
        go.wait(60)
        load(self)
        loaded.append(self)

    monkeypatch.setattr(Repository, "load", late)
    app = application(repository)

    async def main() -> None:
        transport = httpx.ASGITransport(app=app)  # type: ignore[arg-type]
        async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
            for _ in range(3):
                assert (await client.get("/v2/health/live")).json() == {"live": True}
            assert loaded == []
            asked = asyncio.create_task(client.get("/v2/health/ready"))
            go.set()
            assert (await asked).json() == {"ready": True}

    asyncio.run(main())
    assert len(loaded) == 1


def test_errors_and_limits_are_those_of_the_protocol(repository: Path) -> None:
    app = application(repository, max_body=200)
    answers = ask(
        app,
        ("POST", "/v2/models/none/infer", ROW),
        ("DELETE", "/v2", None),
        ("POST", "/v2/models/table/infer", {"inputs": "x" * 300}),
        ("HEAD", "/v2", None),
    )
    assert [answer.status_code for answer in answers] == [404, 405, 413, 200]
    assert answers[1].headers["allow"] == "GET, HEAD"
    assert answers[3].content == b""
    assert list(answers[2].json()) == ["error"]


def test_the_method_that_stands_for_grpc_is_none_of_a_caller(repository: Path) -> None:
    paths = ("/v2", "/grpc.health.v1.Health/Watch", "/inference.GRPCInferenceService/ServerLive")
    answers = ask(application(repository), *[("GRPC", path, None) for path in paths])
    assert [answer.status_code for answer in answers] == [405, 404, 404]


def test_mounted_below_a_prefix(repository: Path) -> None:
    (answer,) = ask(application(repository), ("GET", "/models-api/v2/health/live", None), root="/models-api")
    assert answer.json() == {"live": True}


def test_the_page_is_not_shown_to_whom_it_is_mounted_for(repository: Path) -> None:
    page, openapi = ask(application(repository), ("GET", "/", None), ("GET", "/openapi.json", None))
    assert (page.status_code, openapi.status_code) == (404, 200)


def lifespan(app: Application) -> list[str]:
    said: list[str] = []
    messages = iter(["lifespan.startup", "lifespan.shutdown"])

    async def receive() -> dict[str, Any]:
        return {"type": next(messages)}

    async def send(message: Any) -> None:
        said.append(message["type"])

    asyncio.run(app({"type": "lifespan"}, receive, send))  # type: ignore[arg-type]
    return said


def test_lifespan(repository: Path, tmp_path: Path) -> None:
    assert lifespan(application(repository)) == ["lifespan.startup.complete", "lifespan.shutdown.complete"]
    assert lifespan(application(tmp_path / "nothing")) == ["lifespan.startup.failed"]
    with pytest.raises(BadModel):
        ask(application(tmp_path / "nothing"), ("GET", "/v2", None))


@pytest.mark.parametrize("settings", [ModelSettings(poll=1), ModelSettings(model_control=True)])
def test_what_needs_a_loop_of_its_own_is_refused(repository: Path, settings: ModelSettings) -> None:
    with pytest.raises(UsageError, match="poll and model_control"):
        application(repository, settings)


def test_a_prefix_that_must_be_encoded(repository: Path) -> None:
    for root in ("/models api", "/mödels", "/a%20b"):
        scope = {
            "path": f"{root}/v2/health/live",
            "raw_path": quote(f"{root}/v2/health/live").encode(),
            "root_path": root,
        }
        assert raw(application(repository), scope)[0] == 200


def test_a_header_given_twice_is_refused(repository: Path) -> None:
    body = json.dumps(ROW).encode()
    length = (b"inference-header-content-length", str(len(body)).encode())
    scope = {"path": "/v2/models/table/infer", "method": "POST"}
    app = application(repository)
    assert raw(app, scope | {"headers": [length]}, body)[0] == 200
    assert raw(app, scope | {"headers": [length, length]}, body)[0] == 400


def raw(app: Application, scope: dict[str, Any], body: bytes = b"") -> tuple[int, bytes]:
    """Status and body of one request whose scope is as given."""
    sent: list[Any] = []
    waiting = [{"type": "http.request", "body": body}]

    async def receive() -> Any:
        if waiting:
            return waiting.pop()
        return await asyncio.get_running_loop().create_future()

    async def send(message: Any) -> None:
        sent.append(message)

    asyncio.run(app({"type": "http", "method": "GET", "headers": [], **scope}, receive, send))
    return sent[0]["status"], sent[1]["body"]


def test_all_bodies_together_hold_no_more_than_they_may(repository: Path) -> None:
    app = application(repository, max_held=100_000)
    packed = gzip.compress(json.dumps(ROW).encode() + b" " * 90_000)

    async def main() -> list[int]:
        transport = httpx.ASGITransport(app=app)  # type: ignore[arg-type]
        async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:

            async def half() -> Any:
                yield b" " * 60_000
                begun.set()
                await go.wait()
                yield json.dumps(ROW).encode()

            async def post(content: Any, **headers: str) -> int:
                return (await client.post("/v2/models/table/infer", content=content, headers=headers)).status_code

            begun, go = asyncio.Event(), asyncio.Event()
            waiting = asyncio.create_task(post(half()))
            await begun.wait()
            found = [await post(b" " * 60_000), await post(packed, **{"content-encoding": "gzip"})]
            go.set()
            # What was held is given back, whether it was answered or refused.
            return [*found, await waiting, await post(packed, **{"content-encoding": "gzip"})]

    assert asyncio.run(main()) == [503, 503, 200, 200]


def test_a_body_of_single_bytes_is_read(repository: Path) -> None:
    async def bytewise() -> Any:
        for one in json.dumps(ROW).encode():
            yield bytes([one])

    async def main() -> int:
        transport = httpx.ASGITransport(app=application(repository))  # type: ignore[arg-type]
        async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
            return (await client.post("/v2/models/table/infer", content=bytewise())).status_code

    assert asyncio.run(main()) == 200
