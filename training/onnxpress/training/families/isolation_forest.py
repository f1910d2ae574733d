"""The autoencoder's companion: scikit-learn's isolation forest, grown on the same rows, as a step of the graph."""

from __future__ import annotations

from typing import Annotated, Any

import msgspec
import numpy as np

from onnxpress.core.arrays import Array
from onnxpress.core.optional import require
from onnxpress.core.processing import IsolationForest
from onnxpress.core.processing.forest import Tree, average_path


class ForestSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """An isolation forest (Liu, Ting and Zhou 2008)."""

    trees: Annotated[int, msgspec.Meta(ge=1, le=1000)] = 100
    """how many are grown"""
    rows: Annotated[int, msgspec.Meta(ge=2)] = 256
    """that each tree is grown on, at most"""
    contamination: Annotated[float, msgspec.Meta(gt=0, le=0.5)] | None = None
    """share of the training rows that are flagged; default: what the autoencoder's percentile leaves"""


def grown(settings: ForestSettings, x: Array, *, seed: int, name: str, output: str) -> IsolationForest:
    """A forest over the rows `x` (rows, features), as the step from tensor `name` to the score `output`."""
    ensemble = require("sklearn.ensemble", needed_by="growing an isolation forest")
    forest = ensemble.IsolationForest(
        n_estimators=settings.trees, max_samples=min(settings.rows, len(x)), random_state=seed
    ).fit(x)
    return IsolationForest(
        input=name,
        output=output,
        trees=[_tree(estimator.tree_) for estimator in forest.estimators_],
        rows=int(forest.max_samples_),
    )


def _tree(tree: Any) -> Tree:
    depth = np.zeros(tree.node_count)
    for node in range(tree.node_count):  # a child always comes after its parent
        for child in (tree.children_left[node], tree.children_right[node]):
            if child >= 0:
                depth[child] = depth[node] + 1
    # Rows are float32 and the cut is float64: "at most the cut" is the same for the float32 number below it.
    cut = tree.threshold.astype(np.float32)
    cut = np.where(cut > tree.threshold, np.nextafter(cut, np.float32(-np.inf)), cut)
    is_leaf = tree.children_left < 0
    paths = depth + np.array([average_path(int(rows)) for rows in tree.n_node_samples])
    return Tree(
        feature=np.where(is_leaf, -1, tree.feature).tolist(),
        cut=np.where(is_leaf, 0, cut).astype(float).tolist(),
        left=tree.children_left.tolist(),
        right=tree.children_right.tolist(),
        value=np.where(is_leaf, paths, 0).astype(np.float32).astype(float).tolist(),
    )
