"""TensorProto: name, dtype and dims of a tensor; its values only when asked for, its external data never."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from itertools import islice

from onnxpress.core.onnx_graph.wire import Buffer, damaged, fields, packed_floats, packed_ints, signed, text

FLOAT, INT32, INT64, STRING, BOOL, DOUBLE = 1, 6, 7, 8, 9, 11
DTYPES = {
    1: "float32", 2: "uint8", 3: "int8", 4: "uint16", 5: "int16", 6: "int32", 7: "int64", 8: "string", 9: "bool",
    10: "float16", 11: "float64", 12: "uint32", 13: "uint64", 16: "bfloat16",
}  # fmt: skip
"""onnx.TensorProto.DataType → dtype, for those that requests and answers can carry"""

_RAW = {1: "f", 2: "B", 3: "b", 4: "H", 5: "h", 6: "i", 7: "q", 9: "?", 10: "e", 11: "d", 12: "I", 13: "Q"}
"""data type → struct's letter of one value in raw_data"""
_LISTED = {1: 4, 2: 5, 3: 5, 4: 5, 5: 5, 6: 5, 7: 7, 8: 6, 9: 5, 11: 10, 12: 11, 13: 11}
"""data type → the field that lists its values one by one"""


class Tensor:
    """One TensorProto. `location` is the file that holds its data, None where that is in the model itself.

    `dims` are as written: a negative or absurd size is for whoever uses it to refuse.
    """

    __slots__ = ("_data", "_span", "dims", "locations", "name", "raw", "type")

    def __init__(self, data: Buffer, at: int, end: int) -> None:
        self._data, self._span = data, (at, end)
        self.name = ""
        self.type = 0
        self.dims: tuple[int, ...] = ()
        self.raw: tuple[int, int] | None = None
        """where raw_data begins and ends"""
        self.locations: tuple[str, ...] = ()
        """every place that its external data is said to lie in; a sound file names one"""
        dims: list[int] = []
        for key, a, b in fields(data, at, end):
            if key == 8:  # dims = 1, one by one
                dims.append(signed(a))
            elif key == 10:  # dims, packed
                dims.extend(packed_ints(data, a, b))
            elif key == 16:  # data_type = 2
                self.type = a & 0xFFFFFFFF
            elif key == 66:  # name = 8
                self.name = text(data, a, b)
            elif key == 74:  # raw_data = 9
                self.raw = (a, b)
            elif key == 106:  # external_data = 13
                self._external(a, b)
        self.dims = tuple(dims)

    def _external(self, at: int, end: int) -> None:
        entry = {key: text(self._data, a, b) for key, a, b in fields(self._data, at, end) if key in (10, 18)}
        if entry.get(10) == "location":
            self.locations += (entry.get(18, ""),)

    @property
    def size(self) -> int:
        """The number of values that the dims promise."""
        count = 1
        for dim in self.dims:
            count *= dim
        return count

    def values(self, most: int) -> tuple[float | int | bool | str, ...] | None:
        """The values in order; None where there are more than `most`, none in this file, or of a type not read here.

        Raises BadModel where there are fewer or more than the dims say.
        """
        if self.locations or not 0 <= self.size <= most:
            return None
        found = self._listed(most) if self.raw is None else self._raw(*self.raw)
        if found is not None and len(found) != self.size:
            raise damaged(f"the tensor {self.name!r} has {len(found)} values, its dims say {self.size}")
        return found

    def _raw(self, start: int, end: int) -> tuple[float | int | bool, ...] | None:
        letter = _RAW.get(self.type)
        if letter is None:
            return None
        width = struct.calcsize(f"<{letter}")
        if end - start != width * self.size:
            raise damaged(f"the tensor {self.name!r} has {end - start} bytes, its dims say {width * self.size}")
        return struct.unpack(f"<{self.size}{letter}", self._data[start:end])

    def _listed(self, most: int) -> tuple[float | int | bool | str, ...] | None:
        field = _LISTED.get(self.type)
        if field is None:
            return None
        found = tuple(islice(self._each(field, most), most + 1))
        return tuple(map(bool, found)) if self.type == BOOL else found

    def _each(self, field: int, most: int) -> Iterator[float | int | str]:
        data = self._data
        for key, a, b in fields(data, *self._span):
            if key >> 3 != field:
                continue
            kind = key & 7
            if kind == 0:
                yield signed(a)
            elif field == 6:
                yield text(data, a, b)
            elif field in (4, 10):
                width = 4 if field == 4 else 8
                if b - a > width * most:
                    raise damaged(f"the tensor {self.name!r} has more values than its dims say")
                yield from packed_floats(data, a, b, "f" if field == 4 else "d")
            else:
                yield from packed_ints(data, a, b)
