"""The values of large JSON lists, block by block: memory is the arrays', and other threads have their turn in between.

A decoder in C holds Python's lock until it is done: for seconds, where a list has tens of megabytes. It makes an object
of each number, too, ten times what came. So a list is cut at commas, and each block becomes a piece of the array before
the next one is looked at.

Numbers are cut by what stands between them: brackets and commas must be those that the shape says, wherever a block
begins and ends. Everything else is cut where what is before a comma can be read, which is so outside of strings and
nested lists alone.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any

import msgspec
import numpy as np

from onnxpress.core.arrays import Array
from onnxpress.core.tensors import FLOATS, TensorSpec
from onnxpress.serving.engine.dtypes import array_dtype
from onnxpress.serving.protocol.numbers import Floats
from onnxpress.serving.protocol.refusal import Refusal
from onnxpress.serving.protocol.tensor_data import NO_BRACKETS, NOT_JSON, NUMERALS, flat_carefully, flat_of

_BLOCK = 32 << 10
"""bytes; a third of a millisecond"""
_TRIES = 3
"""commas of each kind that are tried for the end of a block, before a longer one is"""
_OPENING, _CLOSING = b"[]"
_BLANKS = b" \t\r\n"
_decode = msgspec.json.decode

Convert = Callable[[Any], Array]
"""a flat list of values, as JSON has them, or an array of float64 to an array of the dtype; raises Refusal"""


class Lists:
    """Reads the large lists of one model's inputs; of one thread at a time.

    `decode` reads a flat list of the values that are usual in each input's dtype, and `convert` makes arrays of them.
    """

    def __init__(
        self,
        specs: Sequence[TensorSpec],
        decode: Sequence[Callable[[bytes], list[Any]]],
        convert: Callable[[int, Any], Array],
    ) -> None:
        self._specs, self._decode, self._convert = specs, decode, convert
        self._floats: Floats | None = None  # made when first needed, which loads simdjson

    def read(self, number: int, text: memoryview, shape: list[int]) -> Array:
        """The values of a JSON list for this input, flat. Raises Refusal."""
        if self._floats is None:
            self._floats = Floats()
        spec = self._specs[number]
        floats = self._floats.read if spec.dtype in FLOATS else None
        return array_of(spec, text, shape, self._decode[number], partial(self._convert, number), floats)


def array_of(
    spec: TensorSpec,
    text: memoryview,
    shape: list[int],
    decode: Callable[[bytes], list[Any]],
    convert: Convert,
    floats: Callable[[bytes], Array | None] | None,
) -> Array:
    """The values of a JSON list, flat. `shape` was checked against what came. Raises Refusal saying what is wrong.

    `decode` reads a flat list of the values that are usual in this dtype, `floats` one without its
    brackets where that is quicker, or gives None.
    """
    count = math.prod(shape)
    if spec.dtype != "string" and count:
        try:
            return numbers(spec, text, shape, decode, convert, floats)
        except ValueError:  # what is wrong with it is found by reading it carefully
            pass
    return _carefully(spec, text, shape, convert)


def numbers(
    spec: TensorSpec,
    text: memoryview,
    shape: list[int],
    decode: Callable[[bytes], list[Any]],
    convert: Convert,
    floats: Callable[[bytes], Array | None] | None = None,
) -> Array:
    """The values of a list of numbers (or bools), nested as `shape` says or flat.

    Raises ValueError where brackets and commas are not so, Refusal where a value is no value of the dtype.
    """
    count = math.prod(shape)
    expected = _skeleton(shape if bytes(text[1:4096]).lstrip(_BLANKS)[:1] == b"[" else [count], len(text))
    between = NUMERALS + (b"nul" if spec.dtype in FLOATS else b"truefals" if spec.dtype == "bool" else b"")
    found: Array = np.empty(count, array_dtype(spec.dtype))
    done = at = 0
    for block, last in _blocks(text):
        marks = block.translate(None, between)
        if marks != expected(at, at + len(marks)):
            raise ValueError("the brackets and commas are not as the shape says")
        at += len(marks)
        flat = block.translate(NO_BRACKETS)
        flat, commas = (flat, flat.count(b",")) if last else (flat[:-1], flat.count(b",") - 1)
        array = None if floats is None else floats(flat)
        if array is None or len(array) != commas + 1:
            array = _values(spec, b"[%b]" % flat, decode, convert)
        else:
            array = convert(array)
        more = done + len(array)
        if more > count or len(array) != commas + 1:
            raise ValueError("there are not as many values as commas")
        found[done:more] = array
        done = more
    if done != count:
        raise ValueError("there are too few values")
    return found


def _values(spec: TensorSpec, text: bytes, decode: Callable[[bytes], list[Any]], convert: Convert) -> Array:
    try:
        return convert(decode(text))
    except NOT_JSON:
        return convert(flat_carefully(spec, msgspec.Raw(text), [text.count(b",") + 1]))


def _blocks(text: memoryview) -> Iterator[tuple[bytes, bool]]:
    """The text in blocks, each up to and with a comma but for the last."""
    start, size = 0, _BLOCK
    while start + size < len(text):
        block = bytes(text[start : start + size])
        stop = block.rfind(b",") + 1
        if not stop:  # blanks, or a number of a million digits
            size *= 2
            continue
        yield block[:stop], False
        start, size = start + stop, _BLOCK
    yield bytes(text[start:]), True


def _skeleton(shape: list[int], length: int) -> Callable[[int, int], bytes]:
    """What stands between the numbers of a list of this shape, brackets and commas alone: from one place to another.

    Raises ValueError where a text of that length cannot hold it: what is made here must not be longer than what came.
    """
    row = max(shape[-1] - 1, 0)
    for size in reversed(shape[1:-1]):
        row = size * (row + 2) + size - 1
    if len(shape) > 1:
        row += 2
    if row + 1 > length:
        raise ValueError("the text is shorter than the shape says")
    period = b""
    if len(shape) > 1:
        period = b"[%b]" % (b"," * (shape[-1] - 1))
        for size in reversed(shape[1:-1]):
            period = b"[%b]" % b",".join([period] * size)
    period += b","
    whole = shape[0] * len(period) + 1  # both brackets, and no comma behind the last row

    def between(start: int, stop: int) -> bytes:
        if stop > whole:
            return b""
        opening = b"[" if start == 0 < stop else b""
        closing = b"]" if stop == whole > start else b""
        begin, size = max(start - 1, 0) % len(period), stop - start - len(opening) - len(closing)
        marks = period[begin : begin + size]
        if len(marks) < size:
            marks += (period * ((size - len(marks)) // len(period) + 1))[: size - len(marks)]
        return opening + marks + closing

    return between


def pieces(text: memoryview, decode: Callable[[bytes], Any] = _decode) -> Iterator[list[Any]]:
    """The elements of a JSON list of anything, some at a time. Raises NOT_JSON where it is none."""
    end = len(text) - 1
    if end < 1 or text[0] != _OPENING or text[end] != _CLOSING:
        raise ValueError("it is no list")
    start, size = 1, _BLOCK
    head = bytes(text[1:64]).lstrip(_BLANKS)
    depth = len(head) - len(head.lstrip(b"["))
    # What stands before a comma between two elements, where there is no blank.
    ending = b"]" * depth or {b"{": b"}", b'"': b'"'}.get(head[:1], b"")
    while start + size < end:
        block = bytes(text[start : start + size])
        for cut in _commas(block, ending):
            try:
                found = decode(b"[%b]" % block[:cut])
            except NOT_JSON:
                continue
            yield found
            start, size = start + cut + 1, _BLOCK
            break
        else:
            size *= 2
    rest = bytes(text[start:end])
    if start > 1 and not rest.strip(_BLANKS):
        raise ValueError("nothing follows the last comma")
    yield decode(b"[%b]" % rest)


def joined(spec: TensorSpec, parts: Sequence[Array]) -> Array:
    """The rows of the pieces, one after the other. Raises Refusal where their rows differ in shape."""
    if len({part.shape[1:] for part in parts}) > 1:
        raise Refusal(400, f"the values of {spec.name!r} make no {spec.dtype} tensor: its lists differ in length")
    return np.concatenate(parts)


def _commas(block: bytes, ending: bytes) -> Iterator[int]:
    """Places of commas behind which the next element may begin, from the last one; only few, since each is tried."""
    for before in dict.fromkeys((ending, b"")):
        at = len(block)
        for _ in range(_TRIES):
            at = block.rfind(before + b",", 0, at)
            if at < 0:
                break
            yield at + len(before)


def _carefully(spec: TensorSpec, text: memoryview, shape: list[int], convert: Convert) -> Array:
    """As `flat_carefully`, whose words these are, by pieces."""
    arrays, rows, done, nested, count = [], 0, 0, None, math.prod(shape)
    try:
        for piece in pieces(text):
            rows += len(piece)
            lists = any(isinstance(item, list) for item in piece)
            if nested is None:
                nested = lists
            if nested != lists or (nested and rows > shape[0]):
                raise Refusal(400, f"the nested data of {spec.name!r} do not have the shape {shape}")
            arrays.append(convert(flat_of(spec, piece, [len(piece), *shape[1:]])))
            done += arrays[-1].size
            if done > count:
                raise Refusal(
                    400, f"the input {spec.name!r} has {done} values or more; its shape {shape} wants {count}"
                )
    except NOT_JSON as error:
        raise Refusal(400, f"the data of {spec.name!r} are not JSON: {error}") from None
    if nested and rows != shape[0]:
        raise Refusal(400, f"the nested data of {spec.name!r} do not have the shape {shape}")
    if done != count:
        raise Refusal(400, f"the input {spec.name!r} has {done} values; its shape {shape} wants {count}")
    return np.concatenate(arrays)
