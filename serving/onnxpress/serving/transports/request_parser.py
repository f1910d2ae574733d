"""HTTP/1.1 requests out of bytes: the head and body of one after the other. No socket, no clock, nothing is written.

Theory of operation
-------------------

A `RequestParser` belongs to one connection. It gets that connection's bytes as they come and gives back whole requests:

    head = parser.receive(data)
    while head is not None:
        ...                          # head, and parser.take_body()
        head = parser.next()

Bytes that make no whole request yet are kept, within limits: the length of a head, the length of a body, and what the
bodies of all connections together may hold. What is over a limit, or is no HTTP/1.1, ends in a `refusal`: the framing
is lost then, so nothing is read any more. Nothing is read either behind a request that is its connection's last.

Clients repeat themselves: the heads of a connection's requests are the same bytes again and again. So there are two
ways to a request. Up to the empty line the bytes are looked up among the heads that are known. Where they are found,
all that is left to do is to count the body's bytes. Everything else goes through httptools, whose callbacks are the
methods `on_...`. A plain head that httptools has read, alone in what came, is known from then on.

`phase` says where the parser is, and with it what the next byte belongs to:

    phase   the next byte      what may come                            and then
    ------  -----------------  ---------------------------------------  ------------------------------------------
    FIRST   is the first       the preface of HTTP/2                    ENDED, and `http2` is what follows it
                               less than that                           FIRST
                               anything else                            IDLE, with it
    IDLE    begins a head      a known head and its body                IDLE, a request
                               a known head, and less than its body     REST
                               anything else                            HEAD
    REST    of a known body    less than is missing                     REST
                               the last byte                            IDLE, a request
    HEAD    of a head          an empty line                            BODY
                               an offer to upgrade, which is declined   IDLE, a request; or REST where it has a body
    BODY    of a body, of its  less than the rest                       BODY
            chunks or of a     the last byte                            IDLE, a request
            trailer
    ENDED   nobody's           anything                                 ENDED, and it is thrown away
    REFUSED nobody's           anything                                 REFUSED, and it is thrown away

    IDLE becomes ENDED where the request that was just read is the last one of its connection, as it says itself.
    Every phase becomes REFUSED by what cannot be read, and ENDED by `stop`.
"""

from __future__ import annotations

from enum import Enum
from typing import Any, Final

import httptools

from onnxpress.serving.settings import ConnectionLimits
from onnxpress.serving.transports.held import HeldBytes
from onnxpress.serving.transports.request_body import Body
from onnxpress.serving.transports.request_head import HEAVY, OLD, Head, HeadLines, KnownHeads, Refused, too_large


class Phase(Enum):
    """What the next byte belongs to; see the table above."""

    FIRST = "nothing yet"
    IDLE = "between requests"
    REST = "the body of a known head"
    HEAD = "a head"
    BODY = "a body"
    ENDED = "nothing: the last request is read"
    REFUSED = "nothing: the framing is lost"


# In compiled code a member of an enum is looked up by name each time; these are not.
_FIRST: Final = Phase.FIRST
_IDLE: Final = Phase.IDLE
_REST: Final = Phase.REST
_HEAD: Final = Phase.HEAD
_BODY: Final = Phase.BODY
_ENDED: Final = Phase.ENDED
_REFUSED: Final = Phase.REFUSED

_HTTP2: Final = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
"""what a client begins with that speaks HTTP/2 without asking (RFC 9113, 3.4)"""


class RequestParser:
    """The requests of one connection. One class for both ways to a request: what they share is all of their state.

    `known` is shared by all connections. `headers_read`: names of the headers that a Head is to have.
    `refusal`: HTTP status and reason, once something could not be read. `waits_for_continue`: a head has come whose
    client sends the body only when it is told to go on; whoever tells it so, or decides not to, sets it to False.
    `http2`: what came behind the preface of HTTP/2, where the connection begins with that, or was `agreed` to.
    """

    __slots__ = (
        "_advanced", "_body", "_data", "_fed", "_head", "_held", "_limits", "_lines", "_opening", "_parser", "_preface",
        "_received", "_taken", "_whole", "agreed", "headers_read", "http2", "known", "phase", "refusal",
        "waits_for_continue",
    )  # fmt: skip

    def __init__(
        self, limits: ConnectionLimits, held: HeldBytes, known: KnownHeads, headers_read: frozenset[bytes]
    ) -> None:
        self._limits, self._held = limits, held
        self.known, self.headers_read = known, headers_read
        self.phase: Phase = _FIRST
        self.http2: bytes | None = None
        self.agreed = False
        self.refusal: Refused | None = None
        self.waits_for_continue = False
        self._data = b""  # received, and not looked at yet
        self._preface = b""  # in phase FIRST, what has come of it
        self._taken = b""  # the body of the request that was just given back
        self._whole: list[tuple[Head, bytes]] = []  # requests that httptools found in what it was fed, in order
        self._head: Head | None = None  # in phase REST
        self._body = Body(held)
        self._parser: Any = None

    @property
    def within(self) -> bool:
        """Whether a request is half here."""
        phase = self.phase
        return phase is _HEAD or phase is _BODY or phase is _REST or bool(self._preface)

    @property
    def done(self) -> bool:
        """Whether nothing is read any more."""
        return self.phase is _ENDED or self.phase is _REFUSED

    @property
    def empty(self) -> bool:
        """Whether all that was received is given back, or belongs to a request that is half here."""
        return not self._data and not self._whole

    def receive(self, data: bytes) -> Head | None:
        """Take what has come, once `next` has nothing more to give; see there for what it returns."""
        self._data = data
        return self.next()

    def next(self) -> Head | None:
        """The head of the next whole request, whose body is for `take_body`; None where more has to come."""
        try:
            while True:
                if self._whole:
                    head, self._taken = self._whole.pop(0)
                    return head
                data = self._data
                if not data:
                    return None
                phase = self.phase
                if phase is _IDLE:
                    start = data.find(b"\r\n\r\n") + 4
                    known = self.known.get(data[:start])
                    if known is None:
                        self._data = b""
                        self._feed(data)
                        continue
                    stop = start + known.length
                    self._data = data[stop:] if stop < len(data) else b""
                    if stop <= len(data):
                        self._taken = data[start:stop]
                        return known
                    if self._reserve(known.weight):
                        self._await(known)
                        self._body.add(data[start:])
                    return None
                if phase is _REST:
                    return self._rest(data)
                self._data = b""
                if phase is _FIRST:
                    begun, self._preface = self._preface + data, b""
                    if not _HTTP2.startswith(begun[: len(_HTTP2)]):
                        if self.agreed:
                            self.http2, self.phase = begun, _ENDED  # it says itself what is wrong with that
                        else:
                            self._data, self.phase = begun, _IDLE
                    elif len(begun) < len(_HTTP2):
                        self._preface = begun
                    else:
                        self.http2, self.phase = begun[len(_HTTP2) :], _ENDED
                    continue
                if phase is _HEAD or phase is _BODY:
                    self._feed(data)
        except Exception as error:  # no memory for a body, say
            self._refuse(_failed(error))
            return None

    def take_body(self) -> bytes:
        """The body of the request whose head was just given back. Nothing is kept of it here."""
        body, self._taken = self._taken, b""
        return body

    def stop(self) -> None:
        """Read nothing more; forget what is half here, and what was read and not given back."""
        self.phase, self.refusal, self._whole = _ENDED, None, []
        self._forget()

    # --- a known head

    def _await(self, head: Head) -> None:
        """The body of this head comes next."""
        self._head, self.phase = head, _REST
        self._body.expect(head.length)

    def _rest(self, data: bytes) -> Head | None:
        """Add to the body of the head that is waited with; its head, once it is complete."""
        head = self._head
        assert head is not None
        missing = head.length - self._body.length
        self._data = data[missing:] if missing < len(data) else b""
        self._body.add(data[:missing] if missing < len(data) else data)
        if self._body.length < head.length:
            return None
        self._head, self._taken = None, self._body.take()
        self._complete(head)
        return head

    def _complete(self, head: Head) -> None:
        """A request is whole: what was reserved for its body counts no more here, but for whoever gets it."""
        self.phase = _IDLE if head.keep_alive else _ENDED
        self.waits_for_continue = False
        self._body.release()

    # --- limits

    def _reserve(self, weight: int) -> bool:
        """Hold room for a large body that is on its way, or refuse it where there is none."""
        fits = self._body.reserve(weight)
        if not fits:
            self._refuse((503, f"bodies of {self._held.taken} bytes are being read or waiting already; try again"))
        return fits

    def _refuse(self, refused: Refused | None) -> None:
        """Read nothing more, where that is why; None is no reason."""
        if refused is not None and not self.done:
            self.phase, self.refusal = _REFUSED, refused
            self._forget()

    def _forget(self) -> None:
        self._data = self._preface = b""
        self._head = None
        self._body.clear()

    # --- by httptools, which calls what begins with on_

    def _feed(self, data: bytes) -> None:
        if self._parser is None:
            self._parser = httptools.HttpRequestParser(self)
        self._fed = 0
        if self.phase is _IDLE:
            self._begin()
            self._opening, self._received = data[: data.find(b"\r\n\r\n") + 4], 0
        self._received += len(data)
        self._fed, self._advanced = len(data), False  # the latter: it holds some of a body, or where a request begins
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade as upgrade:
            self._decline_upgrade(data[upgrade.args[0] :])
            return
        except httptools.HttpParserCallbackError as error:  # what went wrong in what it called
            self._refuse(_failed(error.__context__ or error))
            return
        except httptools.HttpParserError as error:
            self._refuse((400, f"not HTTP/1.1: {error}"))
            return
        if self.phase is _IDLE:
            self._keep()
        elif self.phase is _HEAD:
            # httptools keeps what it has of a header to itself until the header is complete.
            self._refuse(self._lines.add_received(len(data)))
        elif self.phase is _BODY:
            self._refuse(self._lines.add_beside(0 if self._advanced else len(data)))

    def _begin(self) -> None:
        self.phase, self._advanced = _HEAD, True
        self._body.clear()
        # Where in what is being fed it begins, nobody knows: unless it is the first one there, its bytes count as
        # received from the next ones on.
        self._lines = HeadLines(self._limits, self.headers_read, -self._fed)

    def _decline_upgrade(self, rest: bytes) -> None:
        """Take a request that offers another protocol as the HTTP/1.1 request that it is; `rest` follows its head.

        Java's client offers h2c with every first request, curl with --http2; a server may go on as before (RFC 9110,
        7.8). The parser leaves the body alone then.
        """
        parser, self._parser = self._parser, None
        if self.done:
            return
        lines = self._lines
        if lines.chunked:
            self._refuse((501, "a chunked body cannot be read behind an offer to upgrade; send the request without it"))
            return
        old = parser.get_http_version() == OLD
        head = Head(parser.get_method(), lines.target, lines.length, parser.should_keep_alive(), lines.headers, old)
        self._data = rest
        if head.length:
            self._await(head)
        else:
            self._complete(head)
            self._whole.append((head, b""))

    def on_message_begin(self) -> None:
        if self.phase is _IDLE:  # the first in what is fed has begun already
            self._begin()

    def on_url(self, url: bytes) -> None:
        self._refuse(self._lines.add_target(url))

    def on_header(self, name: bytes, value: bytes) -> None:
        if self.phase is _HEAD:  # else it is a trailer: nothing in it changes what was asked
            self._refuse(self._lines.add_header(name, value))

    def on_headers_complete(self) -> None:
        if self.done:
            return
        self.phase = _BODY
        lines = self._lines
        self._refuse(lines.complete(self._parser.get_http_version()))
        if not self.done and self._reserve(lines.length if lines.length >= HEAVY else 0):
            self.waits_for_continue = lines.expects
            if not lines.chunked:
                self._body.expect(lines.length)

    def on_body(self, part: bytes) -> None:
        if self.done:
            return
        if self._body.length + len(part) > self._limits.max_body:
            self._refuse(too_large(self._limits.max_body))
        elif not self._lines.chunked or self._reserve(len(part)):
            self._advanced = True
            self._body.add(part)

    def on_message_complete(self) -> None:
        parser = self._parser
        if self.done or parser.should_upgrade():
            return
        lines, old = self._lines, parser.get_http_version() == OLD
        method, keep_alive = parser.get_method(), parser.should_keep_alive()
        head = Head(method, lines.target, self._body.length, keep_alive, lines.headers, old)
        self._complete(head)
        self._whole.append((head, self._body.take()))

    def _keep(self) -> None:
        """Remember the head of a plain request whose head came in one piece, and nothing else before or behind it.

        The same bytes need no parser again.
        """
        opening, lines = self._opening, self._lines
        plain = not (lines.chunked or lines.expects)
        if plain and len(opening) + self._body.length == self._received:
            method, old = self._parser.get_method(), self._parser.get_http_version() == OLD
            self.known.keep(opening, Head(method, lines.target, self._body.length, True, lines.headers, old))


def _failed(error: BaseException) -> Refused:
    return 500, f"the server failed at it: {type(error).__name__}"
