"""Where trees send a missing value: scikit-learn learns it, skl2onnx 1.20 leaves it out."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

from onnxpress.core.arrays import Array
from onnxpress.export.networks.sklearn.parts import parts

if TYPE_CHECKING:
    import onnx

_OPERATORS = ("TreeEnsembleClassifier", "TreeEnsembleRegressor")


def send_missing(graph: onnx.GraphProto, estimator: Any) -> None:
    """Write `missing_go_to_left` of every fitted tree into the tree operators, where both agree node by node.

    A tree that does not agree is left as it is: the measurement then finds what it says to a missing value.
    """
    trees = list(_trees(estimator))
    for node in graph.node:
        if node.op_type not in _OPERATORS:
            continue
        attributes = {attribute.name: attribute for attribute in node.attribute}
        owners = np.asarray(attributes["nodes_treeids"].ints)
        numbers = np.asarray(attributes["nodes_nodeids"].ints)
        features = np.asarray(attributes["nodes_featureids"].ints)
        modes = np.asarray([mode.decode() for mode in attributes["nodes_modes"].strings])
        true = np.zeros(len(owners), np.int64)
        for owner in np.unique(owners):
            places = np.flatnonzero(owners == owner)
            fitting = next(
                (tree for tree in trees if _same(tree, numbers[places], features[places], modes[places])), None
            )
            if fitting is None:
                return
            trees.remove(fitting)
            true[places] = np.asarray(fitting.missing_go_to_left)[numbers[places]] * (modes[places] == "BRANCH_LEQ")
        if not true.any():
            continue
        if "nodes_missing_value_tracks_true" in attributes:
            node.attribute.remove(attributes["nodes_missing_value_tracks_true"])
        import onnx

        node.attribute.append(onnx.helper.make_attribute("nodes_missing_value_tracks_true", true.tolist()))


def _same(tree: Any, numbers: Array, features: Array, modes: Array) -> bool:
    """Whether these nodes are the tree's: as many, the same that split, on the same features."""
    if len(numbers) != tree.node_count or set(numbers.tolist()) != set(range(tree.node_count)):
        return False
    splits = np.asarray(tree.children_left)[numbers] != -1
    return bool(
        np.array_equal(splits, modes == "BRANCH_LEQ")
        and np.array_equal(np.asarray(tree.feature)[numbers][splits], features[splits])
    )


def _trees(estimator: Any) -> Iterator[Any]:
    seen: set[int] = set()
    for part in parts(estimator):
        members = getattr(part, "estimators_", None)
        for member in [part] if members is None else np.ravel(np.asarray(members, object)).tolist():
            tree = getattr(member, "tree_", None)
            if tree is not None and hasattr(tree, "missing_go_to_left") and id(tree) not in seen:
                seen.add(id(tree))
                yield tree
