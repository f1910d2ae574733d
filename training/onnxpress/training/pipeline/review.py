"""Rows for a person to look at: those that the model is least sure of, as a file that feedback is read from."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from onnxpress.core.arrays import Array
from onnxpress.core.files import write_atomically
from onnxpress.core.processing import Step, Threshold, apply
from onnxpress.training.families.prepared import Prepared
from onnxpress.training.fitting.loop import Inputs
from onnxpress.training.pipeline.feedback_rows import COLUMN, shown

FILE_NAME = "review.csv"


def write(
    folder: Path,
    prepared: Prepared,
    asked: Callable[[Inputs], Array],
    after: list[Step],
    *,
    names: Sequence[str],
    count: int,
) -> Path:
    """Write the `count` held-out rows whose score is closest to the threshold, the closest first.

    With their raw columns, score and flag, and the empty column `feedback` to fill in.
    """
    tensors = apply(prepared.before, prepared.held_out)
    tensors = apply(after, {**tensors, "decoded": asked({"scaled": tensors["scaled"]})})
    flag = "is_flagged" if "combined_score" in tensors else "is_anomaly"
    step = next(step for step in after if isinstance(step, Threshold) and step.output == flag)
    score = tensors[step.input].astype(np.float64)
    # By ratio: scores are errors, of which half and double are as far from the threshold.
    distance = np.abs(np.log(np.maximum(score, 1e-30)) - np.log(max(step.value, 1e-30)))
    chosen = np.argsort(distance, kind="stable")[:count]
    columns = dict(prepared.held_out)
    if list(columns) == ["features"] and list(names) != ["features"]:
        columns = dict(zip(names, columns["features"].T, strict=True))
    text = io.StringIO()
    writer = csv.writer(text)
    # What is added must not be called like a column of the user's: feedback is read by their names.
    own = [f"model_{name}" if name in columns else name for name in ("score", "is_anomaly")]
    writer.writerow([*columns, *own, COLUMN])
    for row in chosen:
        values = [shown(column[row]) for column in columns.values()]
        writer.writerow([*values, f"{score[row]:.6g}", str(bool(tensors[flag][row])).lower(), ""])
    write_atomically(folder / FILE_NAME, text.getvalue().encode())
    return folder / FILE_NAME
