"""Only those who show a token are answered: several, compared in constant time, read again when their file changes."""

from __future__ import annotations

import hashlib
import hmac
import time
from collections.abc import Mapping
from pathlib import Path

from onnxpress.core.errors import UsageError
from onnxpress.serving.exchange import Exchange, Handler
from onnxpress.serving.protocol.refusal import Refusal

_AUTHORIZATION = b"authorization"
_OPEN = (b"/v2/health/live", b"/v2/health/ready")
"""how the server is doing is no secret, and those who ask for it have no token"""
_LOOK_SECONDS = 1.0
_LEAST_CHARACTERS = 16


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
    """The tokens in a file, one a line; empty lines and those that begin with # are none."""

    def __init__(self, path: Path) -> None:
        """Raises UsageError where the file cannot be read, or holds no token or one that could be guessed."""
        self._path = path
        self._seen = path.stat().st_mtime_ns if path.is_file() else None
        self._digests = self._read()
        self._looked = time.monotonic()

    def check(self, authorization: bytes | None) -> None:
        """Raises Refusal(401) unless the header is `Bearer` and one of the tokens."""
        self._look()
        scheme, _, token = (authorization or b"").partition(b" ")
        digest = hashlib.sha256(token.strip()).digest()
        # Every one is compared, so that the time does not tell which was nearly right.
        known = [hmac.compare_digest(digest, one) for one in self._digests]
        if scheme.lower() != b"bearer" or not any(known):
            raise Refusal(401, "a valid bearer token is needed", ((b"www-authenticate", b"Bearer"),))

    def read_again(self) -> None:
        """Read the file now, whether or not it seems to have changed."""
        self._seen, self._looked = None, -_LOOK_SECONDS
        self._look()

    def _look(self) -> None:
        """At most once a second: read the file again if it changed. One that cannot be read leaves the old tokens."""
        now = time.monotonic()
        if now - self._looked < _LOOK_SECONDS:
            return
        self._looked = now
        try:
            changed = self._path.stat().st_mtime_ns
            if changed != self._seen:
                self._digests, self._seen = self._read(), changed
        except (OSError, UsageError):
            return

    def _read(self) -> list[bytes]:
        try:
            lines = self._path.read_bytes().splitlines()
        except OSError as error:
            raise UsageError(f"the tokens cannot be read: {error.strerror}", where=str(self._path)) from None
        tokens = [line.strip() for line in lines if line.strip() and not line.strip().startswith(b"#")]
        if not tokens:
            raise UsageError("there is no token in it", where=str(self._path), hint="one a line")
        if min(map(len, tokens)) < _LEAST_CHARACTERS:
            raise UsageError(
                f"a token has fewer than {_LEAST_CHARACTERS} characters",
                where=str(self._path),
                hint="make one: python -c 'import secrets; print(secrets.token_urlsafe())'",
            )
        return [hashlib.sha256(token).digest() for token in tokens]
