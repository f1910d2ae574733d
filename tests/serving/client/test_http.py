"""An answer read from bytes, however they come."""

from __future__ import annotations

import pytest

from onnxpress.core.errors import ServerError
from onnxpress.serving.client.http import AnswerParser, Request

BODY = b'{"a": 1}'
LENGTH = b"HTTP/1.1 200 OK\r\nContent-Length: 8\r\nX-Y: z\r\n\r\n" + BODY
CHUNKED = (
    b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\n"
    + BODY[:3]
    + b"\r\n5\r\n"
    + BODY[3:]
    + b"\r\n0\r\n\r\n"
)
CONTINUED = b"HTTP/1.1 100 Continue\r\nx: 1\r\n\r\n" + LENGTH
CLOSED = b"HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 8\r\n\r\n" + BODY


@pytest.mark.parametrize("step", [1, 7, 10_000])
@pytest.mark.parametrize(("content", "again"), [(LENGTH, True), (CHUNKED, True), (CONTINUED, True), (CLOSED, False)])
def test_an_answer_in_pieces(content: bytes, again: bool, step: int) -> None:
    parser = AnswerParser()
    for start in range(0, len(content), step):
        assert not parser.complete
        parser.feed(content[start : start + step])
    assert parser.complete
    assert parser.keep_alive is again
    assert (parser.answer.status, bytes(parser.answer.body)) == (200, BODY)
    assert parser.answer.headers.get("x-y", "z") == "z"


def test_a_body_that_ends_with_its_connection() -> None:
    parser = AnswerParser()
    parser.feed(b"HTTP/1.1 502 Bad Gateway\r\n\r\nno")
    assert not parser.complete
    parser.feed(b"")
    assert parser.complete
    assert not parser.keep_alive
    assert (parser.answer.status, bytes(parser.answer.body)) == (502, b"no")


@pytest.mark.parametrize("content", [LENGTH[:-1], CHUNKED[:-1], LENGTH[:20], b"HTTP/1.1 100 Continue\r\n\r\n"])
def test_an_answer_that_is_cut_off_is_none(content: bytes) -> None:
    parser = AnswerParser()
    parser.feed(content)
    with pytest.raises(ServerError, match="before its answer was whole"):
        parser.feed(b"")


def test_what_is_not_http_is_said() -> None:
    with pytest.raises(ServerError, match="not HTTP"):
        AnswerParser().feed(b"SSH-2.0-OpenSSH\r\n")


def test_a_request_is_written() -> None:
    request = Request("POST", "/v2/models/m/infer", {"content-type": "a/b"}, (b"ab", b"c"))
    head = request.head("host:1", "/ml", {"authorization": "Bearer t"}).split(b"\r\n")
    assert head[0] == b"POST /ml/v2/models/m/infer HTTP/1.1"
    assert {b"host: host:1", b"content-length: 3", b"content-type: a/b", b"authorization: Bearer t"} <= set(head)
    assert head[-2:] == [b"", b""]
    assert b"content-length" not in Request("GET", "/v2").head("h", "", {})
