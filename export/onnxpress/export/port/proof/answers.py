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


def answers(network: Asked, ported: Answer, asked: Sequence[Case]) -> Rung:
    """Both are asked every case: every batch size, every named size, every scale."""
    expected = [network.run(case.feeds, "float32") for case in asked]
    try:
        truths = [network.run(in_float64(case.feeds), "float64") for case in asked]
    except TruthUnavailable:
        truths = [network.run(moved(case.feeds), "float32") for case in asked]
    names = list(expected[0])
    floors = pooled_floors(asked, expected, truths, names)
    worst = Worst()
    for case, wanted, floor in zip(asked, expected, floors, strict=True):
        got = ported(case.feeds)
        for name in names:
            worst.add(_multiple(wanted[name], got[name], floor[name]), f"{name} at {case.name}")
    return worst.rung("answers", LIMIT, f"{len(asked)} cases, the worst {worst.where or 'the same bit for bit'}")


def answers_or_failure(network: Asked, ported: Answer, asked: Sequence[Case]) -> Rung:
    """The same; where something of the frameworks is raised, a rung whose difference is infinite and which says it."""
    try:
        return answers(network, ported, asked)
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
