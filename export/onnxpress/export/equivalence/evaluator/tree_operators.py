"""Ensembles of trees of the numpy evaluation: all rows go down all trees together, and add up in the rows' dtype.

onnx 1.23's own go row by row in Python, and its classifier adds up in float32 whatever it is given.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from onnx.reference.op_run import OpRun

from onnxpress.core.arrays import Array

_TAKES: dict[str, Callable[[Array, Array], Array]] = {
    "BRANCH_LEQ": np.less_equal,
    "BRANCH_LT": np.less,
    "BRANCH_GTE": np.greater_equal,
    "BRANCH_GT": np.greater,
    "BRANCH_EQ": np.equal,
    "BRANCH_NEQ": np.not_equal,
}


def leaves(X: Array, given: dict[str, Any]) -> Array:
    """The place, among the nodes, of the leaf that each row comes to in each tree: (rows, trees)."""
    trees, numbers = given["nodes_treeids"], given["nodes_nodeids"]
    place = {key: at for at, key in enumerate(zip(trees, numbers, strict=True))}
    modes = np.asarray(given["nodes_modes"])
    inner = modes != "LEAF"
    own = np.arange(len(trees))
    yes, no = (
        np.where(inner, [place.get((tree, to), 0) for tree, to in zip(trees, given[name], strict=True)], own)
        for name in ("nodes_truenodeids", "nodes_falsenodeids")
    )
    values = given.get("nodes_values")
    # Thresholds are float32 unless they are given as a tensor of doubles.
    cuts = np.asarray(given["nodes_values_as_tensor"] if values is None else np.asarray(values, np.float32))
    cuts = cuts.astype(X.dtype) if X.dtype == np.float64 else cuts
    features = np.where(inner, given["nodes_featureids"], 0)
    missing = np.asarray(given.get("nodes_missing_value_tracks_true") or np.zeros(len(trees), int), bool)
    children = {*yes[inner].tolist(), *no[inner].tolist()}
    roots = np.array([at for at in range(len(trees)) if at not in children], np.int64)
    at = np.broadcast_to(roots, (len(X), len(roots))).copy()
    rows = np.arange(len(X))[:, None]
    kinds = [mode for mode in np.unique(modes) if mode != "LEAF"]
    while inner[at].any():
        shown, cut = X[rows, features[at]], cuts[at]
        takes = np.zeros(at.shape, bool)
        for mode in kinds:
            takes |= (modes[at] == mode) & _TAKES[mode](shown, cut)
        takes |= np.isnan(shown) & missing[at]
        at = np.where(takes, yes[at], no[at])
    return at


def sums(X: Array, given: dict[str, Any], kind: str, width: int) -> Array:
    """What the leaves add up to, for each of `width` classes or targets: (rows, width), in the dtype of X."""
    place = {key: at for at, key in enumerate(zip(given["nodes_treeids"], given["nodes_nodeids"], strict=True))}
    table = np.zeros((len(place), width), X.dtype)
    weights = given.get(f"{kind}_weights")
    weights = given[f"{kind}_weights_as_tensor"] if weights is None else np.asarray(weights, np.float32)
    owners = zip(given[f"{kind}_treeids"], given[f"{kind}_nodeids"], strict=True)
    for key, target, weight in zip(owners, given[f"{kind}_ids"], np.asarray(weights).tolist(), strict=True):
        table[place[key], target] += weight
    found = leaves(X, given)
    result = np.zeros((len(X), width), X.dtype)
    for tree in range(found.shape[1]):
        result += table[found[:, tree]]
    return result


def _base(given: dict[str, Any], dtype: Any) -> Array | None:
    base = given.get("base_values")
    base = given.get("base_values_as_tensor") if base is None else np.asarray(base, np.float32)
    return None if base is None else np.asarray(base, dtype).reshape(1, -1)


class TreeEnsembleRegressor(OpRun):
    """A sum or a mean over trees."""

    op_domain = "ai.onnx.ml"

    def _run(self, X: Array, **given: Any) -> tuple[Array]:
        how = given.get("aggregate_function") or "SUM"
        if how not in ("SUM", "AVERAGE") or given.get("post_transform") not in (None, "NONE"):
            raise NotImplementedError(f"trees with {how}, {given.get('post_transform')}")
        X = X if X.dtype in (np.float32, np.float64) else X.astype(np.float32)
        result = sums(X, given, "target", given.get("n_targets") or 1)
        if how == "AVERAGE":
            result = result / len(set(given["nodes_treeids"]))
        base = _base(given, X.dtype)
        return (result if base is None else result + base,)


class TreeEnsembleClassifier(OpRun):
    """Scores, and the label of the highest."""

    op_domain = "ai.onnx.ml"

    def _run(self, X: Array, **given: Any) -> tuple[Array, Array]:
        X = X if X.dtype in (np.float32, np.float64) else X.astype(np.float32)
        names: Sequence[Any] = given.get("classlabels_int64s") or given.get("classlabels_strings") or []
        ids = set(given["class_ids"])
        binary = len(ids) == 1 and len(names) == 2
        if len(names) < 2 or (len(ids) == 1 and not binary):
            raise NotImplementedError("trees of one class")
        scores = sums(X, given, "class", len(names))
        base = _base(given, X.dtype)
        transform = given.get("post_transform") or "NONE"
        if binary:
            one = scores[:, [next(iter(ids))]]
            one = one if base is None else one + base[:, -1:]
            scores = np.concatenate([1 - one if transform == "NONE" else -one, one], axis=1)
        elif base is not None:
            scores = scores + base
        if transform == "LOGISTIC":
            scores = 1 / (1 + np.exp(-scores))
        elif transform == "SOFTMAX":
            powers = np.exp(scores - scores.max(axis=1, keepdims=True))
            scores = powers / powers.sum(axis=1, keepdims=True)
        elif transform != "NONE":
            raise NotImplementedError(f"trees with {transform}")
        kind = np.int64 if given.get("classlabels_int64s") else object
        return np.asarray(names, kind)[np.argmax(scores, axis=1)], scores


OPERATORS = [TreeEnsembleClassifier, TreeEnsembleRegressor]
