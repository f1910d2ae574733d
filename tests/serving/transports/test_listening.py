"""A Unix socket and TLS, through the command line."""

from __future__ import annotations

import shutil
import socket
import ssl
import subprocess
from pathlib import Path

import pytest
from tests.serving.harness import MAIN, WAIT, request, started
from tests.serving.http2_client import Http2Client
from tests.serving.onnx_models import publish_affine


def get(connection: socket.socket) -> bytes:
    with connection:
        connection.settimeout(WAIT)
        connection.sendall(request("GET", "/v2/health/ready", headers=["connection: close"]))
        return b"".join(iter(lambda: connection.recv(4096), b""))


def test_a_unix_socket_is_this_users_and_goes_with_the_server(tmp_path: Path) -> None:
    publish_affine(tmp_path)
    path = tmp_path / "s"
    with started(tmp_path, "--unix", str(path)) as server:
        assert server.url == f"http+unix://{path}"
        assert path.stat().st_mode & 0o777 == 0o600
        connection = socket.socket(socket.AF_UNIX)
        connection.connect(str(path))
        assert get(connection).startswith(b"HTTP/1.1 200 OK\r\n")
        assert server.leave()[0] == 0
    assert not path.exists()


@pytest.fixture
def certificate(tmp_path: Path) -> Path:
    if shutil.which("openssl") is None:
        pytest.skip("no openssl here to make a certificate with")
    path = tmp_path / "certificate.pem"
    made = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2",
            "-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost",
            "-keyout", str(tmp_path / "key.pem"), "-out", str(path)]  # fmt: skip
    subprocess.run(made, check=True, capture_output=True, timeout=60)
    return path


def test_tls(tmp_path: Path, certificate: Path) -> None:
    publish_affine(tmp_path / "models")
    options = ("--tls-certificate", str(certificate), "--tls-key", str(tmp_path / "key.pem"))
    with started(tmp_path / "models", *options) as server:
        assert server.url.startswith("https://127.0.0.1:")
        context = ssl.create_default_context(cafile=certificate)
        plain = socket.create_connection(("127.0.0.1", server.port))
        assert get(context.wrap_socket(plain, server_hostname="localhost")).startswith(b"HTTP/1.1 200 OK\r\n")
        context.set_alpn_protocols(["h2", "http/1.1"])
        with Http2Client(server.port, context=context) as client:
            assert isinstance(client.socket, ssl.SSLSocket)
            assert client.socket.selected_alpn_protocol() == "h2"
            assert client.answer(client.ask("GET", "/v2/health/live")).body == b'{"live":true}'
        assert server.leave()[0] == 0


def test_half_of_tls_and_a_wrong_key_are_said(tmp_path: Path, certificate: Path) -> None:
    publish_affine(tmp_path / "models")
    for options in (["--tls-certificate", certificate], ["--tls-certificate", certificate, "--tls-key", certificate]):
        done = subprocess.run(
            [*MAIN, "serve", str(tmp_path / "models"), *map(str, options)], capture_output=True, text=True, timeout=60
        )
        assert (done.returncode, done.stdout) == (2, "")
        assert "error: " in done.stderr


def test_polling_through_the_command_line(tmp_path: Path) -> None:
    from tests.serving.harness import ask, infer_body

    publish_affine(tmp_path)
    with started(tmp_path, "--poll", "0.1", "--model-control") as server:
        publish_affine(tmp_path, offset=2)
        assert server.popen.stderr is not None
        for line in server.popen.stderr:
            if line == "serving affine version 2\n":
                break
        reply = ask(server.port, "POST", "/v2/models/affine/infer", infer_body([[0, 0, 0]]))
        assert reply.json()["outputs"][0]["data"] == [2, 2]
        assert ask(server.port, "POST", "/v2/repository/models/affine/unload").status == 200
        assert server.leave()[0] == 0
