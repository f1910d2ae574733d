"""What answers while no worker does: each caller at once, whatever the others send or leave unsent."""

from __future__ import annotations

import contextlib
import errno
import socket
import threading
import time
from collections.abc import Iterator

import pytest
from tests.serving.harness import WAIT, Client, ask

from onnxpress.serving import sockets, stand_in
from onnxpress.serving.settings import Address


@contextlib.contextmanager
def standing_in() -> Iterator[int]:
    """Its port; served by a thread, as the supervisor does it."""
    listeners = sockets.listening(Address(port=0))
    served = stand_in.StandIn(listeners)
    stop = threading.Event()

    def serve() -> None:
        while not stop.is_set():
            until = served.until
            timeout = 0.05 if until is None else min(0.05, max(0.0, until - time.monotonic()))
            served.serve(stand_in.ready(served.sources(accepting=True), timeout))

    thread = threading.Thread(target=serve)
    thread.start()
    try:
        yield listeners[0].getsockname()[1]
    finally:
        stop.set()
        thread.join(WAIT)
        served.close()
        for one in listeners:
            one.close()


def test_it_is_live_and_nothing_else() -> None:
    with standing_in() as port:
        live = ask(port, "GET", "/v2/health/live")
        assert (live.status, live.json(), live.headers["connection"]) == (200, {"live": True}, "close")
        assert live.headers["date"].endswith(" GMT")
        ready = ask(port, "GET", "/v2/health/ready")
        assert (ready.status, ready.json()) == (503, {"ready": False})
        infer = ask(port, "POST", "/v2/models/a/infer", b"x" * 100_000)
        assert (infer.status, infer.headers["retry-after"]) == (503, "1")
        assert infer.json() == {"error": "the models are still being loaded"}
        assert ask(port, "HEAD", "/v2/health/live").status == 200
        assert ask(port, "GET", "/v2/health/live?verbose").status == 200


def test_those_who_send_nothing_or_half_keep_nobody_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stand_in, "_HEAD_SECONDS", 0.3)
    with standing_in() as port, Client(port) as silent, Client(port) as half, Client(port) as endless:
        half.send(b"GET /v2/health/live HTTP/1.1\r\nhost: a\r\n")
        endless.send(b"GET /" + b"a" * 20_000)
        for _ in range(20):
            started = time.monotonic()
            assert ask(port, "GET", "/v2/health/live").status == 200
            assert time.monotonic() - started < 1
        assert silent.ended()  # its time is over
        with contextlib.suppress(ConnectionError):
            assert endless.ended()
        with contextlib.suppress(ConnectionError):
            assert half.ended()


def test_a_request_in_pieces_is_answered() -> None:
    with standing_in() as port, Client(port) as client:
        for piece in (b"GET /v2/heal", b"th/live HTTP/1.1\r\nho", b"st: a\r\n", b"\r\n"):
            client.send(piece)
            time.sleep(0.02)
        assert client.reply().json() == {"live": True}
        assert client.ended()


@pytest.mark.parametrize("sent", [b"\r\n\r\n", b"\x16\x03\x01\r\n\r\n", b"GET\r\n\r\n", b" \r\n\r\n"])
def test_what_is_no_request_is_answered_too(sent: bytes) -> None:
    with standing_in() as port, Client(port) as client:
        client.send(sent)
        assert client.reply().status == 503


def test_more_callers_than_it_takes_wait_and_are_answered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stand_in, "_MOST", 3)
    monkeypatch.setattr(stand_in, "_HEAD_SECONDS", 0.2)
    with standing_in() as port:
        silent = [socket.create_connection(("127.0.0.1", port), timeout=WAIT) for _ in range(10)]
        assert ask(port, "GET", "/v2/health/live").status == 200
        for one in silent:
            one.close()


def test_any_number_of_silent_callers_keep_nobody_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stand_in, "_MOST", 20)
    monkeypatch.setattr(stand_in, "_AT_A_TIME", 10)
    monkeypatch.setattr(stand_in, "_HEAD_SECONDS", 10.0 * WAIT)
    with standing_in() as port, contextlib.ExitStack() as silent:
        for _ in range(3):
            for _ in range(30):
                silent.enter_context(Client(port))
            assert ask(port, "GET", "/v2/health/live").json() == {"live": True}


def test_without_a_descriptor_it_waits_for_one(monkeypatch: pytest.MonkeyPatch) -> None:
    class Listener:
        short = True

        def fileno(self) -> int:
            return 1_000_000

        def accept(self) -> tuple[socket.socket, None]:
            if self.short:
                raise OSError(errno.EMFILE, "Too many open files")
            raise BlockingIOError

    listener = Listener()
    served = stand_in.StandIn([listener])  # type: ignore[list-item]
    served.serve([listener.fileno()])
    assert served.sources(accepting=True) == []  # else it would be told again at once, and again
    assert served.until is not None
    monkeypatch.setattr(stand_in.time, "monotonic", lambda: served.until or 0.0)
    assert served.sources(accepting=True) == [listener.fileno()]
