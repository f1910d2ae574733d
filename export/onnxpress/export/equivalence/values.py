"""Values to ask about: drawn for one input at a time, from what is known of it.

An example says names, types, sizes and scale. It is never the domain: a model that was shown zeros is asked about other
numbers too. Only a domain that the author declared, or that the graph shows, bounds what is asked.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import pairwise

import numpy as np

from onnxpress.core.arrays import Array
from onnxpress.core.tensors import FLOATS, TensorSpec

_UNKNOWN_WORDS = ("", " ", "zzqx unknown", "Ünïcödé ñ 東京", "a\tb\nc", "0")
_MOST_WORDS = 200
_FAR = 1000.0
_WELL_BESIDE = (0.5, 0.9, 1.1, 2.0, -1.0)
"""a turn, as a share of it"""


@dataclass(frozen=True)
class Shown:
    """What a graph shows of the values that its inputs take."""

    sizes: Mapping[str, int] = field(default_factory=dict)
    """integer input → how many rows the smallest table has that it looks up"""
    words: tuple[str, ...] = ()
    """what the graph's look-ups know"""
    rows: Mapping[str, Array] = field(default_factory=dict)
    """input → rows (n, features) on both sides of the splits of its trees"""
    turns: Mapping[str, Array] = field(default_factory=dict)
    """input of numbers → the values at which the graph turns: float64, sorted"""
    anywhere: frozenset[str] = frozenset()
    """integer inputs that are no rows of tables and count nothing: any integer can be asked about"""


NOTHING_SHOWN = Shown()


def draw(
    spec: TensorSpec,
    shape: tuple[int, ...],
    sample: Array | None,
    generator: np.random.Generator,
    shown: Shown = NOTHING_SHOWN,
) -> Array:
    """Values of `spec` in its declared domain, else around the sample, else standard normal."""
    if spec.dtype == "string":
        return np.array(generator.choice(np.array(vocabulary(spec, sample, shown), object), shape), object)
    if spec.dtype == "bool":
        return generator.integers(0, 2, shape).astype(bool)
    if spec.dtype not in FLOATS and spec.domain is not None and spec.domain.values:
        return generator.choice(np.array(spec.domain.values, spec.dtype), shape)
    if spec.dtype not in FLOATS:
        low, high = integer_bounds(spec, sample, shown)
        return generator.integers(low, high, shape, endpoint=True).astype(spec.dtype)
    if bounds := declared(spec):
        return generator.uniform(*bounds, shape).astype(spec.dtype)
    if sample is None or sample.size == 0:
        return within(spec, generator.standard_normal(shape))
    rows = np.where(np.isfinite(sample), sample, 0).astype(np.float64).reshape(len(sample) if sample.ndim else 1, -1)
    same_rows = sample.ndim > 0 and sample.shape[1:] == shape[1:]
    bottom, top = (rows.min(0), rows.max(0)) if same_rows else (rows.min(), rows.max())
    # A column that the example holds still says a scale and nothing else: both sides of it are asked.
    still = np.asarray(bottom == top)
    reach = np.where(bottom == 0, max(float(np.abs(rows).max()), 1.0), np.abs(bottom))
    flat = (shape[0], rows.shape[1]) if same_rows else shape
    moved = bottom + reach * generator.standard_normal(flat)
    inside = bottom + (top - bottom) * generator.random(flat)
    return within(spec, np.where(still, moved, inside).reshape(shape))


def normal(spec: TensorSpec, shape: tuple[int, ...], generator: np.random.Generator) -> Array:
    """Standard normal floats, whatever the example's scale."""
    return within(spec, generator.standard_normal(shape))


def magnitudes(spec: TensorSpec, shape: tuple[int, ...], sample: Array | None, generator: np.random.Generator) -> Array:
    """Floats of both signs over four decades around the example's scale."""
    scale = 1.0 if sample is None or not sample.size else float(np.abs(np.where(np.isfinite(sample), sample, 0)).max())
    sign = np.where(generator.integers(0, 2, shape) == 1, 1.0, -1.0)
    return within(spec, sign * (scale or 1.0) * 10.0 ** generator.uniform(-3, 1, shape))


def far_integers(
    spec: TensorSpec, shape: tuple[int, ...], sample: Array | None, generator: np.random.Generator
) -> Array:
    """Integers of every magnitude up to a thousand times the example's and a million, of both signs where there are."""
    scale = float(np.abs(sample.astype(np.float64)).max()) if sample is not None and sample.size else 1.0
    sizes = 10.0 ** generator.uniform(0, np.log10(max(_FAR * scale, _FAR**2)), shape)
    signed = spec.dtype.startswith("int")
    sign = np.where(generator.integers(0, 2, shape) == 1, 1.0, -1.0 if signed else 1.0)
    return _integers(spec, sign * sizes)


def around(spec: TensorSpec, shown: Shown) -> Array:
    """Integers at, beside and well beside every value at which the graph turns, in the input's dtype and domain.

    Those well beside show an original that turns elsewhere: half way, a tenth away, twice as far, on the other side.
    """
    turns = shown.turns.get(spec.name, np.zeros(0))
    whole = np.concatenate([np.floor(turns), np.ceil(turns)])
    beside = np.concatenate([whole - 1, whole, whole + 1, *(turns * share for share in _WELL_BESIDE)])
    values = np.unique(np.round(beside))
    size = shown.sizes.get(spec.name)
    if size is not None:
        values = values[(values >= 0) & (values < size)]
    if spec.domain is not None:
        low, high = spec.domain.low, spec.domain.high
        values = values[(values >= (-np.inf if low is None else low)) & (values <= (np.inf if high is None else high))]
    return np.unique(_integers(spec, values))


def _integers(spec: TensorSpec, values: Array) -> Array:
    kind = np.iinfo(spec.dtype)
    # The largest int64 is no float64: one step below it.
    least, most = float(kind.min), float(np.nextafter(float(kind.max), 0)) if kind.bits == 64 else float(kind.max)
    return within(spec, np.clip(np.trunc(values), least, most))


def like(spec: TensorSpec, rows: Array, generator: np.random.Generator) -> Array:
    """The rows moved a little, where they are floats: no two of them the same."""
    if spec.dtype not in FLOATS or not rows.size:
        return rows
    finite = np.where(np.isfinite(rows), rows, 0).astype(np.float64)
    reach = np.where(finite == 0, max(float(np.abs(finite).max()), 1.0), np.abs(finite)) * 0.1
    return within(spec, np.where(np.isfinite(rows), finite + reach * generator.standard_normal(rows.shape), rows))


def within(spec: TensorSpec, values: Array) -> Array:
    """The values in the input's dtype, held inside its declared domain."""
    domain = spec.domain
    if domain is not None and (domain.low is not None or domain.high is not None):
        values = np.clip(values, domain.low, domain.high)
    dtype = spec.dtype if spec.dtype != "bfloat16" else "float32"
    return np.asarray(values).astype(dtype)  # arithmetic without axes makes plain numbers, which no runtime takes


def declared(spec: TensorSpec) -> tuple[float, float] | None:
    """Both bounds of the declared domain; None where it has not both."""
    domain = spec.domain
    if domain is None or domain.low is None or domain.high is None:
        return None
    return domain.low, domain.high


def integer_bounds(spec: TensorSpec, sample: Array | None, shown: Shown = NOTHING_SHOWN) -> tuple[int, int]:
    """The smallest and the largest integer to ask about: declared, else the table's, else the example's, else 0 and 1.

    Bytes take all of their values, as pictures do.
    """
    domain = spec.domain
    size = shown.sizes.get(spec.name)
    has_sample = sample is not None and sample.size > 0
    low, high = (int(sample.min()), int(sample.max())) if sample is not None and has_sample else (0, 1)
    if size is not None:
        low, high = min(low, 0), max(high, size - 1)
    elif spec.dtype in ("uint8", "int8"):
        kind = np.iinfo(spec.dtype)
        low, high = int(kind.min), int(kind.max)
    elif low == high:
        low, high = min(low, 0), max(high, 1)
    if domain is not None:
        low = low if domain.low is None else int(domain.low)
        high = high if domain.high is None else int(domain.high)
    return low, max(low, high)


def vocabulary(spec: TensorSpec, sample: Array | None, shown: Shown = NOTHING_SHOWN) -> list[str]:
    """Words to ask about: the declared ones alone, else the example's and the graph's, respelled, and unknown ones."""
    if spec.domain is not None and spec.domain.values:
        return list(spec.domain.values)
    seen = sorted(set(sample.astype(str).ravel().tolist())) if sample is not None else []
    known = [*seen[:_MOST_WORDS], *shown.words[:_MOST_WORDS]]
    spelled = [form for word in known[:20] for form in (word.upper(), word.capitalize(), f" {word} ", f"{word}x")]
    joined = [f"{first} {second}" for first, second in pairwise(known[:20])]
    return list(dict.fromkeys([*known, *spelled, *joined, *_UNKNOWN_WORDS]))
