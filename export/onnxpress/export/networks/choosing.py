"""What a network chooses among scores, and how it would choose where noise alone tells two of them apart.

A framework's folder tells which of its operators choose (see `Mode`); when and with how much noise is told here.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from onnxpress.core.arrays import Array
from onnxpress.export.network import Precision, TruthUnavailable

Answer = dict[str, Array]

_MOST_NOISE = 1000.0
"""of scores, in float32's epsilons of a row's largest: more is no rounding, but another choice that was made before"""
_SATURATED = 0.99
_MIXERS = (-7046029254386353131, -4417276706812531889, -4658895280553007687)
"""odd numbers of 64 bits, as hashes multiply with"""


@dataclass(frozen=True)
class Turn:
    """One way in which rounding may exchange scores. Turns come in pairs of opposite noise, so that one of both
    exchanges two scores that lie very near to each other."""

    truths: Sequence[Array]
    """the scores in float64, in the order in which they are chosen from, as far as they are known"""
    limit: float
    """noise in multiples of what float32 adds to the scores"""
    number: int

    def noisy(self, scores: Array, place: int, axis: int | None) -> Array:
        """The scores (float64) with noise, those that are chosen from as the `place`-th, along an axis or among all.

        Scores that are equal in float64 too stay equal: they are no rounding's doing. Where that is not known, those
        that are nearly 1 are told apart, as a sigmoid or a softmax brings many numbers together there.
        """
        values = scores.astype(np.float64)
        known = place < len(self.truths) and self.truths[place].shape == values.shape
        wide = self.truths[place].astype(np.float64) if known else _apart(values)
        finite, true = (np.nan_to_num(one, nan=0.0, posinf=0.0, neginf=0.0) for one in (values, wide))
        unit = float(np.finfo(np.float32).eps) * np.abs(finite).max(axis, keepdims=True)
        moved = np.abs(finite - true).max(axis, keepdims=True)
        reach = self.limit * np.minimum(np.maximum(moved, unit), _MOST_NOISE * unit)
        found: Array = values + (1 - 2 * (self.number % 2)) * reach * _noise(values, wide, self.number // 2)
        return found


class Mode(contextlib.AbstractContextManager["Mode"], Protocol):
    """While open, what the framework chooses from is put into `scores`, and chosen as a turn says."""

    scores: list[Array]


class Choices:
    """How the runs of one network choose. `chooses` is None until a run has shown it."""

    def __init__(self, mode: Callable[[Turn | None], Mode], *, chooses: bool | None = None) -> None:
        """`mode` makes what is open around a run; the turn is None where nothing is exchanged."""
        self.chooses = chooses
        self._mode = mode
        self._scores: list[Array] | None = None
        self._turn: Turn | None = None

    @contextlib.contextmanager
    def kept(self) -> Iterator[None]:
        """Around a run: what is chosen from is seen, and chosen as `turned` says."""
        if self.chooses is False:
            yield
            return
        with self._mode(self._turn) as mode:
            yield
        self.chooses = bool(self.chooses) or bool(mode.scores)
        if self._scores is not None:
            self._scores[:] = mode.scores

    @contextlib.contextmanager
    def recorded(self, scores: list[Array]) -> Iterator[None]:
        """The scores of the next run are put into `scores`, in the order in which they are chosen from."""
        self._scores = scores
        try:
            yield
        finally:
            self._scores = None

    @contextlib.contextmanager
    def turned(self, turn: Turn) -> Iterator[None]:
        """Runs within choose after noise is put on the scores, see Turn."""
        self._turn = turn
        try:
            yield
        finally:
            self._turn = None

    def otherwise(self, run: Callable[[Precision], Answer], limit: float, turns: int) -> Iterator[Answer]:
        """What `run` answers in so many turns; nothing where it chooses nothing."""
        if not self.chooses:
            return
        truths: list[Array] = []
        with contextlib.suppress(TruthUnavailable), self.recorded(truths):
            run("float64")
        for number in range(turns):
            with self.turned(Turn(truths, limit, number)):
                yield run("float32")


def _apart(values: Array) -> Array:
    """The values with another number for each that is nearly 1, less away than float32 tells."""
    numbers = np.arange(values.size).reshape(values.shape) * np.finfo(np.float64).eps
    return np.where((values > _SATURATED) & (values <= 1), values - numbers, values)


def _noise(values: Array, wide: Array, seed: int) -> Array:
    """Numbers between -1 and 1: the same for the same pair of values, another for any other; no -0.0 beside 0.0."""
    one, other = ((part + 0.0).view(np.int64) for part in (np.ascontiguousarray(values), np.ascontiguousarray(wide)))
    mixed = one * _MIXERS[0] ^ other * _MIXERS[1]
    for mixer in (_MIXERS[2] + 2 * seed, _MIXERS[0]):
        mixed = (mixed ^ (mixed >> 29)) * mixer
    noise: Array = (mixed >> 11).astype(np.float64) / 2.0**52
    return noise
