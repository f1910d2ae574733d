"""The question in which masks hide a whole row: frameworks differ in what attention over nothing is."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np

from onnxpress.core.arrays import Array
from onnxpress.export.equivalence.cases import Case
from onnxpress.export.port.proof.answers import Asked


def with_hidden_row(asked: Sequence[Case], network: Asked) -> list[Case]:
    """These cases, and one whose first row every mask hides, where the source's answer to it is numbers.

    A mask is an input of rows of booleans, or of integers that are 0 or 1 in all cases. torch's
    scaled_dot_product_attention answers 0 for such a row, a softmax of −∞ alone is NaN. Of a source that answers NaN
    nothing is asked.
    """
    base = next((case for case in asked if case.batch > 1), None)
    masks = [] if base is None else [name for name in base.feeds if _is_mask([case.feeds[name] for case in asked])]
    if base is None or not masks:
        return list(asked)
    feeds = base.feeds | {name: _hidden(base.feeds[name]) for name in masks}
    answers = network.run(feeds, "float32").values()
    if not all(np.isfinite(answer).all() for answer in answers if answer.dtype.kind == "f"):
        return list(asked)
    return [*asked, dataclasses.replace(base, feeds=feeds, about="a row that is hidden", ties={})]


def _is_mask(values: list[Array]) -> bool:
    if any(value.ndim < 2 for value in values):
        return False
    return all(value.dtype == bool or (value.dtype.kind in "iu" and np.isin(value, (0, 1)).all()) for value in values)


def _hidden(mask: Array) -> Array:
    found = mask.copy()
    found[0] = 0
    return found
