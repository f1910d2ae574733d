"""Whether rows look at each other, found by asking: the same rows alone, together, and beside other neighbours."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import onnxruntime

from onnxpress.core.arrays import Array

Feeds = Mapping[str, Array]
BATCHES = (1, 2, 3, 4, 5)


def session(content: bytes) -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    # Optimisers may change an answer by themselves; this is about the graph as it is written.
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    return onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])


def dependency(content: bytes, rows: Feeds, others: Sequence[Feeds] = ()) -> str | None:
    """How an answer depends on the batch; None where nothing was found.

    `rows` are five rows of every input. Each is asked alone and in batches, and beside the rows of `others` in place of
    its neighbours. A run that fails is no answer: what another row makes of the whole batch then is not wrong.
    """
    asked = session(content)
    alone = [_answers(asked, {name: value[row : row + 1] for name, value in rows.items()}) for row in range(5)]
    for batch in BATCHES:
        together = _answers(asked, {name: value[:batch] for name, value in rows.items()})
        wrong = _differs(together, alone[:batch])
        if wrong is not None:
            return f"batch of {batch}: {wrong}"
    whole = _answers(asked, {name: value[:5] for name, value in rows.items()})
    for neighbours in others:
        for kept in range(5):
            feeds = {name: value[:5].copy() for name, value in neighbours.items()}
            for name, value in rows.items():
                feeds[name][kept] = value[kept]
            for number, (one, other) in enumerate(zip(_answers(asked, feeds), whole, strict=False)):
                if one.shape[:1] != (5,) or one.shape != other.shape or not _same(one[kept], other[kept]):
                    return f"output {number} of row {kept} changes with its neighbours"
    return None


def _answers(asked: onnxruntime.InferenceSession, feeds: Feeds) -> list[Array]:
    """Nothing where it fails."""
    try:
        return [np.asarray(value) for value in asked.run(None, dict(feeds))]
    except Exception:
        return []


def _differs(together: list[Array], alone: Sequence[list[Array]]) -> str | None:
    for row, answers in enumerate(alone):
        for number, (part, value) in enumerate(zip(answers, together, strict=False)):
            if value.shape[:1] != (len(alone),) or part.shape != (1, *value.shape[1:]):
                return f"output {number} alone has shape {part.shape}, together {value.shape}"
            if not _close(part[0], value[row]):
                return f"output {number} of row {row} is not what it is alone"
    return None


def _same(one: Array, other: Array) -> bool:
    """To the last bit, but that one NaN is as good as another."""
    return np.array_equal(one, other, equal_nan=np.asarray(one).dtype.kind in "fc")


def _close(one: Array, other: Array) -> bool:
    """A kernel may add in another order where there are more rows."""
    if np.asarray(one).dtype.kind not in "fc":
        return np.array_equal(one, other)
    exact = one.dtype.itemsize > 2
    return np.allclose(one, other, rtol=1e-4 if exact else 2e-2, atol=1e-5 if exact else 1e-2, equal_nan=True)
