"""`golden.npz`: stored inputs with the reference's outputs and their noise floors, replayed wherever the model loads.

A plain numpy archive without pickle. Entries are `<case>/input/<name>`, `<case>/output/<name>` and
`<case>/floor/<name>`; a floor has the output's shape and dtype float64, in the output's own units.
"""

from __future__ import annotations

import zipfile
import zlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from onnxpress.core.arrays import Array
from onnxpress.core.errors import BadData, CorruptVersion

FILE_NAME = "golden.npz"
LIMIT = 10.0
"""accepted multiple of the noise floor, of an export and of a ported run; docs/adr/0002-limits-of-equivalence.md"""


@dataclass(frozen=True)
class Golden:
    """One case: what went in, what the reference answered, and how far that answer is from the truth (1 floor)."""

    inputs: dict[str, Array]
    outputs: dict[str, Array]
    floors: dict[str, Array] = field(default_factory=dict)


def write(path: Path, cases: Sequence[Golden]) -> None:
    """Write the cases, compressed. Strings are stored as fixed-width Unicode, so no pickle is needed to read them.

    Raises BadData for what this form cannot hold: a string that ends in NUL, or an object that is no string.
    """
    entries: dict[str, Array] = {}
    for number, case in enumerate(cases):
        for kind, tensors in (("input", case.inputs), ("output", case.outputs), ("floor", case.floors)):
            for name, value in tensors.items():
                key = f"{number}/{kind}/{name}"
                entries[key] = _as_unicode(value, key) if value.dtype == object else value
    np.savez_compressed(path, allow_pickle=False, **entries)


def _as_unicode(value: Array, key: str) -> Array:
    stored = value.astype(np.str_)
    changed = stored.astype(object) != value
    if bool(np.any(changed)):
        raise BadData(f"cannot store the string {value[changed][0]!r} as a golden sample", where=key)
    return stored


def read(path: Path) -> list[Golden]:
    """Read the cases back. Raises CorruptVersion if the archive is torn or holds something else."""
    cases: dict[int, Golden] = {}
    try:
        # Opened here: np.load leaves a file open that it cannot read.
        with path.open("rb") as file, np.lib.npyio.NpzFile(file, allow_pickle=False) as archive:
            for key in archive.files:
                number, kind, name = key.split("/", 2)
                case = cases.setdefault(int(number), Golden({}, {}, {}))
                value = archive[key]
                value = value.astype(object) if value.dtype.kind == "U" else value
                {"input": case.inputs, "output": case.outputs, "floor": case.floors}[kind][name] = value
    except (OSError, ValueError, KeyError, EOFError, RuntimeError, zipfile.BadZipFile, zlib.error) as error:
        raise CorruptVersion(f"the golden samples cannot be read: {error}", where=str(path)) from None
    return [cases[number] for number in sorted(cases)]


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
