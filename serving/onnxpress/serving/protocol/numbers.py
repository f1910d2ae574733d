"""Long lists of numbers in a request's JSON, cut out and read by simdjson without an object for each number.

The rest of the request is short then and read as ever, with a mark where each list stood. simdjson (the extra `simd`)
is imported for the first such request and not before. It gets a block of the numbers at a time: as quick as all at
once, and its buffers, some 15 bytes for each byte of text, stay small.

The lists that short requests make together are read here too, see `Floats`.

Only what is plain JSON numbers is read here. Nulls, integers beyond 64 bits, numbers beyond float64 and everything that
is wrong is left to the careful reading, which knows the rules and says what is wrong.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import cache
from typing import Any

import msgspec
import numpy as np

from onnxpress.core import decoders
from onnxpress.core.arrays import Array
from onnxpress.core.tensors import TensorSpec
from onnxpress.serving.engine.dtypes import array_dtype
from onnxpress.serving.protocol.tensor_data import NOT_JSON, unnested
from onnxpress.serving.protocol.wire import AnyRequest, AnyTensor

Span = tuple[int, int]
Read = Callable[[bytes, int, int, int], "Array | None"]

LONG = 16 * 1024
"""bytes of a list from which cutting it out is quicker than reading it where it stands"""
JOINED = 1024
"""bytes of a list, cut out already, from which simdjson is quicker"""
_BLOCK = 32 * 1024
_KEY = b'"data"'
_BLANKS = b" \t\r\n"
_MARK = b'"@%d"'
_decode = decoders.of_json(AnyRequest).decode


@cache
def parser_type() -> Callable[[], Any] | None:
    """simdjson's parser; None where simdjson is not installed, or not for this machine."""
    try:
        from simdjson import Parser
    except (ImportError, RuntimeError):  # the latter is what it raises where its library does not load
        return None
    parser: Callable[[], Any] = Parser
    return parser


class Floats:
    """Reads lists of numbers that many short requests make together; None where there is no simdjson."""

    def __init__(self) -> None:
        of = parser_type()
        self._parser = None if of is None else of()

    def read(self, text: bytes) -> Array | None:
        """The numbers of a list without its brackets, as float64; None where it is not plain JSON numbers."""
        if self._parser is None:
            return None
        try:
            return np.frombuffer(self._parser.parse(b"[%b]" % text).as_buffer(of_type="d"), np.float64)
        except (ValueError, TypeError, RuntimeError):
            return None


class Lists:
    """Reads the requests to one model that have long lists."""

    def __init__(self, specs: Sequence[TensorSpec]) -> None:
        self._inputs = {spec.name: (spec, _reading(np.dtype(array_dtype(spec.dtype)))) for spec in specs}

    def __bool__(self) -> bool:
        """Whether there is anything quicker for any input."""
        return any(read is not None for _, read in self._inputs.values())

    def read(self, body: bytes) -> tuple[AnyRequest, dict[bytes, Array]] | None:
        """The request with a mark for the data of each long list, and mark → its values, flat.

        None where there are no such lists, and where anything is wrong: that is found, and said, by reading the body as
        it came.
        """
        found = cut(body) if self else None
        if found is None:
            return None
        rest, lists = found
        try:
            request = _decode(rest)
        except NOT_JSON:
            return None
        arrays = {}
        for tensor in request.inputs:
            mark = bytes(tensor.data)
            if mark in lists:
                array = self._array(tensor, body, *lists.pop(mark))
                if array is None:
                    return None
                arrays[mark] = array
        return None if lists else (request, arrays)  # a list that is nobody's data is wrong

    def _array(self, tensor: AnyTensor, body: bytes, start: int, stop: int) -> Array | None:
        """The values of the list in body[start:stop], flat; None where it is not plain numbers as the tensor says."""
        spec, read = self._inputs.get(tensor.name, (None, None))
        # The shape was not checked yet: one of a million axes would cost more to multiply than the list to read.
        if spec is None or read is None or len(tensor.shape) != len(spec.shape) or min(tensor.shape, default=1) < 1:
            return None
        count = math.prod(tensor.shape)
        if count >= stop - start:
            return None
        if body.find(b"[", start + 1, stop) < 0:
            return read(body, start + 1, stop - 1, count)
        try:
            flat = unnested(spec, msgspec.Raw(body[start:stop]), tensor.shape)
        except ValueError:
            return None
        return read(flat, 1, len(flat) - 1, count)


def cut(body: bytes) -> tuple[bytes, dict[bytes, Span]] | None:
    """The body with a mark for each long list of its `data`, and where in it the list of each mark stands.

    None where there are none, or where it cannot be told without reading that they are what they seem.
    """
    spans: list[Span] = []
    end = len(body)
    brace = quote = -1
    at = body.find(_KEY)
    while at >= 0:
        start = _opening(body, at + len(_KEY))
        if start is None:
            at = body.find(_KEY, at + len(_KEY))
            continue
        # Numbers and brackets hold neither quotes nor braces: up to the next of these a list of numbers has ended. Each
        # is looked for once, however many lists are before it.
        if brace < start:
            brace = _next(body, b"}", start, end)
        if quote < start:
            quote = _next(body, b'"', start, end)
        stop = body.rfind(b"]", start, min(brace, quote)) + 1
        if stop - start >= LONG:
            spans.append((start, stop))
        at = body.find(_KEY, max(stop, start))
    if not spans:
        return None
    parts, lists, behind = [], dict[bytes, Span](), 0
    for number, (start, stop) in enumerate(spans):
        mark = _MARK % number
        parts += [body[behind:start], mark]
        lists[mark], behind = (start, stop), stop
    parts.append(body[behind:])
    # An escaped quote could make the key a part of a text, and a text of the caller's own be taken for a mark.
    if any(b"\\" in part or b'"@' in part for part in parts[::2]):
        return None
    return b"".join(parts), lists


def _next(body: bytes, mark: bytes, start: int, end: int) -> int:
    """Where it stands from `start` on; the end where it does not."""
    at = body.find(mark, start)
    return end if at < 0 else at


def _opening(body: bytes, at: int) -> int | None:
    """Where the list begins, if a colon and a bracket follow."""
    if body[at : at + 2] == b":[":
        return at + 1
    following = body[at : at + 16].lstrip(_BLANKS)
    if following[:1] != b":" or following[1:].lstrip(_BLANKS)[:1] != b"[":
        return None
    return body.index(b"[", at)


def _reading(dtype: np.dtype[Any]) -> Read | None:
    """How long lists of this dtype are read: (text, start, stop, count) to a flat array, or None where it cannot be.

    The numbers of text[start:stop] stand between commas, without brackets. Floats are those of float64, rounded to the
    dtype. The reading itself is None where there is no simdjson, or the dtype is no number.
    """
    of = parser_type()
    kind = {"f": "d", "i": "i", "u": "u"}.get(dtype.kind)
    if of is None or kind is None:
        return None
    limits: Any
    wide = np.dtype({"d": np.float64, "i": np.int64, "u": np.uint64}[kind])
    limits = None if dtype == wide else np.finfo(dtype) if kind == "d" else np.iinfo(dtype)
    parser = of()

    def read(text: bytes, start: int, stop: int, count: int) -> Array | None:
        found: Array = np.empty(count, dtype)
        done = 0
        while start <= stop:
            end = text.find(b",", min(start + _BLOCK, stop), stop)
            end = stop if end < 0 else end
            try:
                values = np.frombuffer(parser.parse(b"[%b]" % text[start:end]).as_buffer(of_type=kind), wide)
            except (ValueError, TypeError, RuntimeError):
                return None
            more = done + len(values)
            # A list inside would be made flat without a word; a comma too many leaves a block empty.
            if more > count or not len(values) or text.find(b"[", start, end) >= 0:
                return None
            if limits is not None and not limits.min <= values.min() <= values.max() <= limits.max:
                return None
            found[done:more] = values
            done, start = more, end + 1
        return found if done == count else None

    return read
