"""Bytes in, requests out: every row of the parser's table, and the same requests however the bytes are cut."""

from __future__ import annotations

from io import BytesIO

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.serving.harness import request

from onnxpress.serving.settings import ConnectionLimits
from onnxpress.serving.transports import request_body
from onnxpress.serving.transports.held import HeldBytes
from onnxpress.serving.transports.request_head import HEAVY, KnownHeads
from onnxpress.serving.transports.request_parser import Phase, RequestParser

READ = frozenset({b"x-read"})
Got = tuple[bytes, bytes, dict[bytes, bytes] | None, bytes]


class Setting:
    """Parsers that share known heads and held bytes, as those of one server do."""

    def __init__(self, limits: ConnectionLimits | None = None) -> None:
        self.limits = limits or ConnectionLimits()
        self.held = HeldBytes(self.limits.max_held)
        self.known = KnownHeads()

    def parser(self) -> RequestParser:
        return RequestParser(self.limits, self.held, self.known, READ)


def got(parser: RequestParser, *parts: bytes) -> list[Got]:
    """The requests in these bytes: method, target, headers, body."""
    found = []
    for part in parts:
        head = parser.receive(part)
        while head is not None:
            found.append((head.method, head.target, head.headers, parser.take_body()))
            head = parser.next()
    return found


POST = request("POST", "/a", b"12345")
HEAD, BODY = POST[:-5], POST[-5:]
CHUNKED = b"POST /c HTTP/1.1\r\nhost: t\r\ntransfer-encoding: chunked\r\n\r\n"
H2C = (
    b"POST /u HTTP/1.1\r\nhost: t\r\nconnection: upgrade, http2-settings\r\nupgrade: h2c\r\ncontent-length: %d\r\n\r\n"
)


def test_a_known_head_is_not_parsed_again() -> None:
    setting = Setting()
    assert got(setting.parser(), POST) == [(b"POST", b"/a", None, b"12345")]
    assert setting.known.get(HEAD) is not None
    other = setting.parser()
    assert got(other, POST + POST) == [(b"POST", b"/a", None, b"12345")] * 2
    assert other._parser is None


def test_every_row_of_the_table() -> None:
    setting = Setting()
    parser = setting.parser()
    phases = [parser.phase]

    def receive(data: bytes, requests: int) -> None:
        assert len(got(parser, data)) == requests, data
        phases.append(parser.phase)

    receive(POST, 1)  # anything else, all of it at once
    receive(POST, 1)  # a known head and its body
    receive(HEAD, 0)
    receive(BODY[:2], 0)
    receive(BODY[2:], 1)
    assert phases == [Phase.FIRST, Phase.IDLE, Phase.IDLE, Phase.REST, Phase.REST, Phase.IDLE]
    phases.clear()
    receive(b"GET /b HT", 0)
    receive(b"TP/1.1\r\nhost: t\r\ncontent-length: 2\r\n\r\n", 0)
    receive(b"x", 0)
    receive(b"y", 1)
    assert phases == [Phase.HEAD, Phase.BODY, Phase.BODY, Phase.IDLE]
    phases.clear()
    receive(CHUNKED, 0)
    receive(b"3\r\nabc\r\n0\r\nx-read: 1\r\n", 0)
    receive(b"\r\n", 1)
    assert phases == [Phase.BODY, Phase.BODY, Phase.IDLE]
    phases.clear()
    receive(H2C % 0, 1)
    receive(H2C % 2, 0)
    receive(b"xy", 1)
    receive(b"GET /last HTTP/1.1\r\nhost: t\r\nconnection: close\r\n\r\n", 1)
    receive(POST, 0)
    assert phases == [Phase.IDLE, Phase.REST, Phase.IDLE, Phase.ENDED, Phase.ENDED]


def test_where_there_is_no_memory_for_a_body_that_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    class Short(BytesIO):
        def seek(self, *_: int) -> int:
            raise MemoryError

    data = request("POST", "/a", b"1" * HEAVY)
    for known in (False, True):
        setting = Setting(ConnectionLimits())
        parser = setting.parser()
        if known:
            assert len(got(parser, data)) == 1
        with monkeypatch.context() as patch:
            patch.setattr(request_body, "BytesIO", Short)
            assert got(parser, data[:-1], data[-1:]) == []
        assert parser.refusal == (500, "the server failed at it: MemoryError")
        assert setting.held.taken == 0


@pytest.mark.parametrize(
    "host", [b"", b"a", b"a_b.example:8000", b"[::1]:80", b"[fe80::1%25eth0]", b"xn--p1ai", b"A~b"]
)
def test_every_sound_host_is_taken(host: bytes) -> None:
    parser = Setting(ConnectionLimits()).parser()
    assert got(parser, b"GET /a HTTP/1.1\r\nhost: " + host + b"\r\n\r\n") == [(b"GET", b"/a", None, b"")]


@pytest.mark.parametrize("begun", [b"", b"GET /b HT", HEAD + b"1", CHUNKED])
def test_every_phase_can_be_stopped_and_reads_nothing_then(begun: bytes) -> None:
    parser = Setting().parser()
    got(parser, begun)
    parser.stop()
    assert parser.phase is Phase.ENDED
    assert got(parser, POST) == []


@pytest.mark.parametrize(
    ("data", "status"),
    [
        (b"nonsense\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nhost: a\r\nhost: b\r\n\r\n", 400),
        *[
            (b"GET / HTTP/1.1\r\nhost: " + host + b"\r\n\r\n", 400)
            for host in (b"a b", b"a/b", b"a@b", b"a,b\tc", b"\xe9")
        ],
        (CHUNKED.replace(b"HTTP/1.1", b"HTTP/1.0") + b"1\r\na\r\n0\r\n\r\n", 400),
        (b"POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 101\r\n\r\n", 413),
        (CHUNKED + b"65\r\n" + b"x" * 101, 413),
        (b"GET / HTTP/1.1\r\nhost: a\r\nx: " + b"y" * 2000, 431),
        (b"GET /" + b"y" * 2000, 431),
        (b"GET / HTTP/1.1\r\nhost: a\r\nexpect: more\r\n\r\n", 417),
        (b"POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: gzip, chunked\r\n\r\n", 501),
        (CHUNKED.replace(b"host", b"connection: upgrade\r\nupgrade: h2c\r\nhost"), 501),
    ],
)
def test_what_cannot_be_read_is_refused_once_and_behind_what_was_read(data: bytes, status: int) -> None:
    setting = Setting(ConnectionLimits(max_body=100, max_head=1000))
    for parts in ([data], [data[at : at + 1] for at in range(len(data))]):
        parser = setting.parser()
        assert got(parser, POST) == [(b"POST", b"/a", None, b"12345")]
        assert got(parser, *parts) == []
        assert parser.phase is Phase.REFUSED
        assert parser.refusal is not None
        assert parser.refusal[0] == status
        assert got(parser, POST) == []
    together = setting.parser()
    assert len(got(together, POST + data)) == 1
    assert together.refusal is not None
    assert together.refusal[0] == status


def test_a_head_that_begins_behind_a_long_request_is_not_taken_for_a_long_head() -> None:
    parser = Setting(ConnectionLimits(max_head=1000)).parser()
    long = request("POST", "/long", b"x" * 5000)
    assert len(got(parser, long + HEAD[:20], HEAD[20:] + BODY)) == 2
    assert parser.refusal is None


def test_large_bodies_count_until_they_are_given_back() -> None:
    setting = Setting(ConnectionLimits(max_held=3 * HEAVY))
    large = request("POST", "/large", b"x" * HEAVY)
    first, second, third = setting.parser(), setting.parser(), setting.parser()
    for _ in range(2):  # parsed, then known
        got(first, large[:-1])
        assert setting.held.taken == HEAVY
        assert len(got(first, large[-1:])) == 1
        assert setting.held.taken == 0
    got(first, large[:-1])
    got(second, large[:-1])
    got(third, CHUNKED + b"%x\r\n" % HEAVY + b"x" * HEAVY)
    assert setting.held.taken == 3 * HEAVY
    fourth = setting.parser()
    assert got(fourth, large[:-1]) == []
    assert fourth.refusal is not None
    assert fourth.refusal[0] == 503
    first.stop()
    assert setting.held.taken == 2 * HEAVY
    got(second, b"xPOST nonsense\r\n\r\n")
    assert second.phase is Phase.REFUSED
    third.stop()
    assert setting.held.taken == 0


def test_who_waits_to_be_told_to_go_on() -> None:
    parser = Setting().parser()
    asking = request("POST", "/e", b"12345", ["expect: 100-continue"])
    assert got(parser, asking[:-5]) == []
    assert parser.waits_for_continue
    assert len(got(parser, asking[-5:])) == 1
    assert not parser.waits_for_continue
    assert len(got(parser, asking)) == 1
    assert not parser.waits_for_continue


@pytest.mark.parametrize("beside", [b"0\r\nt: %b", b"0\r\n%b", b"0\r\n%b: v\r\n", b"5;%b"])
@pytest.mark.parametrize("piece", [b"a" * 3000, b"t: v\r\n" * 500])
def test_what_stands_beside_a_body_has_a_bound(beside: bytes, piece: bytes) -> None:
    parser = Setting().parser()
    got(parser, CHUNKED + b"5\r\nhello\r\n" + beside % b"a")
    for _ in range(100):
        got(parser, piece)
    assert parser.done
    # Chunks that come in many pieces, their lengths apart from them, are no such thing.
    parser = Setting().parser()
    got(parser, CHUNKED)
    for _ in range(4000):
        got(parser, b"1;e=1\r\n")
        got(parser, b"a\r\n")
    assert len(got(parser, b"0\r\n\r\n")) == 1


_requests = st.sampled_from(
    [
        POST,
        request("GET", "/"),
        request("POST", "/b", b"", ["X-Read: 1"]),
        request("POST", "/b", b"x" * 300, ["x-read: 1", "x-read: 2"]),
        CHUNKED + b"5\r\nhello\r\n1;extension\r\n!\r\n0\r\ntrailer: 1\r\n\r\n",
        H2C % 4 + b"\r\n\r\n",
        request("HEAD", "/h"),
    ]
)


@given(st.lists(_requests, min_size=1, max_size=6), st.lists(st.integers(1, 400), max_size=12), st.booleans())
def test_however_the_bytes_are_cut_the_requests_are_the_same(
    requests: list[bytes], sizes: list[int], known: bool
) -> None:
    setting = Setting()
    whole = [one for data in requests for one in got(Setting().parser(), data)]
    assert len(whole) == len(requests)
    if known:
        for data in requests:
            got(setting.parser(), data)
    data, parts = b"".join(requests), []
    for size in sizes:
        parts.append(data[:size])
        data = data[size:]
    assert got(setting.parser(), *parts, data) == whole
    assert setting.held.taken == 0


PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"


@pytest.mark.parametrize("cut", [1, 3, 18, 23, 24])
def test_a_connection_that_begins_with_the_preface_of_http2_is_not_read_on(cut: int) -> None:
    parser = Setting().parser()
    assert got(parser, PREFACE[:cut], PREFACE[cut:] + b"rest", b"more") == []
    assert (parser.http2, parser.refusal, parser.done) == (b"rest" if cut < 24 else b"", None, True)


def test_what_begins_like_the_preface_is_a_request_or_refused() -> None:
    parser = Setting().parser()
    assert got(parser, b"P") == []
    assert parser.within
    assert got(parser, POST[1:]) == [(b"POST", b"/a", None, b"12345")]
    assert parser.http2 is None
    late = Setting().parser()  # only a whole connection is of another protocol, not what follows a request
    assert len(got(late, POST + PREFACE)) == 1
    assert (late.http2, late.refusal is not None) == (None, True)
