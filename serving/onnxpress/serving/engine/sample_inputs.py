"""Inputs to run a model with when nobody asks: its golden samples, or made up from its signature."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from time import perf_counter

import numpy as np

from onnxpress.core.arrays import Array
from onnxpress.core.errors import BadData
from onnxpress.core.tensors import FLOATS, TensorSpec
from onnxpress.serving.engine.dtypes import array_dtype
from onnxpress.serving.engine.engine import Engine

_RUNS = 3


def inputs(engine: Engine, model: Path, sizes: Mapping[str, int] | None = None) -> dict[str, Array]:
    """A golden sample's inputs, or random floats, zeros and empty strings with `sizes` for named dimensions (else 1).

    Raises CorruptVersion where the samples cannot be read.
    """
    from onnxpress.core import golden

    path = model.parent / golden.FILE_NAME
    if engine.manifest is not None and path.exists():
        cases = golden.read(path)
        if cases:
            return cases[0].inputs
    return {spec.name: _made_up(spec, sizes or {}) for spec in engine.inputs}


def with_rows(feeds: Mapping[str, Array], rows: int) -> dict[str, Array]:
    """The same inputs repeated, or cut, to so many rows. Raises BadData where there is none to repeat."""
    if any(not len(value) for value in feeds.values()):
        raise BadData("the golden sample has no rows")
    return {name: np.resize(value, (rows, *value.shape[1:])) for name, value in feeds.items()}


def warm_up(engine: Engine, model: Path, rows: Sequence[int]) -> None:
    """Run with each number of rows once: a GPU searches for its kernels, for seconds, at the first sight of a shape.

    From the first and the last of them the engine learns what a run takes, and what each value adds to it: on a GPU
    a run of one row is not a sixty-fourth of one of 64. Raises BadData where the model cannot answer.
    """
    feeds = inputs(engine, model)
    for count in rows:
        engine.run(with_rows(feeds, count))
    few, many = (with_rows(feeds, end(rows)) for end in (min, max))
    less, more = _values(few), _values(many)
    if more > less:
        short, long = _quickest(engine, few), _quickest(engine, many)
        engine.seconds_per_value = max(long - short, 0.0) / (more - less)
        engine.seconds_of_a_run = max(short - engine.seconds_per_value * less, 0.0)


def _values(batch: Mapping[str, Array]) -> int:
    return sum(value.size for value in batch.values())


def _quickest(engine: Engine, batch: dict[str, Array]) -> float:
    """Seconds of the quickest of a few runs: other work only makes one longer."""
    took = []
    for _ in range(_RUNS):
        started = perf_counter()
        engine.run(batch)
        took.append(perf_counter() - started)
    return min(took)


def _made_up(spec: TensorSpec, sizes: Mapping[str, int]) -> Array:
    shape = [size if isinstance(size, int) else sizes.get(size, 1) for size in spec.shape]
    if spec.dtype in FLOATS:
        drawn: Array = np.random.default_rng(0).standard_normal(shape).astype(array_dtype(spec.dtype))
        return drawn
    # Zero is the one integer that every table and vocabulary has.
    return np.full(shape, "", object) if spec.dtype == "string" else np.zeros(shape, array_dtype(spec.dtype))
