"""Windows cut from series of samples, collected with the label and the name of what each came from."""

from __future__ import annotations

from typing import Any

import numpy as np

from onnxpress.core.arrays import Array
from onnxpress.core.errors import BadData
from onnxpress.training.data.table import Table

WINDOWS = "windows"
"""the one column of these tables: float32 (rows, time, channels)"""


class Windows:
    """Takes series one at a time. Those of one axis beside those of three become magnitudes at the end."""

    def __init__(self, *, length: int, step: int) -> None:
        self._length, self._step = length, step
        self._windows: list[Array] = []
        self._labels: list[str] = []
        self._groups: list[str] = []
        self._events: list[str] = []

    def add(self, series: Array, label: str, group: str, event: str | None = None) -> int:
        """Cut (samples, channels) float32 of one uninterrupted recording; returns how many windows that gave.

        `event` is what they belong to, where that is not the group.
        """
        starts = range(0, len(series) - self._length + 1, self._step)
        self._windows += [series[start : start + self._length] for start in starts]
        self._labels += [label] * len(starts)
        self._groups += [group] * len(starts)
        self._events += [group if event is None else event] * len(starts)
        return len(starts)

    def table(self, *, where: str, none: str, report: dict[str, Any] | None = None) -> Table:
        """All of them. Raises BadData saying `none` where there is none, or where their channels differ."""
        if not self._windows:
            raise BadData(none, where=where)
        widths = {window.shape[1] for window in self._windows}
        if len(widths) > 1:
            if 1 not in widths:
                raise BadData(f"the series have {sorted(widths)} channels", where=where)
            self._windows = [magnitudes(window) for window in self._windows]
        return Table(
            {WINDOWS: np.stack(self._windows)},
            np.asarray(self._labels, np.str_),
            np.asarray(self._groups, np.str_),
            events=np.asarray(self._events, np.str_),
            report={"windows": len(self._windows), "channels": self._windows[0].shape[1], **(report or {})},
        )


def magnitudes(series: Array) -> Array:
    """(samples, channels) → (samples, 1): the length of each sample's vector; one channel stays as it is."""
    if series.shape[1] == 1:
        return series
    wide = series.astype(np.float64)
    result: Array = np.sqrt((wide * wide).sum(axis=1, keepdims=True)).astype(np.float32)
    return result
