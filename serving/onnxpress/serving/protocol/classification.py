"""Triton's classification extension: an output's best classes as texts `score:index:label`, instead of its values."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from onnxpress.core.arrays import Array
from onnxpress.core.tensors import FLOATS, TensorSpec


def best(spec: TensorSpec, answer: Array, count: int, labels: Sequence[str], *, rows: bool) -> Array:
    """The `count` highest values, or all if there are fewer, as texts; of equal ones the first, NaN last.

    (rows, ...) → (rows, count) where the first axis is that of the `rows`, else (...) → (count,). Where an axis of
    several sizes is left, the index is that of the flat values. Scores have six decimals, and a label follows where
    there is one for the index. Where there are more labels than values (a probability alone, of two classes), they name
    something else, and none follows.

    >>> spec = TensorSpec(name="scores", dtype="float32", shape=("batch", 3))
    >>> best(spec, np.array([[0.25, 0.5, 0.25]], np.float32), 2, ["cat", "dog"], rows=True).tolist()
    [['0.500000:1:dog', '0.250000:0:cat']]
    """
    scores = answer.reshape(len(answer), -1) if rows and answer.size else answer.reshape(1, -1)
    if rows and not answer.size:
        width = int(np.prod(answer.shape[1:], dtype=np.int64))
        return np.empty((len(answer), min(count, width)), object)
    if len(labels) > scores.shape[1]:
        labels = ()
    count = min(count, scores.shape[1])
    # Backwards both ways: a stable order that ascends has the last of equal values first when it is read backwards.
    backwards = scores[:, ::-1]
    if spec.dtype in FLOATS:
        backwards = np.where(np.isnan(backwards), -np.inf, backwards)
    order = scores.shape[1] - 1 - np.argsort(backwards, axis=1, kind="stable")[:, ::-1][:, :count]
    form = "%f" if spec.dtype in FLOATS else "%d"
    texts = np.empty(order.shape, object)
    pairs = zip(order.tolist(), np.take_along_axis(scores, order, 1).tolist(), strict=True)
    for row, (indices, values) in enumerate(pairs):
        for place, (index, value) in enumerate(zip(indices, values, strict=True)):
            label = f":{labels[index]}" if index < len(labels) and labels[index] else ""
            texts[row, place] = f"{form % value}:{index}{label}"
    return texts if rows else texts[0]
