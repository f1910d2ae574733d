"""Inputs to measure on: the author's rows, generated ones over the declared domain, and edge cases; all seeded."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

import numpy as np

from onnxpress.core import domains
from onnxpress.core.arrays import Array
from onnxpress.core.errors import BadData, UsageError
from onnxpress.core.tensors import FLOATS, TensorSpec, size_of
from onnxpress.export.equivalence.values import (
    NOTHING_SHOWN,
    Shown,
    around,
    declared,
    draw,
    far_integers,
    like,
    magnitudes,
    normal,
    within,
)

Kind = Literal[
    "samples", "generated", "normal", "magnitudes", "turns", "integers", "zeros", "large", "tiny", "size", "extremes",
    "wider",
]  # fmt: skip
"""where a case's values come from; `turns`: integers around the constants that the graph compares them with;
`integers`: of all magnitudes; `size`: generated, with a named dimension at a size of its own; `extremes`: chosen by
what they do inside the graph; `wider`: asked where planted faults had survived the others, see `power`"""
BATCHES = (1, 2, 3, 7)
LARGE_MODEL = 25_000_000
"""parameters"""
_MANY_PRODUCTS = 1_000_000_000
LARGE_BATCH = 64
"""the largest batch that is measured"""
LARGE_BATCH_OF_A_LARGE_MODEL = 16
"""in its place where a row takes so long that 64 of them, in float64 too, would take minutes"""
_SCALES: dict[Kind, float] = {"zeros": 0.0, "large": 1e3, "tiny": 1e-6}
"""what generated floats are multiplied with"""
_NORMAL_BATCHES = (2, 7)
_MAGNITUDES_BATCH = 24
"""rows that reach far in every direction: in few of them a layer that is cut off at 1 does not show itself. Not so many
that a channel's noise is told by itself (see `noise_floor`): it differs too much over four decades"""
_MOST_IDS, _MOST_ROWS = 4096, 512
"""ids of a table that are all asked, and rows that it may take"""
_SEED = 20_240_229
_SEQUENCE = 8  # the size of a named dimension of which nobody gave an example


@dataclass(frozen=True, eq=False)  # arrays have no equality of their own: a case is itself alone
class Case:
    """Feeds of one run."""

    kind: Kind
    batch: int
    feeds: dict[str, Array]
    varied: tuple[str, int] | None = None
    """of the kind `size`: the named dimension, and its size here"""
    about: str = ""
    """of the kinds `extremes` and `wider`: which of them"""
    ties: Mapping[str, Array] = field(default_factory=dict)
    """output → its elements that scores within the noise decide (bool, of its shape); see `ties`"""

    @property
    def pool(self) -> str:
        """Cases of one pool share a noise floor: their values have the same scale. `samples`, `zeros`, `time 17`."""
        if self.about:
            return f"{self.kind} {self.about}"
        return self.kind if self.varied is None else f"{self.varied[0]} {self.varied[1]}"

    @property
    def name(self) -> str:
        """What the report calls it: `samples, batch 3`."""
        return f"{self.pool}, batch {self.batch}"


def cases(
    specs: Sequence[TensorSpec],
    samples: Mapping[str, Array],
    seed: int = _SEED,
    *,
    largest: int = LARGE_BATCH,
    shown: Shown = NOTHING_SHOWN,
) -> list[Case]:
    """The cases of one measurement, the same for the same specs, samples and seed; no batch above `largest`.

    Real rows at every batch size when there are samples; generated rows at every batch size, in the declared domain or
    what the graph shows, else around the samples; standard normal values and magnitudes of both signs, whatever the
    samples hold; integers where the graph turns, and far from all that was shown; zeros, large and tiny values; every
    other named dimension small and large. Rows of a batch differ.
    """
    _check(specs, samples)
    generator = np.random.default_rng(seed)
    chosen: list[Case] = []
    if samples:
        for batch in (*BATCHES, largest):
            feeds = _pick(specs, samples, batch, generator)
            chosen.append(Case("samples", batch, feeds))
    for batch in (*BATCHES, largest):
        feeds = generate(specs, samples, {"batch": batch}, generator, shown)
        chosen.append(Case("generated", batch, feeds))
    if largest == LARGE_BATCH and (looked_up := _every_row_of_tables(specs, samples, generator, shown)):
        chosen.append(looked_up)
    chosen += _beside_splits(specs, samples, generator, shown)
    floats = [spec for spec in specs if spec.dtype in FLOATS]
    free = [spec for spec in floats if not declared(spec)]
    if free and samples:
        for batch in _NORMAL_BATCHES:
            feeds = generate(specs, samples, {"batch": batch}, generator, shown)
            feeds |= {spec.name: normal(spec, feeds[spec.name].shape, generator) for spec in free}
            chosen.append(Case("normal", batch, feeds))
    if free:
        rows = min(_MAGNITUDES_BATCH, largest)
        feeds = generate(specs, samples, {"batch": rows}, generator, shown)
        for spec in free:
            feeds[spec.name] = magnitudes(spec, feeds[spec.name].shape, samples.get(spec.name), generator)
        chosen.append(Case("magnitudes", rows, feeds))
    chosen += _at_turns(specs, samples, generator, shown, largest)
    far = [spec for spec in specs if spec.name in shown.anywhere and spec.domain is None]
    if far:
        rows = min(_MAGNITUDES_BATCH, largest)
        feeds = generate(specs, samples, {"batch": rows}, generator, shown)
        for spec in far:
            feeds[spec.name] = far_integers(spec, feeds[spec.name].shape, samples.get(spec.name), generator)
        chosen.append(Case("integers", rows, feeds))
    for kind, scale in _SCALES.items():
        if floats:
            feeds = generate(specs, samples, {"batch": 3}, generator, shown)
            for spec in floats:
                feeds[spec.name] = np.asarray(feeds[spec.name] * scale).astype(feeds[spec.name].dtype)
            chosen.append(Case(kind, 3, feeds))
    example = example_sizes(specs, samples)
    for name in sorted({name for spec in specs for name in spec.named_dimensions} - {"batch"}):
        usual = example.get(name, _SEQUENCE)
        for size in sorted({1, 2, usual + 1, 2 * usual + 1}):
            feeds = generate(specs, samples, {"batch": 2, name: size}, generator, shown)
            chosen.append(Case("size", 2, feeds, (name, size)))
    return [replace(case, feeds=domains.inside(specs, case.feeds)) for case in chosen]


def _beside_splits(
    specs: Sequence[TensorSpec], samples: Mapping[str, Array], generator: np.random.Generator, shown: Shown
) -> list[Case]:
    """For each input of trees a case of rows on both sides of their splits, the other inputs generated."""
    found = []
    for spec in specs:
        rows = shown.rows.get(spec.name)
        if rows is not None and spec.shape == ("batch", rows.shape[1]):
            feeds = generate(specs, samples, {"batch": len(rows)}, generator, shown)
            if spec.dtype not in FLOATS:  # rows below and above a split take turns
                rows = np.where(np.arange(len(rows))[:, None] % 2 == 0, np.floor(rows), np.ceil(rows))
            feeds[spec.name] = within(spec, rows)
            found.append(Case("generated", len(rows), feeds))
    return found


def _at_turns(
    specs: Sequence[TensorSpec],
    samples: Mapping[str, Array],
    generator: np.random.Generator,
    shown: Shown,
    largest: int,
) -> list[Case]:
    """One case of integers around the constants that the graph compares them with, where there are such.

    In turn a row of such integers, a row that is the same one throughout, and rows of which one number is such, the
    others generated or 0: what is summed or compared along a row comes to them too.
    """
    values = {spec.name: around(spec, shown) for spec in specs if spec.name in shown.turns and "batch" in spec.shape}
    values = {name: some for name, some in values.items() if some.size and shown.sizes.get(name, np.inf) > _MOST_IDS}
    if not values:
        return []
    rows = 4 * max(some.size for some in values.values())
    rows = min(rows, _MOST_ROWS if largest == LARGE_BATCH else largest)
    feeds = generate(specs, samples, {"batch": rows}, generator, shown)
    for spec in specs:
        if spec.name in values:
            drawn = np.moveaxis(feeds[spec.name], spec.shape.index("batch"), 0)
            flat = drawn.reshape(rows, -1).copy()
            _turn_rows(flat, values[spec.name], generator)
            moved = np.moveaxis(flat.reshape(drawn.shape), 0, spec.shape.index("batch"))
            feeds[spec.name] = np.ascontiguousarray(moved)
    return [Case("turns", rows, feeds)]


def _turn_rows(flat: Array, values: Array, generator: np.random.Generator) -> None:
    """Put the values into generated rows (rows, numbers), see above; every value comes into each kind of row."""
    in_turn = np.resize(generator.permutation(values), -(-len(flat) // 4))
    for number, row in enumerate(flat):
        value, kind = in_turn[number // 4], number % 4
        if kind == 0:
            row[:] = generator.choice(values, row.size)
        elif kind == 1:
            row[:] = value
        else:
            if kind == 2 and values[0] <= 0 <= values[-1]:
                row[:] = 0
            row[generator.integers(row.size)] = value


def _every_row_of_tables(
    specs: Sequence[TensorSpec], samples: Mapping[str, Array], generator: np.random.Generator, shown: Shown
) -> Case | None:
    """Generated rows in which every id occurs that a table has, where tables are small; None where none is to be added.

    Ids drawn at random leave some out: two exchanged rows of a table would not be seen.
    """
    known = example_sizes(specs, samples)
    of_a_row = {}
    for spec in specs:
        if spec.name in shown.sizes and "batch" in spec.shape and spec.domain is None:
            sizes = [size_of(size, {**known, "batch": 1}, _SEQUENCE) for size in spec.shape]
            of_a_row[spec.name] = max(1, int(np.prod(sizes)))
    ids = {name: shown.sizes[name] for name in of_a_row if shown.sizes[name] <= _MOST_IDS}
    rows = max((-(-size // of_a_row[name]) for name, size in ids.items()), default=0)
    if not 1 < rows <= _MOST_ROWS:
        return None
    feeds = generate(specs, samples, {"batch": rows}, generator, shown)
    for name, size in ids.items():
        value = feeds[name]
        feeds[name] = np.resize(generator.permutation(size), value.shape).astype(value.dtype)
    return Case("generated", rows, feeds)


def largest_batch(parameters: int, specs: Sequence[TensorSpec], samples: Mapping[str, Array]) -> int:
    """64, or 16 for a network of many parameters, or of fewer that are used anew for each of many tokens."""
    sizes = example_sizes(specs, samples)
    tokens = 1
    for spec in specs:
        if spec.dtype.startswith(("int", "uint")):
            shape = [size_of(size, sizes, _SEQUENCE) for size in spec.shape[1:]]
            tokens = max(tokens, int(np.prod(shape)))
    heavy = parameters > LARGE_MODEL or parameters * tokens > _MANY_PRODUCTS
    return LARGE_BATCH_OF_A_LARGE_MODEL if heavy else LARGE_BATCH


def generate(
    specs: Sequence[TensorSpec],
    samples: Mapping[str, Array],
    sizes: Mapping[str, int],
    generator: np.random.Generator,
    shown: Shown = NOTHING_SHOWN,
) -> dict[str, Array]:
    """Random values of every input, see `values.draw`; `sizes` of named dimensions go before the example's."""
    known = {**example_sizes(specs, samples), **sizes}
    feeds = {}
    for spec in specs:
        shape = tuple(size_of(size, known, _SEQUENCE) for size in spec.shape)
        feeds[spec.name] = draw(spec, shape, samples.get(spec.name), generator, shown)
    return feeds


def _pick(
    specs: Sequence[TensorSpec], samples: Mapping[str, Array], batch: int, generator: np.random.Generator
) -> dict[str, Array]:
    """`batch` of the author's rows, the same of every input. Those that come again are moved a little.

    Equal rows would hide that a model's rows look at each other.
    """
    in_rows = {spec.name: spec.shape.index("batch") for spec in specs if "batch" in spec.shape}
    rows = next((samples[name].shape[axis] for name, axis in in_rows.items()), 1)
    order = np.resize(generator.permutation(rows), batch)
    feeds = {}
    for spec in specs:
        value = samples[spec.name]
        if spec.name in in_rows:
            first = np.moveaxis(value, in_rows[spec.name], 0)[order]
            first[rows:] = like(spec, first[rows:], generator)
            value = np.moveaxis(first, 0, in_rows[spec.name])
        feeds[spec.name] = value
    return feeds


def example_sizes(specs: Sequence[TensorSpec], samples: Mapping[str, Array]) -> dict[str, int]:
    """The named dimensions' sizes in the author's rows; sums and the batch left out."""
    return {
        name: size
        for spec in specs
        if spec.name in samples
        for name, size in zip(spec.shape, samples[spec.name].shape, strict=True)
        if isinstance(name, str) and name != "batch" and "+" not in name
    }


def _check(specs: Sequence[TensorSpec], samples: Mapping[str, Array]) -> None:
    if not samples:
        return
    for spec in specs:
        if spec.name not in samples:
            raise UsageError(
                f"there are samples of {', '.join(sorted(samples))}, but none of the input {spec.name!r}",
                hint="name the arrays of the .npz after the model's inputs",
            )
        sample = samples[spec.name]
        fits = len(sample.shape) == len(spec.shape) and all(
            isinstance(wanted, str) or wanted == size for wanted, size in zip(spec.shape, sample.shape, strict=True)
        )
        if not fits:
            raise BadData(f"the samples of {spec.name!r} have shape {list(sample.shape)}; the input is {spec}")
        kind = "string" if sample.dtype.kind in "UO" else str(sample.dtype)
        if kind != spec.dtype:
            raise BadData(f"the samples of {spec.name!r} are {kind}; the input is {spec}")
