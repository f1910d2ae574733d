"""The version that others are derived from: its files checked, its graph, its engine, its answers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from onnxpress.core import golden
from onnxpress.core.arrays import Array
from onnxpress.core.errors import BadData, BadModel, UsageError
from onnxpress.core.manifest import Manifest
from onnxpress.core.optional import require
from onnxpress.core.tensors import bind_dimensions
from onnxpress.core.version_folder import check_files, locate, locate_one, read_manifest
from onnxpress.serving.engine import Engine

if TYPE_CHECKING:
    import onnx

CHUNK = 64
"""rows of a run, where rows may be run together"""
_MOST_BYTES = 1 << 31
"""of a graph with its weights: what one message may hold"""


@dataclass(frozen=True, eq=False)
class Parent:
    """A published version that was measured equivalent."""

    path: Path
    repository: Path
    name: str
    version: int
    manifest: Manifest
    graph: onnx.ModelProto
    """with its weights"""
    engine: Engine
    floors: Mapping[str, float]
    """output → its largest noise floor on the golden samples"""
    goldens: Sequence[golden.Golden]

    @property
    def bytes(self) -> int:
        """Of the model file and the weights beside it."""
        return sum(one.size for name, one in self.manifest.files.items() if name.startswith(self.path.name))


def read(model: Path) -> Parent:
    """The latest version under `model`, or the one that it names; where the latest is derived itself, what of.

    Raises BadModel where it has no manifest, was refused, or is derived itself; the self-test's errors besides.
    """
    require("onnx", needed_by="deriving a version")
    import onnx

    name, version, path = locate_one(model)
    manifest = read_manifest(path.parent)
    if manifest is not None and manifest.derived_from is not None:
        made_of, numbered = manifest.derived_from.version, locate(model).models[name]
        if made_of in numbered and len(numbered) > 1:  # the model was named, not this version of it
            version, path = made_of, numbered[made_of]
            manifest = read_manifest(path.parent)
    if manifest is None:
        raise BadModel(
            "there is no manifest: what it is and how exact it is was never measured",
            where=str(path),
            hint="publish it first: onnxpress export, then derive from the version that it writes",
        )
    check_files(path.parent, manifest)
    if manifest.derived_from is not None:
        raise BadModel(
            f"it is derived itself, from version {manifest.derived_from.version}",
            where=str(path.parent),
            hint=f"derive from {path.parent.parent / str(manifest.derived_from.version)}: errors would add up unseen",
        )
    if not manifest.equivalence.equivalent:
        raise BadModel("its export was refused, so there is nothing sound to derive from", where=str(path.parent))
    graph = onnx.load(path)
    if sum(len(tensor.raw_data) for tensor in graph.graph.initializer) > _MOST_BYTES:
        raise BadModel("its weights are more than 2 GiB, which is more than can be rewritten", where=str(path))
    engine = Engine.load(path)
    goldens = golden.read(path.parent / golden.FILE_NAME)
    floors: dict[str, float] = {}
    for case in goldens:
        for output, floor in case.floors.items():
            finite = floor[np.isfinite(floor)]
            floors[output] = max(floors.get(output, 0.0), float(finite.max(initial=0.0)))
    return Parent(path, path.parent.parent.parent, name, version, manifest, graph, engine, floors, goldens)


def check_rows(parent: Parent, rows: Mapping[str, Array], where: str) -> dict[str, Array]:
    """The rows of every input, in its own dtype. Raises UsageError for names that are wrong, BadData for values."""
    specs = {spec.name: spec for spec in parent.engine.inputs}
    if absent := [name for name in specs if name not in rows]:
        raise UsageError(
            f"there are no rows of {absent[0]!r}; there are: {', '.join(rows)}",
            where=where,
            hint=f"save one array per input, rows first: {', '.join(map(str, specs.values()))}",
        )
    # How many rows there are is no question of the model's: one that takes a single row is asked row by row.
    firsts = {name: [one if isinstance(one, int) else 1 for one in spec.shape[:1]] for name, spec in specs.items()}
    try:
        bind_dimensions(list(specs.values()), [[*first, *rows[name].shape[1:]] for name, first in firsts.items()])
    except ValueError as error:
        raise BadData(f"the rows do not fit: {error}", where=where) from None
    found = {}
    for name, spec in specs.items():
        value = rows[name]
        words = value.dtype.kind in "OUS"
        if words != (spec.dtype == "string"):
            kind = "words" if words else str(value.dtype)
            raise BadData(f"the rows of {name!r} are {kind}, it takes {spec.dtype}", where=where)
        if not words and str(value.dtype) != spec.dtype:
            converted = value.astype(spec.dtype)
            if not np.allclose(converted, value, rtol=1e-6, equal_nan=True):
                raise BadData(f"the rows of {name!r} are {value.dtype}, it takes {spec.dtype}", where=where)
            value = converted
        found[name] = value
    return found


def answers(engine: Engine, rows: Mapping[str, Array], *, together: bool) -> dict[str, Array]:
    """Output name → answers to all rows. `together` says that rows may share a run; else each is asked alone."""
    count, size = len(next(iter(rows.values()))), CHUNK if together else 1
    parts = [
        engine.run({name: value[start : start + size] for name, value in rows.items()})
        for start in range(0, count, size)
    ]
    found = {}
    for name in parts[0]:
        shapes = {part[name].shape[1:] for part in parts if part[name].ndim}
        if len(shapes) != 1 or sum(len(part[name]) for part in parts) != count:
            raise BadData(f"the output {name!r} has not one row of one size for each row asked", where=engine.name)
        found[name] = np.concatenate([part[name] for part in parts])
    return found
