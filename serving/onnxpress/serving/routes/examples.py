"""Examples of a version from its golden samples: a question, and what the reference answered."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from onnxpress.core import golden
from onnxpress.core.arrays import Array
from onnxpress.core.errors import CorruptVersion
from onnxpress.core.tensors import TensorSpec
from onnxpress.serving.engine.signature import share_rows
from onnxpress.serving.models.served import Served

_MOST_VALUES = 4096
"""of an example; a longer one helps nobody who reads the document"""
_MOST_BYTES = 8 << 20
"""of a file of golden samples that is read for one"""


class Example(msgspec.Struct, frozen=True):
    """Arrays by the names of inputs and of outputs."""

    inputs: dict[str, Array]
    outputs: dict[str, Array]


def of(served: Served, most_values: int = _MOST_VALUES) -> Example | None:
    """One row of the first golden sample, or all of it where rows do not stand alone. None where it would be longer.

    Reads a file: not on the event loop's thread.
    """
    path: Path = served.path.parent / golden.FILE_NAME
    engine = served.engine
    if engine.manifest is None or not path.is_file() or path.stat().st_size > _MOST_BYTES:
        return None
    try:
        case = golden.read(path)[0]
    except (CorruptVersion, IndexError, OSError):  # replaced meanwhile: the server's own checks say so
        return None
    try:
        inputs = {spec.name: case.inputs[spec.name] for spec in engine.inputs}
        outputs = {spec.name: case.outputs[spec.name] for spec in engine.outputs}
    except KeyError:
        return None
    if engine.rows.apart and share_rows(engine.inputs, engine.outputs):
        inputs, outputs = ({name: array[:1] for name, array in part.items()} for part in (inputs, outputs))
    if sum(array.size for part in (inputs, outputs) for array in part.values()) > most_values:
        return None
    return Example(inputs, outputs)


def listed(array: Array) -> Any:
    """The array as JSON has it: lists in lists, null for what is no number."""
    if array.dtype.kind not in "fV":
        return array.tolist()
    values = (array if array.dtype.kind == "f" else array.astype(np.float64)).astype(object)
    values[~np.isfinite(array.astype(np.float64))] = None
    return values.tolist()


def flat(array: Array) -> list[Any]:
    """The values in order, as JSON has them."""
    found: list[Any] = listed(array.ravel())
    return found


def finite(example: Example, specs: tuple[TensorSpec, ...]) -> bool:
    """Whether every value of these inputs is a number, or no float at all."""
    return all(None not in flat(example.inputs[spec.name]) for spec in specs)
