"""What a client says, and in which order, without I/O: steps that yield a Request or a Pause and are sent the Answer.

One form for both clients: `blocking` and `asynchronous` carry out what is yielded, and throw into the steps what goes
wrong on the way.
"""

from __future__ import annotations

import random
import re
import time
from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar
from urllib.parse import quote

import msgspec

from onnxpress.core.arrays import Array
from onnxpress.core.errors import BadData, BadModel, OnnxpressError, ServerError, UsageError
from onnxpress.core.tensors import TensorSpec
from onnxpress.serving.client import tensors
from onnxpress.serving.client.address import Address
from onnxpress.serving.client.http import Answer, Request
from onnxpress.serving.engine.feeds import as_arrays

_OF_THE_QUESTION = (400, 413, 415)
_SHOWN_CHARACTERS = 500
_COME_AGAIN_SECONDS = 1.0
"""after a 503 that does not say when"""
_SOONEST_SECONDS = 0.05
_OWN_HEADERS = frozenset(
    {
        "accept-encoding", "connection", "content-encoding", "content-length", "content-type", "expect", "host",
        "inference-header-content-length", "te", "trailer", "transfer-encoding", "upgrade", "user-agent",
    }
)  # fmt: skip
_SPREAD = 0.25
"""of the time to wait, at random on top, so that callers that were refused together do not come back together"""


@dataclass(frozen=True)
class Pause:
    """Wait so many seconds."""

    seconds: float


Result = TypeVar("Result")
Steps = Generator[Request | Pause, Answer | None, Result]


class ServerMetadata(msgspec.Struct, frozen=True, kw_only=True):
    """What a server says of itself."""

    name: str
    version: str
    extensions: tuple[str, ...] = ()


class ModelMetadata(msgspec.Struct, frozen=True, kw_only=True):
    """What a server says of a model: `inputs` and `outputs` are TensorSpec, with a made-up name for a size that varies.

    `parameters` hold what is not the protocol's; of an onnxpress server: `verified`, `labels`, `equivalence_multiple`
    and more.
    """

    name: str
    versions: tuple[str, ...]
    platform: str
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    parameters: dict[str, Any]

    @property
    def optional_inputs(self) -> tuple[TensorSpec, ...]:
        """Inputs with a default, as an onnxpress server tells them."""
        try:
            told = msgspec.convert(self.parameters.get("optional_inputs", []), list[_Tensor])
        except msgspec.ValidationError:  # another server's parameter of that name
            return ()
        return tuple(_spec(tensor, self.name) for tensor in told if tensor.datatype in tensors.DTYPE_OF)


class _Tensor(msgspec.Struct):
    name: str
    datatype: str
    shape: list[int]


class _Model(msgspec.Struct):
    name: str
    inputs: list[_Tensor]
    outputs: list[_Tensor]
    versions: list[str] | None = None
    platform: str = ""
    parameters: dict[str, Any] | None = None


class Conversation:
    """One server, how long to go on asking it while it is busy, and which inputs its models take, once known."""

    def __init__(
        self,
        address: Address,
        *,
        token: str | None,
        retry_seconds: float,
        binary: bool,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        self.address = address
        self.headers: dict[str, str] = _checked(headers or {})
        """sent with every request"""
        if token is not None and "authorization" in self.headers:
            raise UsageError("there are a token and a header Authorization; leave one of them out")
        if token is not None:
            if not token or not token.isascii() or any(character <= " " or character == "\x7f" for character in token):
                raise UsageError("the token is empty, or holds blanks or characters that are not ASCII")
            self.headers["authorization"] = f"Bearer {token}"
        if not 0 <= retry_seconds < float("inf"):
            raise UsageError(f"retry_seconds is {retry_seconds}; it must be 0 or more, and not without end")
        self._retry_seconds, self._binary = retry_seconds, binary
        self._models: dict[tuple[str, str | None], ModelMetadata] = {}

    def ready(self, model: str | None, version: int | str | None) -> Steps[bool]:
        """Whether the server, or one of its models, answers now; False too where nothing listens."""
        path = "/v2/health/ready" if model is None else f"{_path(model, version)}/ready"
        try:
            answer = yield Request("GET", path)
        except ServerError as error:
            if isinstance(error.__cause__, ConnectionError | TimeoutError):
                return False
            raise
        assert answer is not None
        if answer.status in (200, 503):
            return answer.status == 200
        raise self._failure(answer, path)

    def server(self) -> Steps[ServerMetadata]:
        """Name, version and the extensions of the protocol."""
        answer = yield from self._asked(Request("GET", "/v2"))
        return _decoded(answer, ServerMetadata, self.address.url + "/v2")

    def model(self, model: str, version: int | str | None) -> Steps[ModelMetadata]:
        """What a model takes and answers, as the server says now."""
        path = _path(model, version)
        where = self.address.url + path
        told = _decoded((yield from self._asked(Request("GET", path))), _Model, where)
        return ModelMetadata(
            name=told.name,
            versions=tuple(told.versions or ()),
            platform=told.platform,
            inputs=tuple(_spec(tensor, where) for tensor in told.inputs),
            outputs=tuple(_spec(tensor, where) for tensor in told.outputs),
            parameters=told.parameters or {},
        )

    def infer(
        self, model: str, inputs: object, version: int | str | None, outputs: Sequence[str] | None
    ) -> Steps[dict[str, Array]]:
        """Output name → array. What the model takes is asked once, and again after it has refused something."""
        key = model, None if version is None else str(version)
        known = self._models.get(key)
        if known is None:
            known = self._models[key] = yield from self.model(model, version)
        path = f"{_path(model, version)}/infer"
        try:
            optional = known.optional_inputs
            arrays = as_arrays(known.inputs, inputs, where=self.address.url + _path(model, version), optional=optional)
            given = [spec for spec in (*known.inputs, *optional) if spec.name in arrays]
            headers, body = tensors.write(given, arrays, outputs, binary=self._binary)
            answer = yield from self._asked(Request("POST", path, headers, body))
        except OnnxpressError:
            # Another version may be served by now, with other inputs.
            self._models.pop(key, None)
            raise
        try:
            return tensors.read(answer)
        except ServerError as error:
            error.where = self.address.url + path
            raise

    def _asked(self, request: Request) -> Steps[Answer]:
        """The answer, if it is a good one. A 503 is asked again when it says, as long as that is within the bound."""
        until = time.monotonic() + self._retry_seconds
        while True:
            answer = yield request
            assert answer is not None
            if answer.status == 200:
                return answer
            if answer.status == 503:
                seconds = max(_retry_after(answer), _SOONEST_SECONDS) * (1 + random.random() * _SPREAD)
                if time.monotonic() + seconds <= until:
                    yield Pause(seconds)
                    continue
            raise self._failure(answer, request.path)

    def _failure(self, answer: Answer, path: str) -> OnnxpressError:
        said, where, status = _said(answer), self.address.url + path, answer.status
        if status in _OF_THE_QUESTION:
            return BadData(f"the server refused: {said}", where=where)
        if status == 404:
            return BadModel(f"the server refused: {said}", where=where)
        if 300 <= status < 400:
            there = answer.headers.get("location", "another place")
            return ServerError(f"the server is elsewhere: {there}", where=where, hint="use that URL", status=status)
        hint = {
            401: "give the server's token as token=",
            403: "the token is not one of the server's",
            503: "it is loading, leaving or too busy; a larger retry_seconds waits longer",
        }.get(status)
        return ServerError(f"the server answered {status}: {said}", where=where, hint=hint, status=status)


def _checked(headers: Mapping[str, str]) -> dict[str, str]:
    """The headers, names in small letters. Raises UsageError for what is none, or what every request sets itself."""
    found = {name.lower(): value for name, value in headers.items()}
    for name, value in found.items():
        if not re.fullmatch(r"[!#$%&'*+.^_`|~0-9a-z-]+", name):
            raise UsageError(f"{name!r} is no name of a header")
        if name in _OWN_HEADERS:
            raise UsageError(f"the header {name!r} is set by every request itself")
        if not re.fullmatch(r"[\t -~]*", value):
            raise UsageError(f"the header {name!r} holds characters that a header cannot")
    return found


def _path(model: str, version: int | str | None) -> str:
    below = "" if version is None else f"/versions/{quote(str(version), safe='')}"
    return f"/v2/models/{quote(model, safe='')}{below}"


def _spec(told: _Tensor, where: str) -> TensorSpec:
    if told.datatype not in tensors.DTYPE_OF:
        raise BadModel(f"{told.name!r} has the datatype {told.datatype}, which no array here can hold", where=where)
    # The protocol does not say which sizes are the same, so each has a name of its own.
    shape = tuple(size if size >= 0 else f"{told.name}_{axis}" for axis, size in enumerate(told.shape))
    return TensorSpec(name=told.name, dtype=tensors.DTYPE_OF[told.datatype], shape=shape)


Decoded = TypeVar("Decoded")


def _decoded(answer: Answer, kind: type[Decoded], where: str) -> Decoded:
    try:
        return msgspec.json.decode(answer.body, type=kind)
    except (msgspec.MsgspecError, ValueError) as error:
        what = f"the answer is not one of the Open Inference Protocol: {error}"
        raise ServerError(what, where=where, status=200) from None


def _said(answer: Answer) -> str:
    """The server's reason: the protocol's error object, or whatever text another server or a proxy sends."""
    try:
        document = msgspec.json.decode(answer.body)
        text = str(document["error"])
    except (msgspec.MsgspecError, ValueError, TypeError, KeyError):
        text = answer.body.decode(errors="replace")
    return " ".join(text.split())[:_SHOWN_CHARACTERS] or "no reason"


def _retry_after(answer: Answer) -> float:
    """Seconds, from a number or a date; a second where neither is there."""
    text = answer.headers.get("retry-after", "")
    if text.strip().isdigit():
        return float(text)
    if text:
        from email.utils import parsedate_to_datetime

        try:
            return max(0.0, parsedate_to_datetime(text).timestamp() - time.time())
        except (ValueError, OverflowError):
            pass
    return _COME_AGAIN_SECONDS
