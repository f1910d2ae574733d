"""The arrays of one run: every input's values, one request after the other, converted in one go."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import chain
from typing import Any

import msgspec
import numpy as np

from onnxpress.core import domains
from onnxpress.core.arrays import Array
from onnxpress.core.tensors import TensorSpec
from onnxpress.serving.engine.dtypes import array_dtype
from onnxpress.serving.protocol.datatypes import DATATYPE_OF
from onnxpress.serving.protocol.inputs import Inputs
from onnxpress.serving.protocol.numbers import JOINED, Floats
from onnxpress.serving.protocol.refusal import Refusal
from onnxpress.serving.protocol.tensor_data import NOT_JSON, flat_carefully, unnested
from onnxpress.serving.protocol.wire import AnyTensor

_MANY = 64
"""floats from which on the way through MessagePack is quicker than numpy's own from a list: 5 ns against 14 for each"""
_BIG_ENDIAN = np.dtype(">f8")
_pack = msgspec.msgpack.Encoder().encode


def flat_values(spec: TensorSpec, decode: Callable[[Any], list[Any]], tensor: AnyTensor, count: int) -> list[Any]:
    """The `count` values of a tensor in JSON: flat data in one typed pass, anything else carefully. Raises Refusal."""
    if not memoryview(tensor.data).nbytes:
        raise Refusal(400, f"the input {tensor.name!r} has no data, neither as JSON nor as binary_data_size")
    try:
        flat = decode(tensor.data)
    except NOT_JSON:
        try:
            flat = decode(unnested(spec, tensor.data, tensor.shape))
        except NOT_JSON:
            flat = flat_carefully(spec, tensor.data, tensor.shape)
    if len(flat) != count:
        name, shape = tensor.name, tensor.shape
        raise Refusal(400, f"the input {name!r} has {len(flat)} values; its shape {shape} wants {count}")
    return flat


class RunArrays:
    """For the inputs of one model, in order. `lists` decode a JSON list of the values of each."""

    def __init__(self, specs: Sequence[TensorSpec], lists: Sequence[Callable[[bytes], list[Any]]]) -> None:
        self._specs, self._lists = tuple(specs), lists
        self._dtypes = [(spec.name, np.dtype(array_dtype(spec.dtype))) for spec in specs]
        self._guarded = [spec for spec in specs if domains.guarded(spec)]
        self._floats: Floats | None = None  # made when first needed, which loads simdjson

    def feeds(self, batch: Sequence[Inputs]) -> dict[str, Array]:
        """The arrays of one run: the rows of every request one after the other. Raises Refusal where a value is off.

        A value is off where it is no number, or its input's signature refuses it.

        Numbers beyond the dtype's range are refused where numpy raises on overflow; see `strictness.strict`.
        """
        feeds = {}
        first = batch[0]
        for number, (name, _) in enumerate(self._dtypes):
            shape, flat = first.shapes[number], first.values[number]
            if len(batch) > 1:
                # One conversion for the whole batch.
                parts = [inputs.values[number] for inputs in batch]
                if isinstance(flat, np.ndarray | memoryview):
                    flat = self._together(number, parts)
                else:
                    flat = self._joined(number, parts)
                shape = [sum([inputs.rows for inputs in batch]), *shape[1:]]
            elif type(flat) is bytes:
                array = self._floats_of(number, flat)
                flat = self._values(number, flat) if array is None else array
            elif type(flat) is memoryview:
                flat = self._of_bytes(number, flat)
            feeds[name] = self.array(number, flat).reshape(shape)
        if self._guarded:
            self._refuse_values(feeds)
        if first.overrides is not None:  # then it is alone
            feeds.update(first.overrides)
        return feeds

    def _refuse_values(self, feeds: dict[str, Array]) -> None:
        """Raise Refusal for a value that an input's signature refuses, in whatever form it came."""
        for spec in self._guarded:
            what = domains.refused(spec, feeds[spec.name])
            if what:
                raise Refusal(400, what)

    def _of_bytes(self, number: int, content: memoryview) -> Array:
        """Values that came as bytes, as they lie in an array."""
        dtype = self._dtypes[number][1]
        values: Array = np.frombuffer(content, dtype)
        return values if values.flags.aligned else np.frombuffer(bytes(content), dtype)

    def _together(self, number: int, parts: list[Any]) -> Array:
        """The values of one input of several requests, which are arrays, or bytes still."""
        for part in parts:
            if type(part) is not memoryview:
                arrays = [self._of_bytes(number, one) if type(one) is memoryview else one for one in parts]
                return np.concatenate(arrays)
        return np.frombuffer(b"".join(parts), self._dtypes[number][1])

    def _joined(self, number: int, parts: list[Any]) -> Any:
        """The values of one input of several requests, one request's after the other's: a list, or a flat array."""
        try:
            # Each text has its number of commas, so if all of it together is a list of numbers, each is its part of it.
            text = b",".join(parts)
            array = self._floats_of(number, text)
            return self._lists[number](b"[%b]" % text) if array is None else array
        except (TypeError, *NOT_JSON):  # lists among them, or nulls, or no numbers
            values = [self._values(number, part) if type(part) is bytes else part for part in parts]
            return list(chain.from_iterable(values))

    def _floats_of(self, number: int, text: bytes) -> Array | None:
        """The numbers of a list by simdjson; None where that is not quicker, or it takes them for no plain floats."""
        if len(text) < JOINED or self._dtypes[number][1].kind != "f":
            return None
        if self._floats is None:
            self._floats = Floats()
        array = self._floats.read(text)
        # Blanks are no value, and have no comma either.
        return array if array is not None and len(array) == text.count(b",") + 1 else None

    def _values(self, number: int, text: bytes) -> list[Any]:
        """The values of one request that was only cut. Raises Refusal where they are not as many as its commas say."""
        count, text = text.count(b",") + 1, b"[%b]" % text
        try:
            values: list[Any] = self._lists[number](text)
        except NOT_JSON:
            values = flat_carefully(self._specs[number], msgspec.Raw(text), [count])
        if len(values) != count:
            raise Refusal(
                400, f"the input {self._dtypes[number][0]!r} has {len(values)} values; its shape wants {count}"
            )
        return values

    def array(self, number: int, flat: Any) -> Array:
        """One input's values as its array. Raises Refusal where they do not fit."""
        name, dtype = self._dtypes[number]
        try:
            if dtype.kind == "f" and type(flat) is list and len(flat) >= _MANY:
                # In MessagePack a float64 is a mark and eight bytes; a None is one byte.
                packed = _pack(flat)
                head = len(packed) - 9 * len(flat)
                if head > 0:
                    return np.ndarray((len(flat),), _BIG_ENDIAN, packed, head + 1, (9,)).astype(dtype)
            return np.asarray(flat, dtype)
        except (OverflowError, FloatingPointError, ValueError, TypeError) as error:
            datatype = DATATYPE_OF[self._specs[number].dtype]
            raise Refusal(400, f"the data of {name!r} do not fit {datatype}: {error}") from None
