"""The page at `/`: three static files, and the equivalence report of a version as it lies in its folder."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from onnxpress.core.files import read_regular
from onnxpress.serving import aside
from onnxpress.serving.exchange import Headers, fail
from onnxpress.serving.protocol.refusal import Refusal
from onnxpress.serving.routes.call import Call
from onnxpress.serving.service import Service

_FILES = Path(__file__).parent / "page_files"
_TYPES = {
    "html": b"text/html; charset=utf-8",
    "css": b"text/css; charset=utf-8",
    "js": b"text/javascript; charset=utf-8",
}
_POLICY = (
    b"default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src data:; base-uri 'none'; "
    b"form-action 'none'; frame-ancestors 'none'"
)
_REPORT_POLICY = b"default-src 'none'; style-src 'unsafe-inline'; img-src data:; frame-ancestors 'none'; sandbox"
_REPORT = "equivalence.html"
_MOST_BYTES = 16 << 20
_NAMES = ("page.css", "page.js")


class PageRoute:
    """Answers `/`, `/page/...` and `/page/report/MODEL/VERSION`."""

    def __init__(self) -> None:
        self._read: dict[str, bytes] = {}

    def __call__(self, service: Service, call: Call, parts: Sequence[str]) -> None:
        """Answer; raises Refusal."""
        match parts:
            case [""]:
                self._send(call, "index.html")
            case ["page", name] if name in _NAMES:
                self._send(call, name)
            case ["page", "report", name, version]:
                call.allow(b"GET")
                _report(call, service.repository.find(name, version).path.parent / _REPORT)
            case _:
                raise call.nothing_here()

    def _send(self, call: Call, name: str) -> None:
        call.allow(b"GET")
        if name not in self._read:
            self._read[name] = (_FILES / name).read_bytes()
        call.answer(self._read[name], headers=_headers(_TYPES[name.rpartition(".")[2]], _POLICY))


def _headers(media: bytes, policy: bytes) -> Headers:
    return (
        (b"content-type", media),
        (b"content-security-policy", policy),
        (b"x-content-type-options", b"nosniff"),
        (b"referrer-policy", b"no-referrer"),
        (b"cache-control", b"no-cache"),
    )


def _report(call: Call, path: Path) -> None:
    """Answer with the report, read beside the loop."""

    def done(content: Any, error: BaseException | None) -> None:
        if error is None:
            call.answer(content, headers=_headers(_TYPES["html"], _REPORT_POLICY))
        elif isinstance(error, OSError):
            refusal = Refusal(404, "this version has no equivalence report beside it")
            call.answer(refusal.body(), refusal.status)
        else:
            fail(call.exchange, error, "the equivalence report")

    aside.call(lambda: read_regular(path, _MOST_BYTES), done)
