"""Client and AsyncClient against a server, and against one that behaves badly; each test with both."""

from __future__ import annotations

import asyncio
import contextlib
import shutil
import socket
import subprocess
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.serving.harness import WAIT, serving, started
from tests.serving.onnx_models import affine, identity, lookup, mixed, plain, publish_affine

from onnxpress.core.errors import BadData, BadModel, ServerError, UsageError
from onnxpress.serving.client.asynchronous import AsyncClient
from onnxpress.serving.client.blocking import Client

ROWS = np.array([[1, 2, 3]], np.float32)
DTYPES = [
    "bool", "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64",
    "float16", "bfloat16", "float32", "float64", "string",
]  # fmt: skip


class Asked:
    """Either client, asked by blocking calls."""

    def __init__(self, client: Any, run: Callable[[Any], Any]) -> None:
        self.client, self._run = client, run

    def __getattr__(self, name: str) -> Any:
        return lambda *arguments, **named: self._run(getattr(self.client, name)(*arguments, **named))


@pytest.fixture(params=["blocking", "asynchronous"])
def client(request: pytest.FixtureRequest) -> Iterator[Callable[..., Asked]]:
    """Makes clients, which are closed at the end."""
    with contextlib.ExitStack() as stack:
        if request.param == "blocking":
            yield lambda *a, **k: Asked(stack.enter_context(Client(*a, **k)), lambda result: result)
            return
        runner = stack.enter_context(asyncio.Runner())

        def make(*arguments: Any, **named: Any) -> Asked:
            asked = Asked(AsyncClient(*arguments, **named), runner.run)
            stack.callback(asked.close)
            return asked

        yield make


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    models = tmp_path_factory.mktemp("models")
    publish_affine(models)
    publish_affine(models, offset=1)
    plain(models, "mixed", mixed())
    plain(models, "lookup", lookup())
    for dtype in DTYPES:
        plain(models, dtype, identity(dtype))
    with serving(models, versions="all") as server:
        yield f"http://127.0.0.1:{server.port}"


def values(dtype: str) -> Any:
    if dtype == "string":
        return np.array([["", "é", "日本"], ["a\0b", " ", "x" * 1000]], object)
    if dtype == "bool":
        return np.array([[True, False, True], [False, False, True]])
    if "int" in dtype:
        edges = np.iinfo(dtype)
        return np.array([[edges.min, 0, 1], [2, 3, edges.max]], dtype)
    given = np.array([[1.5, -0.0, np.nan], [np.inf, -np.inf, 2.0]])
    return given.astype("float32" if dtype == "bfloat16" else dtype)


@pytest.mark.parametrize("binary", [True, False])
@pytest.mark.parametrize("dtype", DTYPES)
def test_every_dtype_comes_back_as_it_went(client: Any, url: str, dtype: str, binary: bool) -> None:
    given = values(dtype)
    if not binary and given.dtype.kind == "f":
        given = np.nan_to_num(given, nan=np.nan, posinf=1, neginf=-1)
    answers = client(url, binary=binary).infer(dtype, {"x": given})
    assert answers["y"].dtype == given.dtype
    np.testing.assert_array_equal(answers["y"], given)
    empty = client(url, binary=binary).infer(dtype, given[:0])["y"]
    assert (empty.shape, empty.dtype) == ((0, 3), given.dtype)


def test_inputs_by_name_alone_and_as_lists_and_outputs_as_wanted(client: Any, url: str) -> None:
    asked = client(url)
    np.testing.assert_array_equal(asked.infer("affine", ROWS)["y"], [[7, 7]])
    np.testing.assert_array_equal(asked.infer("affine", [[1, 2, 3.5]], version=1)["y"], [[6.5, 6.5]])
    given = {"a": [[1, 2]], "b": [[3, 4]], "s": ["é"]}
    assert list(asked.infer("mixed", given, outputs=["s_again", "y"])) == ["s_again", "y"]
    assert asked.infer("mixed", given)["s_again"].tolist() == ["é"]


def test_metadata_and_readiness(client: Any, url: str) -> None:
    asked = client(url + "/")
    told = asked.metadata("affine")
    assert [str(spec) for spec in (*told.inputs, *told.outputs)] == ["x:float32[x_0,3]", "y:float32[y_0,2]"]
    assert told.versions == ("1", "2")
    assert told.parameters["verified"] is True
    assert asked.metadata().name == "onnxpress"
    assert "binary_tensor_data" in asked.metadata().extensions
    assert asked.ready()
    assert asked.ready("affine", version=2)


def test_what_is_wrong_with_a_question_is_said(client: Any, url: str) -> None:
    asked = client(url)
    with pytest.raises(BadModel, match="there is no model 'none'"):
        asked.infer("none", ROWS)
    with pytest.raises(BadModel, match="version"):
        asked.infer("affine", ROWS, version=9)
    with pytest.raises(BadData, match="axis 1 is 2"):
        asked.infer("affine", [[1, 2]])
    with pytest.raises(BadData, match=r"'i' are no int64: 1\.5"):
        asked.infer("lookup", [1.5])
    with pytest.raises(BadData, match="the server refused: the model cannot answer this") as caught:
        asked.infer("lookup", [99])
    assert caught.value.where == f"{url}/v2/models/lookup/infer"
    with pytest.raises(BadData, match='no output "z"'):
        asked.infer("affine", ROWS, outputs=["z"])


def test_one_connection_carries_many_questions(client: Any, url: str) -> None:
    asked = client(url)
    for _ in range(3):
        asked.infer("affine", ROWS)
    assert len(asked.client._idle) == 1


def test_many_callers_share_a_client(url: str) -> None:
    with Client(url) as asked, ThreadPoolExecutor(8) as threads:
        rows = [ROWS * number for number in range(100)]
        for row, answers in zip(rows, threads.map(lambda row: asked.infer("affine", row), rows), strict=True):
            np.testing.assert_array_equal(answers["y"], row.sum() + np.ones((1, 2)))
        assert len(asked._idle) <= 8

    async def many() -> int:
        async with AsyncClient(url, connections=4) as asked:
            found = await asyncio.gather(*(asked.infer("affine", row) for row in rows))
            for row, answers in zip(rows, found, strict=True):
                np.testing.assert_array_equal(answers["y"], row.sum() + np.ones((1, 2)))
            return len(asked._idle)

    assert 1 <= asyncio.run(many()) <= 4


Script = Callable[[socket.socket], None]


@contextlib.contextmanager
def scripted(*scripts: Script) -> Iterator[tuple[str, list[int]]]:
    """A server whose connections do what the scripts say, one after the other; its URL, and which were taken."""
    taken: list[int] = []
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(WAIT)

        def run() -> None:
            for number, script in enumerate(scripts):
                connection, _ = listener.accept()
                taken.append(number)
                connection.settimeout(WAIT)
                with connection, contextlib.suppress(OSError):
                    script(connection)

        thread = threading.Thread(target=run, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{listener.getsockname()[1]}", taken
        thread.join(WAIT)
        assert not thread.is_alive()


def heard(connection: socket.socket) -> bytes:
    """A request without a body."""
    content = b""
    while b"\r\n\r\n" not in content:
        piece = connection.recv(65536)
        if not piece:
            break
        content += piece
    return content


SERVER = b'{"name": "s", "version": "1"}'


def said(body: bytes = SERVER, status: bytes = b"200 OK", more: bytes = b"") -> bytes:
    return b"HTTP/1.1 %b\r\ncontent-length: %d\r\n%b\r\n%b" % (status, len(body), more, body)


def answers(*contents: bytes) -> Script:
    def script(connection: socket.socket) -> None:
        for content in contents:
            heard(connection)
            connection.sendall(content)

    return script


def waits_for_its_end(connection: socket.socket) -> None:
    while connection.recv(65536):
        pass


def test_a_kept_connection_that_the_server_closed_is_replaced(client: Any) -> None:
    with scripted(answers(said()), answers(said())) as (url, taken):
        asked = client(url)
        assert asked.metadata().name == "s"
        assert asked.metadata().name == "s"
        assert taken == [0, 1]


def test_a_kept_connection_that_is_closed_on_the_next_question_is_replaced(client: Any) -> None:
    def closes_later(connection: socket.socket) -> None:
        answers(said())(connection)
        heard(connection)  # the next question, left without an answer

    with scripted(closes_later, answers(said())) as (url, taken):
        asked = client(url)
        assert asked.metadata().name == "s"
        assert asked.metadata().name == "s"
        assert taken == [0, 1]


def test_a_new_connection_without_an_answer_is_an_error_and_not_tried_for_ever(client: Any) -> None:
    with (
        scripted(lambda connection: None) as (url, _),
        pytest.raises(ServerError, match="cannot be reached") as caught,
    ):
        client(url).metadata()
    assert caught.value.where == f"{url}/v2"


def test_an_answer_that_is_cut_off_is_not_asked_for_again(client: Any) -> None:
    with scripted(answers(said(), said()[:-1])) as (url, _):
        asked = client(url)
        asked.metadata()
        with pytest.raises(ServerError, match="before its answer was whole"):
            asked.metadata()


def test_a_server_that_says_nothing_is_waited_for_within_the_timeout(client: Any) -> None:
    with scripted(waits_for_its_end, waits_for_its_end) as (url, _):
        asked = client(url, timeout=0.2)
        with pytest.raises(ServerError, match=r"no answer within 0\.2 s"):
            asked.metadata()
        assert not asked.ready()


def test_a_trickle_does_not_put_off_the_timeout(client: Any) -> None:
    stop = threading.Event()

    def trickles(connection: socket.socket) -> None:
        heard(connection)
        connection.sendall(b"HTTP/1.1 200 OK\r\ncontent-length: 100000\r\n\r\n")
        while not stop.wait(0.02):
            connection.sendall(b" ")

    with scripted(trickles) as (url, _):
        with pytest.raises(ServerError, match="no answer within"):
            client(url, timeout=0.3).metadata()
        stop.set()


def test_a_refusal_before_the_body_was_read_is_heard(client: Any, tmp_path: Path) -> None:
    publish_affine(tmp_path)
    with started(tmp_path, "--max-body", "1000") as server, pytest.raises(BadData, match="larger than 1000 bytes"):
        client(server.url).infer("affine", np.ones((100_000, 3), np.float32))


def test_a_busy_server_is_asked_again(client: Any) -> None:
    busy = said(b'{"error": "busy"}', b"503 Service Unavailable", b"retry-after: 0\r\n")
    with scripted(answers(busy, busy, said())) as (url, _):
        assert client(url).metadata().name == "s"
    with scripted(answers(busy)) as (url, _), pytest.raises(ServerError, match="busy") as caught:
        client(url, retry_seconds=0).metadata()
    assert caught.value.status == 503


def test_nobody_there(client: Any) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        url = f"http://127.0.0.1:{free.getsockname()[1]}"
    asked = client(url)
    assert not asked.ready()
    with pytest.raises(ServerError, match="cannot be reached") as caught:
        asked.infer("m", ROWS)
    assert caught.value.status is None
    with pytest.raises(ServerError, match="no such host"):
        client("http://nobody.invalid").ready()


def test_a_cancelled_call_lets_go_of_its_connection() -> None:
    ended = threading.Event()

    def script(connection: socket.socket) -> None:
        waits_for_its_end(connection)
        ended.set()

    async def cancel(url: str) -> None:
        async with AsyncClient(url, connections=1) as asked:
            task = asyncio.create_task(asked.metadata())
            while not asked._open.locked():
                await asyncio.sleep(0)
            await asyncio.sleep(0.05)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            assert (await asked.metadata()).name == "s"

    with scripted(script, answers(said())) as (url, _):
        asyncio.run(cancel(url))
        assert ended.wait(WAIT)


def test_a_client_stays_in_its_event_loop(url: str) -> None:
    asked = AsyncClient(url)

    async def leave() -> None:
        assert await asked.ready()
        await asked.close()

    asyncio.run(leave())
    with pytest.raises(UsageError, match="another event loop"):
        asyncio.run(leave())


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    if shutil.which("openssl") is None:
        pytest.skip("no openssl here to make a certificate with")
    path = tmp_path_factory.mktemp("tls") / "certificate.pem"
    made = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2",
            "-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1",
            "-keyout", str(path.with_name("key.pem")), "-out", str(path)]  # fmt: skip
    subprocess.run(made, check=True, capture_output=True, timeout=60)
    return path


def test_tls_with_an_authority_of_ones_own_and_a_token(client: Any, certificate: Path, tmp_path: Path) -> None:
    publish_affine(tmp_path / "models")
    (tmp_path / "tokens").write_text("a-long-enough-token\n")
    options = ["--tls-certificate", certificate, "--tls-key", certificate.with_name("key.pem")]
    with started(tmp_path / "models", *map(str, options), "--tokens", str(tmp_path / "tokens")) as server:
        assert server.url.startswith("https://")
        asked = client(server.url, ca=certificate, token="a-long-enough-token")
        for _ in range(3):
            np.testing.assert_array_equal(asked.infer("affine", ROWS)["y"], [[6, 6]])
        assert len(asked.client._idle) == 1
        large = np.ones((200_000, 3), np.float32)
        np.testing.assert_array_equal(asked.infer("affine", large)["y"], np.full((200_000, 2), 3))
        with pytest.raises(ServerError, match="certificate is not trusted") as caught:
            client(server.url).ready()
        assert "ca=" in str(caught.value.hint)
        with pytest.raises(ServerError, match="401") as caught:
            client(server.url, ca=certificate, token="another-long-token").infer("affine", ROWS)
        assert "another" not in str(caught.value)
    with pytest.raises(UsageError, match="not https"):
        client("http://127.0.0.1", ca=certificate)
    with pytest.raises(UsageError, match="cannot be read"):
        client("https://127.0.0.1", ca=tmp_path / "none.pem")
    with pytest.raises(UsageError, match="cannot be read"):
        client("https://127.0.0.1", ca=tmp_path / "tokens")


def test_what_is_shown_of_a_client_is_its_url_alone() -> None:
    with Client("http://host:1/ml/", token="a-secret-token") as asked:
        assert repr(asked) == "Client('http://host:1/ml')"
    assert repr(AsyncClient("http://host", token="a-secret-token")) == "AsyncClient('http://host')"
    with pytest.raises(UsageError, match="at least one"):
        AsyncClient("http://host", connections=0)


def test_a_plain_file_is_asked_too(client: Any, tmp_path: Path) -> None:
    path = tmp_path / "bare.onnx"
    path.write_bytes(affine())
    with serving(path) as server:
        np.testing.assert_array_equal(client(f"http://127.0.0.1:{server.port}").infer("bare", ROWS)["y"], [[6, 6]])
