"""What a framework computes on the way, layer by layer: recorded once in float64, its noise from a run in float32.

A record holds at most 32,768 elements of a tensor, chosen so that any order of the axes keeps the same ones: some
hundred layers of any size then fit in memory, and a converter may lay a tensor out otherwise.
"""

from __future__ import annotations

import contextlib
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import permutations

import numpy as np

from onnxpress.core.arrays import Array
from onnxpress.export.equivalence.noise_floor import in_float64
from onnxpress.export.network import Layered, Seen, TruthUnavailable

_MOST_ELEMENTS = 1 << 15
_MOST_RECORDS = 4096
_CASTS = {"double", "float", "half", "bfloat16", "to", "type"}
_NUMBER = "_onnxpress_record"
_EPSILON = float(np.finfo(np.float32).eps)
_TINY = float(np.finfo(np.float32).smallest_subnormal)
_NO_TRUTH = 8.0
"""times epsilon: the noise of a layer whose float64 value is not known"""


@dataclass
class Record:
    """A layer's tensor in float64, thinned, with what it was computed from (numbers of earlier records)."""

    layer: str
    kind: str
    operation: str
    source: str
    size: int
    value: Array
    inputs: tuple[int, ...]
    noise: float = 0.0
    scale: float = field(init=False)
    norm: float = field(init=False)

    def __post_init__(self) -> None:
        finite = np.nan_to_num(self.value, nan=0.0, posinf=0.0, neginf=0.0)
        self.scale = float(np.abs(finite).max(initial=0.0))
        self.norm = norm_of(self.value)

    @property
    def floor(self) -> float:
        """The noise floor here: see `noise_floor`."""
        return max(self.noise, _EPSILON * self.scale, _TINY)

    @property
    def telling(self) -> bool:
        """Whether another tensor is unlikely to hold the same values by chance."""
        return self.value.size >= 2 and float(np.ptp(np.nan_to_num(self.value))) > 0


def record(network: Layered, feeds: dict[str, Array], wide: dict[str, Array] | None = None) -> list[Record]:
    """The network's tensors on these inputs, in the order of computation; the last of them come from its outputs.

    `wide` are the inputs as the steps before the network give them in float64: widened float32 would carry the rounding
    of those steps into every layer, where the graph in float64 has none. Default: `feeds`, widened.
    """
    records: list[Record] = []
    places: dict[tuple[object, ...], int] = {}

    def keep(seen: Seen) -> None:
        if len(records) >= _MOST_RECORDS or seen.value.dtype.kind != "f":
            return
        marks = (getattr(tensor, _NUMBER, (None, 0)) for tensor in seen.inputs)
        inputs = tuple(dict.fromkeys(number for owner, number in marks if owner is records))
        if seen.operation in _CASTS and not inputs:
            return  # of a weight
        value = thinned(seen.value).astype(np.float64)  # a copy: a view would keep the whole
        if records and np.array_equal(value, records[-1].value, equal_nan=True):
            inputs = (len(records) - 1,)  # a container gives what its last layer gave
        places[_key(seen, first)] = len(records)
        size = seen.value.size
        records.append(Record(seen.layer, seen.kind, seen.operation, seen.source, size, value, inputs))
        with contextlib.suppress(AttributeError):
            # Of this recording: a tensor may outlive it, such as a weight that a cast gave back as it was.
            setattr(seen.tensor, _NUMBER, (records, len(records) - 1))

    def compare(seen: Seen) -> None:
        number = places.get(_key(seen, second))
        narrow = thinned(seen.value).astype(np.float64) if number is not None else seen.value
        if number is not None and records[number].value.shape == narrow.shape:
            difference = np.abs(np.nan_to_num(narrow) - np.nan_to_num(records[number].value))
            records[number].noise = float(difference.max(initial=0.0))

    first, second = Counter[tuple[object, ...]](), Counter[tuple[object, ...]]()
    try:
        network.watch(in_float64(feeds if wide is None else wide), "float64", keep)
        network.watch(feeds, "float32", compare)
    except TruthUnavailable:
        records.clear()
        network.watch(feeds, "float32", keep)
        for one in records:
            one.noise = _NO_TRUTH * _EPSILON * one.scale
    return records


def _key(seen: Seen, count: Counter[tuple[object, ...]]) -> tuple[object, ...]:
    """The same for the same computation in both precisions: the casts between differ, so a place would not do."""
    key = (seen.layer, seen.operation, seen.value.shape)
    count[key] += 1
    return (*key, count[key])


def norm_of(value: Array) -> float:
    """The square root of the sum of squares, NaN and infinity left out: the same in every layout."""
    finite = np.nan_to_num(value, nan=0.0, posinf=0.0, neginf=0.0)
    with np.errstate(over="ignore"):
        return float(np.sqrt(np.square(finite).sum()))


def thinned(value: Array) -> Array:
    """At most 32,768 elements: every second index of the longest axes, as often as it takes."""
    while value.size > _MOST_ELEMENTS:
        longest = max(value.shape)
        value = value[tuple(slice(None, None, 2 if size == longest else 1) for size in value.shape)]
    return value


def layouts(value: Array, shape: tuple[int, ...]) -> Iterator[Array]:
    """`value` in the ways that a converter may have laid it out to have `shape`, axes of one element left out.

    Equal shapes are taken as they are: another order of the axes would then be a fault, not a layout.
    """
    own, wanted = np.squeeze(value), tuple(size for size in shape if size != 1)
    if own.shape == wanted:
        yield own
        return
    if sorted(own.shape) == sorted(wanted):
        if own.ndim <= 5:
            for order in permutations(range(own.ndim)):
                if tuple(own.shape[axis] for axis in order) == wanted:
                    yield own.transpose(order)
    elif own.size == int(np.prod(wanted)) <= _MOST_ELEMENTS:
        yield own.reshape(wanted)
