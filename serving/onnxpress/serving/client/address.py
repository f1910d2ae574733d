"""Where a server is, from its URL."""

from __future__ import annotations

from typing import NamedTuple
from urllib.parse import unquote, urlsplit

from onnxpress.core.errors import UsageError

_EXAMPLE = "for example http://127.0.0.1:8000"
_PORTS = {"http": 80, "https": 443}


class Address(NamedTuple):
    """A server; `prefix` is the path that it is mounted below, without a slash at its end, mostly empty."""

    host: str
    port: int
    tls: bool
    prefix: str

    @property
    def authority(self) -> str:
        """Host and port as the Host header has them: without the port that the scheme implies."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == _PORTS[self._scheme] else f"{host}:{self.port}"

    @property
    def url(self) -> str:
        """As a person writes it."""
        return f"{self._scheme}://{self.authority}{self.prefix}"

    @property
    def _scheme(self) -> str:
        return "https" if self.tls else "http"


def parse(url: str) -> Address:
    """`https://host:port/prefix` → Address. Raises UsageError saying what is wrong."""
    try:
        parts = urlsplit(url.strip())
        host, port = parts.hostname, parts.port
    except ValueError as error:
        raise UsageError(f"{url!r} is no URL: {error}", hint=_EXAMPLE) from None
    if parts.scheme not in _PORTS or not host:
        raise UsageError(f"{url!r} is not the URL of a server", hint=_EXAMPLE)
    if parts.username is not None or parts.password is not None:
        raise UsageError("the URL holds a user or a password", hint="leave them out; give a token as token=")
    if parts.query or parts.fragment:
        raise UsageError(f"{url!r} has a query or a fragment, which a server's URL has not", hint=_EXAMPLE)
    if not url.isascii() or any(character <= " " for character in url.strip()):
        raise UsageError(f"{url!r} has characters that a URL must encode", hint=_EXAMPLE)
    return Address(host, port or _PORTS[parts.scheme], parts.scheme == "https", parts.path.rstrip("/"))


def split_model(url: str) -> tuple[str, str, str | None]:
    """`http://host/v2/models/NAME[/versions/V][/infer]` → (the server's URL, NAME, V). Raises UsageError."""
    server, separator, rest = url.partition("/v2/models/")
    match rest.rstrip("/").removesuffix("/infer").split("/"):
        case [name] if separator and name:
            return server, unquote(name), None
        case [name, "versions", version] if name and version:
            return server, unquote(name), unquote(version)
    raise UsageError(f"{url!r} names no model", hint="for example http://127.0.0.1:8000/v2/models/NAME")
