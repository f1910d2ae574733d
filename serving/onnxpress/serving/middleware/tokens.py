"""Bearer tokens: several, compared in constant time, read again when their file changes."""

from __future__ import annotations

import hashlib
import hmac
import time
from pathlib import Path

from onnxpress.core.errors import UsageError
from onnxpress.serving.protocol.refusal import Refusal

_LOOK_SECONDS = 1.0
_LEAST_CHARACTERS = 16


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
