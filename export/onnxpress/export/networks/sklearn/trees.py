"""What skl2onnx 1.20 loses of trees: where they send a missing value, and thresholds in float64."""

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


def round_down(graph: onnx.GraphProto, estimator: Any) -> None:
    """Write HistGradientBoosting's thresholds as the largest float32 not above each.

    A float32 value is then below one exactly where it is below the other. skl2onnx takes the nearest float32; where
    that lies above, a value that was a threshold itself, as with few distinct values, goes the other way. Trees that
    do not agree node by node are left as they are.
    """
    predictors = [one.nodes for part in parts(estimator) for row in getattr(part, "_predictors", []) for one in row]
    for node in graph.node if predictors else ():
        attributes = {attribute.name: attribute for attribute in node.attribute}
        if node.op_type not in _OPERATORS or "nodes_values" not in attributes:
            continue
        owners, numbers = (np.asarray(attributes[name].ints) for name in ("nodes_treeids", "nodes_nodeids"))
        features, values = np.asarray(attributes["nodes_featureids"].ints), np.array(attributes["nodes_values"].floats)
        for owner in np.unique(owners):
            places = np.flatnonzero(owners == owner)
            own = numbers[places]
            for nodes in predictors:
                if len(nodes) != len(own) or set(own.tolist()) != set(range(len(nodes))):
                    continue
                splits = ~nodes["is_leaf"][own].astype(bool)
                wide = nodes["num_threshold"][own][splits].astype(np.float64)
                near = wide.astype(np.float32)
                same = np.array_equal(nodes["feature_idx"][own][splits], features[places][splits])
                if same and np.array_equal(values[places][splits].astype(np.float32), near):
                    lower = np.where(near > wide, np.nextafter(near, np.float32(-np.inf)), near)
                    values[places[splits]] = lower
                    break
        attributes["nodes_values"].floats[:] = values.tolist()
