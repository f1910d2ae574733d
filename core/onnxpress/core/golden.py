"""`golden.npz`: stored inputs with the reference's outputs and their noise floors, replayed wherever the model loads.

A plain numpy archive without pickle. Entries are `<case>/input/<name>`, `<case>/output/<name>` and
`<case>/floor/<name>`; a floor has the output's shape and dtype float64, in the output's own units.
"""

from __future__ import annotations

import io
import math
import re
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import IO, BinaryIO

import msgspec
import numpy as np

from onnxpress.core.arrays import Array
from onnxpress.core.errors import BadData, CorruptVersion
from onnxpress.core.files import open_regular

FILE_NAME = "golden.npz"
LIMIT = 10.0
"""accepted multiple of the noise floor, of an export and of a ported run; docs/adr/0002-limits-of-equivalence.md"""
MOST_BYTES = 256 << 20
"""of the file, and of all arrays in it; export chooses some of 256 KiB, and a larger one where there is no other"""
_DIRECTORY_BYTES = 1 << 20
_HEADER_BYTES = 4096
_PIECE = 1 << 18
_MOST_AXES = 32
_MESSAGE = 200
_ENTRY = re.compile(r"([0-9]{1,6})/(input|output|floor)/(.+)\.npy", re.DOTALL)
_HEADER = re.compile(
    rb"\{'descr': '([<>|=]?[a-zA-Z?][0-9]{0,9})', 'fortran_order': (True|False), 'shape': \(([0-9, ]*)\), \} *\n"
)


class Golden(msgspec.Struct, frozen=True):
    """One case: what went in, what the reference answered, and how far that answer is from the truth (1 floor)."""

    inputs: dict[str, Array]
    outputs: dict[str, Array]
    floors: dict[str, Array] = {}


def write(path: Path, cases: Sequence[Golden]) -> None:
    """Write the cases, compressed. Strings are stored as fixed-width Unicode, so no pickle is needed to read them.

    Raises BadData for what this form cannot hold: a string that ends in NUL, an object that is no string, or too much.
    """
    entries: dict[str, Array] = {}
    for number, case in enumerate(cases):
        for kind, tensors in (("input", case.inputs), ("output", case.outputs), ("floor", case.floors)):
            for name, value in tensors.items():
                key = f"{number}/{kind}/{name}"
                entries[key] = _as_unicode(value, key) if value.dtype == object else value
    size = sum(value.nbytes for value in entries.values())
    if size > MOST_BYTES // 2:
        raise BadData(f"golden samples of {size} bytes are more than is read again", where=str(path))
    np.savez_compressed(path, allow_pickle=False, **entries)


def _as_unicode(value: Array, key: str) -> Array:
    stored = value.astype(np.str_)
    changed = stored.astype(object) != value
    if bool(np.any(changed)):
        raise BadData(f"cannot store the string {value[changed][0]!r} as a golden sample", where=key)
    return stored


def read(path: Path) -> list[Golden]:
    """Read the cases back. Raises CorruptVersion where the file is torn, too large or holds something else.

    Nothing is taken from what the file says of itself before it is held against the bytes that are there.
    """
    try:
        with open_regular(path, MOST_BYTES) as file:
            return _cases(file)
    # Whatever the archive makes zipfile, zlib or numpy raise: none of it is more than a version that cannot be used.
    except Exception as error:
        why = str(error) or type(error).__name__
        raise CorruptVersion(f"the golden samples cannot be read: {why[:_MESSAGE]}", where=str(path)) from None


def _cases(file: BinaryIO) -> list[Golden]:
    _require_small_directory(file)
    cases: dict[int, Golden] = {}
    with zipfile.ZipFile(file) as archive:
        entries = archive.infolist()
        if sum(entry.file_size for entry in entries) > MOST_BYTES:
            raise ValueError(f"unpacked they have more than {MOST_BYTES} bytes")
        for entry in entries:
            match = _ENTRY.fullmatch(entry.filename)
            if match is None:
                raise ValueError(f"{entry.filename[:_MESSAGE]!r} is no entry of golden samples")
            if entry.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
                raise ValueError(f"{entry.filename!r} is compressed in another way than deflate")
            case = cases.setdefault(int(match[1]), Golden({}, {}, {}))
            kind = {"input": case.inputs, "output": case.outputs, "floor": case.floors}[match[2]]
            if match[3] in kind:
                raise ValueError(f"{entry.filename!r} is there twice")
            with archive.open(entry) as stream:
                kind[match[3]] = _array(stream, entry)
    for number, case in cases.items():
        _require_floors(number, case)
    return [cases[number] for number in sorted(cases)]


def _require_small_directory(file: BinaryIO) -> None:
    """A zip's directory is read whole, and its length is told at the file's end."""
    file.seek(0, io.SEEK_END)
    file.seek(-min(file.tell(), 22 + 0xFFFF), io.SEEK_END)
    tail = file.read()
    at = tail.rfind(b"PK\5\6")
    if at >= 0 and (int.from_bytes(tail[at + 12 : at + 16], "little") > _DIRECTORY_BYTES or b"PK\6\7" in tail):
        raise ValueError("there are more entries than golden samples have")
    file.seek(0)


def _array(stream: IO[bytes], entry: zipfile.ZipInfo) -> Array:
    """One entry in numpy's form; strings of fixed width become objects."""
    magic = stream.read(8)
    width = {b"\x01": 2, b"\x02": 4, b"\x03": 4}.get(magic[6:7])
    if magic[:6] != b"\x93NUMPY" or width is None:
        raise ValueError(f"{entry.filename!r} is no array of numpy's")
    length = int.from_bytes(stream.read(width), "little")
    header = stream.read(min(length, _HEADER_BYTES))
    match = _HEADER.fullmatch(header)
    if length > _HEADER_BYTES or match is None:
        raise ValueError(f"the header of {entry.filename!r} is not what numpy writes for a plain array")
    dtype = np.dtype(match[1].decode())
    shape = tuple(int(size) for size in match[3].replace(b" ", b"").split(b",") if size)
    size = dtype.itemsize * math.prod(shape)
    if dtype.hasobject or dtype.kind not in "biufUV" or len(shape) > _MOST_AXES:
        raise ValueError(f"{entry.filename!r} holds {dtype}, which no tensor has")
    if size != entry.file_size - 8 - width - length:
        raise ValueError(f"{entry.filename!r} has {entry.file_size} bytes, its header says {size} of values")
    content = bytearray(size)
    view, at = memoryview(content), 0
    # In pieces: while bytes are copied no other thread has its turn, and a server answers beside this.
    while at < size:
        read = stream.readinto(view[at : at + _PIECE])  # type: ignore[attr-defined]  # zipfile's own has it
        if not read:
            raise ValueError(f"{entry.filename!r} is cut off")
        at += read
    if stream.read(1):  # at its end the checksum is held against it
        raise ValueError(f"{entry.filename!r} has more than its header says")
    value = np.frombuffer(content, dtype).reshape(shape, order="F" if match[2] == b"True" else "C")
    return value.astype(object) if dtype.kind == "U" else value


def _require_floors(number: int, case: Golden) -> None:
    for name, floor in case.floors.items():
        output = case.outputs.get(name)
        if output is None or floor.shape != output.shape or floor.dtype.kind != "f":
            raise ValueError(f"case {number}: the floor of {name!r} is not one number for each of its values")


def worst_multiple(case: Golden, answers: dict[str, Array]) -> dict[str, float]:
    """Per output, the largest |answer - reference| in noise floors; inf where dtype, shape or a value's kind differs.

    Numbers are compared in float64. NaN equals NaN and an infinity equals itself. Integers, booleans and strings must
    be equal (0 or inf), unless the case has a floor for them, where 1 marks an element that may differ (a near-tie).
    An element whose floor is infinite may be anything: the reference itself overflowed there.
    """
    return {
        name: _multiple(expected, answers.get(name), case.floors.get(name)) for name, expected in case.outputs.items()
    }


def _multiple(expected: Array, answer: Array | None, floor: Array | None) -> float:
    each = multiples(expected, answer, floor)
    return float("inf") if each is None else float(each.max(initial=0.0))


def multiples(expected: Array, answer: Array | None, floor: Array | None) -> Array | None:
    """As `worst_multiple`, for every element of one output; None where dtype or shape differ."""
    if answer is None or answer.shape != expected.shape or answer.dtype != expected.dtype:
        return None
    if expected.dtype.kind not in "fV":
        differs = np.asarray(answer != expected)
        return np.where(differs if floor is None else differs & (floor == 0), np.inf, 0.0)
    reference, value = expected.astype(np.float64), answer.astype(np.float64)
    same = (reference == value) | (np.isnan(reference) & np.isnan(value))
    with np.errstate(invalid="ignore", divide="ignore"):
        error = np.where(same, 0.0, np.abs(value - reference))
        unit = np.zeros_like(error) if floor is None else floor
        ratio = np.where(same | np.isinf(unit), 0.0, error / unit)
    result: Array = np.where(np.isnan(ratio), np.inf, ratio)
    return result
