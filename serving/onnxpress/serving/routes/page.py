"""The page at `/`: static files, what each version's form is made of, and its equivalence report as it lies there."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import msgspec

from onnxpress.core.files import read_regular
from onnxpress.core.tensors import FLOATS, TensorSpec
from onnxpress.serving import aside
from onnxpress.serving.exchange import Headers, fail
from onnxpress.serving.models.served import Served
from onnxpress.serving.protocol.datatypes import DATATYPE_OF
from onnxpress.serving.protocol.refusal import Refusal
from onnxpress.serving.routes import examples
from onnxpress.serving.routes.call import Call
from onnxpress.serving.service import Service

_FILES = Path(__file__).parent / "page_files"
_TYPES = {
    "html": b"text/html; charset=utf-8",
    "css": b"text/css; charset=utf-8",
    "js": b"text/javascript; charset=utf-8",
    "json": b"application/json",
}
_POLICY = (
    b"default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src data:; base-uri 'none'; "
    b"form-action 'none'; frame-ancestors 'none'"
)
_REPORT_POLICY = b"default-src 'none'; style-src 'unsafe-inline'; img-src data:; frame-ancestors 'none'; sandbox"
_REPORT = "equivalence.html"
_MOST_BYTES = 16 << 20
_MOST_SAMPLE = 1 << 18
"""values of a golden sample that is filled in; a picture of 3 x 224 x 224 has 150,528"""
_MOST_KEPT = 8 << 20
"""bytes of what forms are made of"""
_MOST_CHOICES = 1000
"""values of an input that are offered"""
_NAMES = ("page.css", "page.js", "answers.js", "controls.js", "elements.js", "fields.js", "live.js", "picture.js")


class PageRoute:
    """Answers `/`, `/page/FILE`, `/page/form/MODEL/VERSION` and `/page/report/MODEL/VERSION`."""

    def __init__(self) -> None:
        self._read: dict[str, bytes] = {}
        self._inputs: OrderedDict[Served, bytes] = OrderedDict()  # of versions, as JSON; the last that was asked last

    def __call__(self, service: Service, call: Call, parts: Sequence[str]) -> None:
        """Answer; raises Refusal."""
        match parts:
            case [""]:
                self._send(call, "index.html")
            case ["page", name] if name in _NAMES:
                self._send(call, name)
            case ["page", "form", name, version]:
                call.allow(b"GET")
                served = service.repository.find(name, version)
                _beside(call, lambda: self._form(served), "json", _POLICY)
            case ["page", "report", name, version]:
                call.allow(b"GET")
                path = service.repository.find(name, version).path.parent / _REPORT
                _beside(call, lambda: read_regular(path, _MOST_BYTES), "html", _REPORT_POLICY)
            case _:
                raise call.nothing_here()

    def _form(self, served: Served) -> bytes:
        """What the form of a version is made of, and whether it has a report. Not on the loop's thread."""
        made = self._inputs.pop(served, None)
        if made is None:
            # Another version is another object, also where it has the same number.
            made = msgspec.json.encode(inputs_of(served))
        self._inputs[served] = made
        while len(self._inputs) > 1 and sum(map(len, self._inputs.values())) > _MOST_KEPT:
            self._inputs.popitem(last=False)
        for other in [one for one in self._inputs if one.closed]:
            del self._inputs[other]
        report = (served.path.parent / _REPORT).is_file()
        return msgspec.json.encode({"report": report, "inputs": msgspec.Raw(made)})

    def _send(self, call: Call, name: str) -> None:
        call.allow(b"GET")
        if name not in self._read:
            self._read[name] = (_FILES / name).read_bytes()
        call.answer(self._read[name], headers=_headers(name.rpartition(".")[2], _POLICY))


def inputs_of(served: Served) -> list[dict[str, Any]]:
    """What the form of a version is made of. Reads a file: not on the loop's thread."""
    example = examples.of(served, _MOST_SAMPLE)
    return [_input(spec, example) for spec in served.engine.inputs]


def _input(spec: TensorSpec, example: examples.Example | None) -> dict[str, Any]:
    """An input: sizes that vary have their name; `values` are all that it takes if `enforced`, else some."""
    found: dict[str, Any] = {
        "name": spec.name,
        "datatype": DATATYPE_OF[spec.dtype],
        "shape": list(spec.shape),
        "null": spec.dtype in FLOATS and "nan" not in spec.refuses,
    }
    if spec.domain is not None:
        values = spec.domain.values
        found |= {
            "low": spec.domain.low,
            "high": spec.domain.high,
            "values": None if values is None or len(values) > _MOST_CHOICES else values,
            "enforced": spec.domain.enforced,
        }
    if example is not None:
        array = example.inputs[spec.name]
        data = examples.flat(array)
        if spec.dtype in ("int64", "uint64"):
            data = [str(value) for value in data]  # JavaScript's numbers would round them
        found["sample"] = {"shape": list(array.shape), "data": data}
    return found


def _headers(kind: str, policy: bytes) -> Headers:
    return (
        (b"content-type", _TYPES[kind]),
        (b"content-security-policy", policy),
        (b"x-content-type-options", b"nosniff"),
        (b"referrer-policy", b"no-referrer"),
        (b"cache-control", b"no-cache"),
    )


def _beside(call: Call, work: Callable[[], bytes], kind: str, policy: bytes) -> None:
    """Answer with what `work` reads beside the loop; 404 where the file is not there."""

    def done(content: Any, error: BaseException | None) -> None:
        if error is None:
            call.answer(content, headers=_headers(kind, policy))
        elif isinstance(error, OSError):
            refusal = Refusal(404, "this version has no equivalence report beside it")
            call.answer(refusal.body(), refusal.status)
        else:
            fail(call.exchange, error, "the page")

    aside.call(work, done)
