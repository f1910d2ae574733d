"""How right a model's answers are, where the rows that it is asked come with a target."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from onnxpress.core.arrays import Array
from onnxpress.export.sources.samples import read_samples

TARGET = "target"


def without_target(rows: Path, folder: Path) -> Path:
    """A file of the inputs alone: `rows` itself, or where they have a target a copy in `folder`."""
    arrays = read_samples(rows)
    if arrays.pop(TARGET, None) is None or not arrays:
        return rows
    path = folder / f"inputs-{rows.name}"
    plain = {name: value.astype(np.str_) if value.dtype == object else value for name, value in arrays.items()}
    np.savez(path, allow_pickle=False, **plain)
    return path


def metrics(answers: Mapping[str, Array], rows: Path) -> dict[str, float]:
    """`accuracy` of classes, `mean_absolute_error` of values; empty where `rows` has no target or nothing answers it.

    A target of whole numbers or texts is of classes. They are held against an output of such values with one for each
    row; else against the largest of a row's scores, or the sign of its only one: above 0.5 where all are in [0, 1],
    above 0 where they are not.
    """
    target = read_samples(rows).get(TARGET)
    if target is None or target.ndim != 1 or not len(target):
        return {}
    if target.dtype.kind == "f":
        values = [value for value in map(_lone, answers.values()) if value.dtype.kind == "f" and value.ndim == 1]
        return {"mean_absolute_error": float(np.abs(values[0] - target).mean())} if values else {}
    labels = [value for value in map(_lone, answers.values()) if value.ndim == 1 and _kind(value) == _kind(target)]
    if labels:
        return {"accuracy": float((labels[0] == target).mean())}
    if _kind(target) != "whole":
        return {}
    for value in map(_lone, answers.values()):
        if value.dtype.kind == "f" and value.ndim <= 2:
            within = bool(((value >= 0) & (value <= 1)).all())
            told = value.argmax(axis=1) if value.ndim == 2 else (value > (0.5 if within else 0)).astype(np.int64)
            return {"accuracy": float((told == target).mean())}
    return {}


def _lone(value: Array) -> Array:
    return value[:, 0] if value.ndim == 2 and value.shape[1] == 1 else value


def _kind(value: Array) -> str:
    return "whole" if value.dtype.kind in "iub" else "text" if value.dtype.kind in "UO" else "float"
