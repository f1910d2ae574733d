"""Rung 1: answers in inference mode, in noise floors of the source."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Protocol

import numpy as np

from onnxpress.core.arrays import Array
from onnxpress.core.errors import OnnxpressError
from onnxpress.core.golden import LIMIT
from onnxpress.export.equivalence.cases import Case
from onnxpress.export.equivalence.noise_floor import in_float64, moved, pooled_floors
from onnxpress.export.network import Precision, TruthUnavailable
from onnxpress.export.port.proof.rung import Rung, Worst, first_line

Answer = Callable[[dict[str, Array]], dict[str, Array]]


class Asked(Protocol):
    """What is asked in float32 and float64, as a Network is."""

    def run(self, feeds: dict[str, Array], precision: Precision) -> dict[str, Array]:
        """Name → array for each output; see Network.run."""


def answers(network: Asked, ported: Answer, asked: Sequence[Case], near: Sequence[Asked] = ()) -> Rung:
    """Both are asked every case: every batch size, every named size, every scale.

    `near` are networks that are as near to it as rounding leaves them. Where rows show no noise of their own, as nearly
    equal ones do and those of a network in float64, the floor is also how far the farthest of them is: in float64, or
    in float32 where the source has none.
    """
    expected = [network.run(case.feeds, "float32") for case in asked]
    precision: Precision = "float64"
    try:
        truths = [network.run(in_float64(case.feeds), "float64") for case in asked]
    except TruthUnavailable:
        truths, precision = [network.run(moved(case.feeds), "float32") for case in asked], "float32"
    names = list(expected[0])
    floors = pooled_floors(asked, expected, truths, names)
    still = truths if precision == "float64" else expected
    for case, wanted, answer, floor in zip(asked, expected, still, floors, strict=True):
        quiet = [name for name in names if answer[name].dtype.kind == "f" and not _shows_noise(wanted[name])]
        feeds = in_float64(case.feeds) if precision == "float64" else case.feeds
        for one in near if quiet else ():
            moved_by = one.run(feeds, precision)
            floor |= {name: np.maximum(floor[name], _swing(moved_by[name], answer[name])) for name in quiet}
    if not _near(expected[0], network.run(asked[0].feeds, "float32")):
        said = "the source answers the same question otherwise the second time: it draws, or it keeps a state"
        return Rung(name="answers", holds=False, detail=said)
    worst = Worst()
    for case, wanted, floor in zip(asked, expected, floors, strict=True):
        got = ported(case.feeds)
        for name in names:
            worst.add(_multiple(wanted[name], got[name], floor[name]), f"{name} at {case.name}")
    return worst.rung("answers", LIMIT, f"{len(asked)} cases, the worst {worst.where or 'the same bit for bit'}")


def _near(first: dict[str, Array], second: dict[str, Array]) -> bool:
    """Whether these are one answer, but for the order in which threads add."""
    return all(
        np.allclose(
            value,
            second[name],
            rtol=1e-4,
            atol=1e-5 * float(np.abs(value[np.isfinite(value)]).max(initial=0)),
            equal_nan=True,
        )
        if value.dtype.kind == "f"
        else np.array_equal(value, second[name])
        for name, value in first.items()
    )


def _shows_noise(wanted: Array) -> bool:
    """Whether rows differ, by more than a hundredth of the largest, and are rounded as float32 is."""
    if wanted.dtype.kind != "f" or not wanted.ndim:
        return True
    values = np.nan_to_num(wanted.astype(np.float64), posinf=0.0, neginf=0.0)
    spread = np.ptp(values, axis=0).max(initial=0.0) if len(values) else 0.0
    return wanted.dtype != np.float64 and bool(spread > 0.01 * np.abs(values).max(initial=0.0))


def _swing(near: Array, answer: Array) -> float:
    """How far a neighbour's answer to the same is."""
    with np.errstate(invalid="ignore"):  # both are infinite
        apart = np.abs(near.astype(np.float64) - answer)
    return float(np.nan_to_num(apart, posinf=0.0).max(initial=0.0))


def answers_or_failure(network: Asked, ported: Answer, asked: Sequence[Case], near: Sequence[Asked] = ()) -> Rung:
    """The same; where something of the frameworks is raised, a rung whose difference is infinite and which says it."""
    try:
        return answers(network, ported, asked, near)
    except OnnxpressError:
        raise
    except Exception as error:
        said = f"the written code fails: {first_line(error)}"
        return Rung(name="answers", holds=False, detail=said, worst=math.inf, limit=LIMIT)


def _multiple(wanted: Array, got: Array, floor: Array) -> float:
    if wanted.shape != got.shape:
        return float("inf")
    if wanted.dtype.kind != "f":
        return float("inf") if np.any((wanted != got) & (floor == 0)) else 0.0
    known = np.isfinite(wanted)
    if not np.array_equal(known, np.isfinite(got)) or not np.array_equal(np.isnan(wanted), np.isnan(got)):
        allowed = np.isinf(floor) | (known == np.isfinite(got))
        if not allowed.all():
            return float("inf")
    both = known & np.isfinite(got) & np.isfinite(floor)
    apart = np.abs(wanted[both].astype(np.float64) - got[both])
    with np.errstate(divide="ignore"):  # a floor of zero: any difference is one
        return float(np.divide(apart, floor[both], out=np.zeros_like(apart), where=apart > 0).max(initial=0.0))
