"""How the answer follows one column while all others stay as they are: partial dependence (Friedman 2001)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from onnxpress.core.arrays import Array
from onnxpress.training import plots
from onnxpress.training.families import classification
from onnxpress.training.families.prepared import Outcome, Predict, Prepared

_COLUMNS = 6
_ROWS = 300
"""at most: each of them is asked once for every point"""
_POINTS = 12
_CLASSES = 5
"""most of them that are told apart; those of most rows"""


def added(
    outcome: Outcome, prepared: Prepared, predict: Predict, *, importance: Mapping[str, float], title: str
) -> Outcome:
    """The outcome with `dependence.json` and a picture, of the columns with the highest importance."""
    columns = sorted(importance, key=lambda name: -importance[name])[:_COLUMNS]
    found = {name: of_column(prepared, predict, name) for name in columns}
    called = _of(prepared) if prepared.classes else prepared.target_name
    figure = plots.dependence(found, title=f"{title}: partial dependence", of=called)
    return replace(
        outcome,
        plots={**outcome.plots, "dependence.png": figure},
        tables={**outcome.tables, "dependence.json": {"of": _of(prepared), "columns": found}},
    )


def _of(prepared: Prepared) -> str:
    return "probability" if prepared.classes else "value"


def of_column(prepared: Prepared, predict: Predict, name: str) -> dict[str, Any]:
    """`values`: points of the column; `means`: label (or "value") → the mean answer of held-out rows at each point.

    The points of numbers are quantiles from the 2nd to the 98th per cent of the held-out rows, those of texts the
    values that most rows have.
    """
    raw = {key: column[:_ROWS] for key, column in prepared.held_out.items()}
    points = _points(prepared.held_out[name])
    names = [spec.name for spec in prepared.network_inputs]
    rows = len(raw[name])
    whole = {key: np.tile(column, len(points)) for key, column in raw.items()}
    whole[name] = np.repeat(points, rows)
    answers = _answers(prepared, predict(classification.network_tensors(prepared.before, whole, names)))
    by_point = answers.reshape(len(points), rows, -1).mean(axis=1)
    return {
        "values": points.tolist(),
        "means": {label: by_point[:, place].tolist() for label, place in _labels(prepared).items()},
    }


def _points(column: Array) -> Array:
    if column.dtype.kind == "f":
        present = column[np.isfinite(column)]
        if not present.size:
            return np.zeros(1, column.dtype)
        return np.unique(np.quantile(present, np.linspace(0.02, 0.98, _POINTS))).astype(column.dtype)
    values, counts = np.unique(column[column != ""], return_counts=True)
    return values[np.argsort(-counts, kind="stable")][:_POINTS].astype(object) if values.size else column[:1]


def _labels(prepared: Prepared) -> dict[str, int]:
    """What is drawn, and its place among the answers."""
    if not prepared.classes:
        return {"value": 0}
    if len(prepared.classes) == 2:
        return {prepared.classes[1]: 1}
    counts = np.bincount(prepared.target.astype(np.int64), minlength=len(prepared.classes))
    most = np.sort(np.argsort(-counts, kind="stable")[:_CLASSES])
    return {prepared.classes[int(place)]: int(place) for place in most}


def _answers(prepared: Prepared, outputs: Array) -> Array:
    """The network's outputs as (rows, classes) of probabilities, or (rows, 1) of values in their unit."""
    wide = outputs.astype(np.float64).reshape(len(outputs), -1)
    if not prepared.classes:
        return wide if prepared.unit is None else wide * prepared.unit.unit[0] + prepared.unit.offset[0]
    if wide.shape[1] == 1:
        positive = 1 / (1 + np.exp(-np.clip(wide, -500, 500)))
        return np.concatenate([1 - positive, positive], axis=1)
    powers = np.exp(wide - wide.max(axis=1, keepdims=True))
    found: Array = powers / powers.sum(axis=1, keepdims=True)
    return found
