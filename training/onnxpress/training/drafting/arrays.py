"""A recipe drafted from an `.npz` file: which array holds the rows, and which their labels."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from onnxpress.core.errors import BadData, UsageError
from onnxpress.training.data.vectors import Vectors
from onnxpress.training.drafting.written import Draft, counted, name_of, scalar

_OF_ROWS = {2: ("vectors", "document"), 3: ("windows", "cnn14")}
"""axes of the array of rows → what the source npz calls it, and the family that reads it"""
_LABELS = ("labels", "label", "y", "target", "targets")


def draft(path: Path, *, place: str, family: str | None = None) -> Draft:
    """See `draft.of_file`. Raises BadData for a file without rows and labels, UsageError for another family."""
    arrays = Vectors(path=str(path)).arrays_by_name()
    shown = ", ".join(f"{name} {value.dtype}{list(value.shape)}" for name, value in arrays.items())
    by_name = {name.lower(): name for name in arrays}
    labels = next((by_name[name] for name in _LABELS if name in by_name), None)
    if labels is None or arrays[labels].ndim != 1:
        raise BadData(f"no array of labels; it holds {shown}", where=str(path), hint=f"call it {_LABELS[0]}")
    count = len(arrays[labels])
    rows = [
        name for name, value in arrays.items()
        if value.ndim in _OF_ROWS and len(value) == count and value.dtype.kind in "fiu"
    ]  # fmt: skip
    if len(rows) != 1:
        raise BadData(f"not one array of {count} rows beside {labels!r}; it holds {shown}", where=str(path))
    kind, usual = _OF_ROWS[arrays[rows[0]].ndim]
    if family == "cnn14" and kind == "vectors":  # windows of one channel have two axes as well
        kind, usual = _OF_ROWS[3]
    if family not in (None, usual):
        raise UsageError(f"{family} does not read {kind}", where=str(path), hint=f"{usual} does")
    names = {rows[0]: kind, labels: "labels"}
    renamed = {name: wanted for name, wanted in names.items() if name != wanted}
    values, counts = np.unique(arrays[labels].astype(str), return_counts=True)
    told = counted([(str(value), int(number)) for value, number in zip(values, counts, strict=True)])
    lines = [
        f"# Drafted from {path.name!a}: {shown}.",
        f"name: {scalar(name_of(path))}",
        "framework: pytorch # or tensorflow",
        "model:",
        f"  family: {usual}",
        *(
            ["  normalise: true # each window and channel to mean 0 and standard deviation 1"]
            if usual == "cnn14"
            else []
        ),
        "data:",
        "  source: npz",
        f"  path: {scalar(place)} # labels: {told}",
        *([f"  arrays: {{{', '.join(f'{scalar(a)}: {b}' for a, b in renamed.items())}}}"] if renamed else []),
        "training:",
        "  epochs: 60 # at most",
        "  learning_rate: 0.002",
        "  patience: 15",
    ]
    return Draft("\n".join(lines) + "\n", (f"{rows[0]!r} is taken for the {kind}, {labels!r} for the labels",))
