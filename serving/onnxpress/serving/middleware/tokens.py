"""Only those who show a token are answered: several, compared in constant time, read again when their file changes."""

from __future__ import annotations

import hashlib
import hmac
import time
from collections.abc import Mapping
from pathlib import Path

from onnxpress.core.errors import UsageError
from onnxpress.core.files import read_regular
from onnxpress.serving import log
from onnxpress.serving.exchange import Exchange, Handler
from onnxpress.serving.protocol.refusal import Refusal
from onnxpress.serving.routes import call_paths

_AUTHORIZATION = b"authorization"
_OPEN = (
    b"/v2/health/live",
    b"/v2/health/ready",
    b"/healthz",
    b"/readyz",
    b"/health",
    call_paths.path(call_paths.V2, "ServerLive"),
    call_paths.path(call_paths.V2, "ServerReady"),
    call_paths.CHECK,
    call_paths.WATCH,
)
"""how the server is doing is no secret, and those who ask for it have no token"""
_LOOK_SECONDS = 1.0
_LEAST_CHARACTERS = 16
_MOST_BYTES = 1 << 20
_HINT = "one a line; make one: python -c 'import secrets; print(secrets.token_urlsafe())'"


class TokenMiddleware:
    """Before a handler: refuses requests without a token that is known."""

    def __init__(self, handler: Handler, tokens: Tokens) -> None:
        self._handler, self._tokens = handler, tokens
        self.headers_read = handler.headers_read | {_AUTHORIZATION}
        self.traffic = handler.traffic

    def submit(self, method: bytes, target: bytes, body: bytes, exchange: Exchange, alone: bool = False) -> None:
        """As the handler's, for a request without any of the headers: it shows no token."""
        self.submit_with({}, method, target, body, exchange)

    def submit_with(
        self, headers: Mapping[bytes, bytes], method: bytes, target: bytes, body: bytes, exchange: Exchange
    ) -> None:
        """As the handler's, once the token is checked."""
        if target not in _OPEN:
            try:
                self._tokens.check(headers.get(_AUTHORIZATION))
            except Refusal as refusal:
                exchange.respond(refusal.status, refusal.body(), refusal.headers)
                return
        self._handler.submit_with(headers, method, target, body, exchange)


class Tokens:
    """The tokens in a file, one a line; empty lines and those that begin with # are none.

    What the file does not hold any more is no token any more: not where it is empty, gone, or cannot be read either.
    """

    def __init__(self, path: Path) -> None:
        """Raises UsageError where the file cannot be read, or holds no token or one that could be guessed."""
        self._path = path
        self._seen = self._identity()
        self._digests, self._fault = self._read()
        self._looked = time.monotonic()
        if self._fault:
            raise UsageError(self._fault, where=str(path), hint=_HINT)

    def check(self, authorization: bytes | None) -> None:
        """Raises Refusal(401) unless the header is `Bearer` and one of the tokens."""
        self._look()
        scheme, _, token = (authorization or b"").partition(b" ")
        digest = hashlib.sha256(token.strip()).digest()
        # Every one is compared, so that the time does not tell which was nearly right.
        known = [hmac.compare_digest(digest, one) for one in self._digests]
        if scheme.lower() != b"bearer" or not any(known):
            raise Refusal(401, "a valid bearer token is needed", ((b"www-authenticate", b"Bearer"),))

    def state(self) -> tuple[bool, str]:
        """Whether there is a token that is answered, and what is wrong with the file."""
        self._look()
        return bool(self._digests), f"the file of tokens: {self._fault}" if self._fault else ""

    def read_again(self) -> None:
        """Read the file now, whether or not it seems to have changed."""
        self._seen, self._looked = (), -_LOOK_SECONDS
        self._look()

    def _look(self) -> None:
        """At most once a second: read the file again if it changed."""
        now = time.monotonic()
        if now - self._looked < _LOOK_SECONDS:
            return
        self._looked = now
        found = self._identity()
        if found == self._seen:
            return
        before, self._seen = self._fault, found
        self._digests, self._fault = self._read()
        count = len(self._digests)
        if self._fault:
            log.say(f"{self._path}: {self._fault}; {count or 'no'} token{'s' * (count != 1)} can be used")
        elif before:
            log.say(f"{self._path}: the tokens can be read again; there are {count}")

    def _identity(self) -> tuple[int, ...]:
        """What tells that another file is there, or other content: the time alone can be set back."""
        try:
            found = self._path.stat()
        except OSError as error:
            return (error.errno or 0,)
        return found.st_mtime_ns, found.st_ctime_ns, found.st_size, found.st_ino, found.st_dev

    def _read(self) -> tuple[list[bytes], str]:
        """The digests of what is fit for a token, and what is wrong with the rest."""
        try:
            lines = read_regular(self._path, _MOST_BYTES).splitlines()
        except OSError as error:
            return [], f"it cannot be read: {error.strerror or error}"
        lines = [line.strip() for line in lines]
        tokens = [(number, line) for number, line in enumerate(lines, 1) if line and not line.startswith(b"#")]
        if not tokens:
            return [], "there is no token in it"
        short = [number for number, token in tokens if len(token) < _LEAST_CHARACTERS]
        fault = f"line {short[0]} is a token of fewer than {_LEAST_CHARACTERS} characters" if short else ""
        return [hashlib.sha256(token).digest() for number, token in tokens if number not in short], fault
