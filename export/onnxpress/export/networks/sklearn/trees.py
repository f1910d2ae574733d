"""What skl2onnx 1.20 loses of trees: where they send a missing value, and thresholds in float64."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

from onnxpress.core.arrays import Array
from onnxpress.export.networks.sklearn.boosting import package_of
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


def count_votes(graph: onnx.GraphProto) -> None:
    """Let a forest's trees add up to whole votes, which are divided once: scikit-learn breaks ties so.

    skl2onnx writes the share p / n of each of n trees, rounded to float32. Ten of twenty votes are then more than half.
    """
    from onnx import helper, numpy_helper

    for place, node in reversed(list(enumerate(graph.node))):
        given = {one.name: helper.get_attribute_value(one) for one in node.attribute}
        if node.op_type != "TreeEnsembleClassifier" or given.get("post_transform", b"NONE") != b"NONE":
            continue
        votes = _votes(given)
        labels = given.get("classlabels_int64s") or given.get("classlabels_strings") or []
        ids = sorted(set(given["class_ids"]))
        if votes is None or len(labels) < 2 or (len(ids) == 1 and len(labels) != 2):
            continue
        kept = {name: value for name, value in given.items() if name.startswith("nodes_")}
        of_leaves = {f"target_{name}": given[f"class_{name}"] for name in ("nodeids", "treeids")}
        targets = given["class_ids"] if len(ids) > 1 else [0] * len(given["class_ids"])
        label, scores = node.output
        names = {one: f"trees/{place}/{one}" for one in ("votes", "count", "one", "others", "share", "best", "labels")}
        share = scores if len(ids) > 1 else names["share"]
        nodes = [
            helper.make_node(
                "TreeEnsembleRegressor",
                list(node.input),
                [names["votes"]],
                name=node.name,
                domain="ai.onnx.ml",
                n_targets=len(labels) if len(ids) > 1 else 1,
                aggregate_function="SUM",
                target_ids=targets,
                target_weights=votes,
                **kept,
                **of_leaves,
            ),
            helper.make_node("Div", [names["votes"], names["count"]], [share]),
        ]
        if len(ids) == 1:
            nodes.append(helper.make_node("Sub", [names["one"], share], [names["others"]]))
            nodes.append(helper.make_node("Concat", [names["others"], share], [scores], axis=1))
        nodes.append(helper.make_node("ArgMax", [scores], [names["best"]], axis=1, keepdims=0))
        nodes.append(helper.make_node("Gather", [names["labels"], names["best"]], [label], axis=0))
        trees = len(set(given["nodes_treeids"]))
        texts = isinstance(labels[0], bytes)
        constants = {
            "count": np.full(1, trees, np.float32),
            "one": np.ones(1, np.float32),
            "labels": np.asarray([one.decode() for one in labels] if texts else labels, object if texts else np.int64),
        }
        graph.initializer.extend(numpy_helper.from_array(value, names[name]) for name, value in constants.items())
        graph.node.remove(node)
        for one in reversed(nodes):
            graph.node.insert(place, one)


def _votes(given: dict[str, Any]) -> list[float] | None:
    """What each leaf says, before it was divided by the number of trees; None where these are no shares of votes."""
    count = len(set(given.get("nodes_treeids", [])))
    if count < 2 or "base_values" in given or "class_weights" not in given:
        return None
    votes = np.asarray(given["class_weights"], np.float64) * count
    whole = np.round(votes)
    votes = np.where(np.abs(votes - whole) < 1e-6, whole, votes)
    leaves: dict[tuple[int, int], float] = {}
    for key, vote in zip(zip(given["class_treeids"], given["class_nodeids"], strict=True), votes, strict=True):
        leaves[key] = leaves.get(key, 0.0) + vote
    sums = np.fromiter(leaves.values(), np.float64)
    alone = len(set(given["class_ids"])) == 1
    shares = (sums > -1e-6) & (sums < 1 + 1e-5) if alone else np.abs(sums - 1) < 1e-5
    return [float(vote) for vote in votes] if shares.all() else None


def sum_in_double(graph: onnx.GraphProto, estimator: Any) -> None:
    """Let the tree operators add up in float64, as scikit-learn does: the runtime's sums are of its inputs' type.

    In float32 the shares of a hundred trees, 1/100 each, lose five units in the last place. The rows themselves are
    rounded to float32 first where scikit-learn does that. So it is with boosting packages: LightGBM and CatBoost add
    up in float64 too, and XGBoost's float32 is as far from that as another order of adding would be from XGBoost's.
    LightGBM compares in float64 as well.
    """
    import onnx

    as_given = any(hasattr(part, "_predictors") or package_of(part) == "lightgbm" for part in parts(estimator))
    for place, node in reversed(list(enumerate(graph.node))):
        if node.op_type in _OPERATORS:
            given, narrow, wide = node.input[0], f"trees/{place}/rows", f"trees/{place}/wide"
            node.input[0] = wide
            casts = [onnx.helper.make_node("Cast", [narrow], [wide], to=onnx.TensorProto.DOUBLE)]
            if as_given:
                casts[0].input[0] = given
            else:
                casts.insert(0, onnx.helper.make_node("Cast", [given], [narrow], to=onnx.TensorProto.FLOAT))
            for cast in reversed(casts):
                graph.node.insert(place, cast)


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
