"""An isolation forest as a step: how soon random cuts set a row apart from the others."""

from __future__ import annotations

import math
from typing import Annotated

import msgspec
import numpy as np

from onnxpress.core.arrays import Array
from onnxpress.core.processing.step import Step, Tensors

_EULER = 0.5772156649015329


def average_path(rows: int) -> float:
    """The mean depth at which a tree of `rows` sets one apart (Liu, Ting and Zhou 2008, eq. 1)."""
    if rows <= 1:
        return 0.0
    return 1.0 if rows == 2 else 2 * (math.log(rows - 1) + _EULER) - 2 * (rows - 1) / rows


class Tree(msgspec.Struct, frozen=True, kw_only=True):
    """One tree as arrays over its nodes; a row goes left where its feature is at most the cut.

    `feature` is -1 at a leaf, whose `value` is its depth plus the mean depth of the rows that stayed together in it.
    """

    feature: list[int]
    cut: list[float]
    left: list[int]
    right: list[int]
    value: list[float]


class IsolationForest(Step, frozen=True, kw_only=True, tag="isolation_forest"):
    """`output = 2 ** -(mean path / average path)`: near 1 for a row that is soon alone, 0.5 and less for usual ones."""

    input: str
    trees: Annotated[list[Tree], msgspec.Meta(min_length=1)]
    rows: Annotated[int, msgspec.Meta(ge=2)]
    """that each tree was grown on"""

    @property
    def scale(self) -> float:
        """What the sum of the paths over all trees is multiplied by, with float32's digits."""
        return float(np.float32(-1 / (len(self.trees) * average_path(self.rows))))

    def apply(self, tensors: Tensors, dtype: str) -> Array:
        """(batch, features) → (batch,) in `dtype`. The cuts are compared in float32, as they were made."""
        x = tensors[self.input].astype(np.float32)
        total = np.zeros(len(x), dtype)
        every = np.arange(len(x))
        for tree in self.trees:
            feature, left, right = (np.asarray(part) for part in (tree.feature, tree.left, tree.right))
            cut, value = np.asarray(tree.cut, np.float32), np.asarray(tree.value, np.float32)
            at = np.zeros(len(x), int)
            while (inner := feature[at] >= 0).any():
                goes_left = x[every, np.maximum(feature[at], 0)] <= cut[at]
                at = np.where(inner, np.where(goes_left, left[at], right[at]), at)
            total += value[at].astype(dtype)
        result: Array = np.exp2(total * np.asarray(self.scale, dtype))
        return result
