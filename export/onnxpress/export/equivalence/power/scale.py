"""Noise floors of answers that no original was asked about: as large beside them as beside those it was asked about."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from onnxpress.core.arrays import Array
from onnxpress.core.golden import Golden

_MOST = 0.9
"""of an output's elements"""
_LEAST = float(np.finfo(np.float32).smallest_subnormal)


class Scale:
    """For each float output the median, over the measured cases, of its noise floor beside its largest value."""

    def __init__(self, goldens: Sequence[Golden]) -> None:
        self._relative: dict[str, float] = {}
        for name, first in goldens[0].outputs.items() if goldens else ():
            if first.dtype.kind not in "fV":
                continue
            shares = []
            for golden in goldens:
                values, floor = golden.outputs[name].astype(np.float64), golden.floors[name]
                kept = np.isfinite(values) & np.isfinite(floor)
                largest = float(np.abs(values[kept]).max(initial=0.0))
                if largest > 0:
                    shares.append(float(floor[kept].max()) / largest)
            self._relative[name] = float(np.median(shares)) if shares else float(np.finfo(np.float32).eps)

    def floors(self, answers: Mapping[str, Array], moved: Mapping[str, Array]) -> dict[str, Array]:
        """For every float output one floor, in its shape; others have none, and differ where they are not equal.

        `moved` are the answers to inputs moved by one unit in the last place. Where an answer moves more than its size
        lets expect, so does its rounding; a few that jump over a bound are not looked at.
        """
        found = {}
        for name, value in answers.items():
            if name in self._relative:
                wide = _finite(value)
                floor = self._relative[name] * float(np.abs(wide).max(initial=0.0))
                if name in moved and moved[name].shape == value.shape and value.size:
                    floor = max(floor, float(np.quantile(np.abs(wide - _finite(moved[name])), _MOST)))
                found[name] = np.full(value.shape, max(floor, _LEAST))
        return found


def _finite(value: Array) -> Array:
    return np.nan_to_num(value.astype(np.float64), nan=0.0, posinf=0.0, neginf=0.0)
