"""h2spec, the conformance suite of others for HTTP/2 and HPACK, and clients of others over the REST routes."""

from __future__ import annotations

import contextlib
import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.serving.harness import WAIT, Running, running, started
from tests.serving.onnx_models import identity, plain
from tests.serving.test_endings import certificate

from onnxpress.serving.models.repository import Repository
from onnxpress.serving.service import Service

BODY = json.dumps({"inputs": [{"name": "x", "shape": [2], "datatype": "FP32", "data": [0.5, 2]}]})


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    folder = tmp_path_factory.mktemp("models")
    plain(folder, "scores", identity("float32", "n"))
    with running(Service(Repository(folder))) as found:
        yield found


def tool(name: str) -> str:
    found = shutil.which(name)
    if found is None:
        pytest.skip(f"needs {name}")
    return found


PREFACE = "× 2: Sends invalid connection preface"
"""what is no preface is a request of HTTP/1.1 on this port, and is answered so; by TLS it was agreed on before"""


@pytest.mark.parametrize("tls", [False, True], ids=["clear", "tls"])
def test_the_conformance_suite_finds_nothing(server: Running, tmp_path: Path, tls: bool) -> None:
    command = [tool("h2spec"), "-P", "/v2", "-o", "5"]
    with contextlib.ExitStack() as stack:
        port = server.port
        if tls:
            tool("openssl")
            certificate(tmp_path, "localhost")
            plain(tmp_path / "models", "scores", identity("float32", "n"))
            files = ("--tls-certificate", str(tmp_path / "cert.pem"), "--tls-key", str(tmp_path / "key.pem"))
            port = stack.enter_context(started(tmp_path / "models", *files)).port
            command += ["-t", "-k"]
        done = subprocess.run(
            [*command, "-p", str(port)], capture_output=True, text=True, timeout=5 * WAIT, check=False
        )
    found = re.search(r"(\d+) tests, (\d+) passed, (\d+) skipped, (\d+) failed", done.stdout)
    assert found is not None, done.stdout + done.stderr
    total, passed, skipped, failed = map(int, found.groups())
    assert (skipped, failed) == (0, 0 if tls else 1), done.stdout
    assert passed == total - failed > 140
    assert tls or set(re.findall("×.*", done.stdout)) == {PREFACE}


def values(text: str | bytes) -> Any:
    return json.loads(text)["outputs"][0]["data"]


def test_curl_by_prior_knowledge(server: Running) -> None:
    curl = tool("curl")
    told = subprocess.run([curl, "--version"], capture_output=True, text=True, check=True, timeout=WAIT).stdout
    if "HTTP2" not in told:
        pytest.skip("needs a curl with HTTP/2")
    url = f"http://127.0.0.1:{server.port}/v2/models/scores/infer"
    command = [curl, "-sS", "--http2-prior-knowledge", "-d", BODY, "-w", "%{http_version}", url]
    said = subprocess.run(command, capture_output=True, text=True, check=True, timeout=WAIT).stdout
    assert said.endswith("}2")
    assert values(said[:-1]) == [0.5, 2]
    # An offer to upgrade is declined, and answered.
    command[2] = "--http2"
    said = subprocess.run(command, capture_output=True, text=True, check=True, timeout=WAIT).stdout
    assert said.endswith("}1.1")


def test_nghttp_and_h2load(server: Running, tmp_path: Path) -> None:
    url = f"http://127.0.0.1:{server.port}/v2/models/scores/infer"
    (tmp_path / "body").write_text(BODY)
    command = [tool("nghttp"), "-d", str(tmp_path / "body"), url]
    assert values(subprocess.run(command, capture_output=True, check=True, timeout=WAIT).stdout) == [0.5, 2]
    command = [tool("h2load"), "-n500", "-c4", "-m8", "-d", str(tmp_path / "body"), url]
    said = subprocess.run(command, capture_output=True, text=True, check=True, timeout=WAIT).stdout
    assert "500 succeeded, 0 failed" in said
    assert "500 2xx" in said


def test_httpx_asks_the_rest_routes_over_http2(server: Running) -> None:
    httpx = pytest.importorskip("httpx", reason="needs httpx")
    pytest.importorskip("h2", reason="needs h2")
    with httpx.Client(http1=False, http2=True, base_url=f"http://127.0.0.1:{server.port}", trust_env=False) as client:
        for _ in range(3):
            answer = client.post("/v2/models/scores/infer", content=BODY, timeout=WAIT)
            assert (answer.http_version, answer.status_code) == ("HTTP/2", 200)
            assert values(answer.content) == [0.5, 2]
        assert client.get("/v2/models/scores").json()["name"] == "scores"
        assert "openapi" in client.get("/openapi.json").json()
        assert "onnxpress_requests_total" in client.get("/metrics").text
        assert client.get("/v2/models/none").status_code == 404
