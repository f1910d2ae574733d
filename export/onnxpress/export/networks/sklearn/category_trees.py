"""HistGradientBoosting with categorical features: each split by categories becomes a column of 0 and 1 of its own."""

from __future__ import annotations

from typing import Any

import numpy as np

from onnxpress.core.arrays import Array
from onnxpress.export.networks.sklearn.nodes import Nodes
from onnxpress.export.networks.sklearn.numeric_steps import exponent_of_boosting


def by_categories(estimator: Any) -> bool:
    """Whether its trees split by categories."""
    return hasattr(estimator, "_predictors") and bool(np.any(getattr(estimator, "is_categorical_", None)))


def regressor(scope: Any, operator: Any, container: Any) -> None:
    """HistGradientBoostingRegressor; skl2onnx's own converter where no feature is categorical."""
    model = operator.raw_operator
    if not by_categories(model):
        exponent_of_boosting(scope, operator, container)
        return
    nodes = Nodes(scope, operator, container)
    value = _sums(nodes)
    nodes.answer(nodes("Exp", value) if model.loss in ("poisson", "gamma") else value)


def classifier(scope: Any, operator: Any, container: Any) -> None:
    """HistGradientBoostingClassifier; skl2onnx's own converter where no feature is categorical."""
    model = operator.raw_operator
    if not by_categories(model):
        from skl2onnx.operator_converters.random_forest import convert_sklearn_random_forest_classifier as stock

        stock(scope, operator, container)
        return
    nodes = Nodes(scope, operator, container)
    value = _sums(nodes)
    if len(model.classes_) == 2:
        share = nodes("Sigmoid", value)
        value = nodes("Concat", nodes("Sub", np.ones(1), share), share, axis=1)
    else:
        value = nodes("Softmax", value, axis=1)
    nodes.answer_class(nodes("ArgMax", value, axis=1, keepdims=0), model.classes_)
    nodes.answer(value, 1)


def _sums(nodes: Nodes) -> str:
    """[rows, trees of an iteration]: what the trees add up to."""
    model = nodes.operator.raw_operator
    order, categories = _columns(model)
    rows = nodes("Gather", nodes.rows, order, axis=1)
    sides = _Sides(model, categories)
    trees: dict[str, list[Any]] = {name: [] for name in _NODE}
    leaves: dict[str, list[Any]] = {name: [] for name in ("treeids", "nodeids", "ids", "weights")}
    for number, (target, tree) in enumerate((t, one) for step in model._predictors for t, one in enumerate(step)):
        for place, node in enumerate(tree.nodes):
            leaf = bool(node["is_leaf"])
            feature, cut = int(node["feature_idx"]), float(node["num_threshold"])
            column: Any = feature
            missing = bool(node["missing_go_to_left"])
            if not leaf and node["is_categorical"]:
                left = tree.raw_left_cat_bitsets[node["bitset_idx"]]
                column, cut, missing = sides.column(feature, left, missing=missing), 0.5, False
            if leaf:
                told: tuple[Any, ...] = (number, place, 0, "LEAF", 0.0, 0, 0, 0)
                for name, value in zip(leaves, (number, place, target, float(node["value"])), strict=True):
                    leaves[name].append(value)
            else:
                ends = int(node["left"]), int(node["right"])
                told = (number, place, column, "BRANCH_LEQ", cut, *ends, int(missing))
            for name, value in zip(_NODE, told, strict=True):
                trees[name].append(value)
    trees["featureids"] = [sides.number(column, len(order)) for column in trees["featureids"]]
    beside = sides.written(nodes, rows)
    whole = nodes("Concat", rows, *beside, axis=1) if beside else rows
    wide = {"nodes_values_as_tensor": trees.pop("values"), "target_weights_as_tensor": leaves.pop("weights")}
    made = nodes(
        "TreeEnsembleRegressor",
        whole,
        domain="ai.onnx.ml",
        op_version=3,
        n_targets=model.n_trees_per_iteration_,
        **{f"nodes_{name}": values for name, values in trees.items()},
        **{f"target_{name}": values for name, values in leaves.items()},
        **{name: _tensor(name, values) for name, values in wide.items()},
    )
    base = np.asarray(model._baseline_prediction, np.float64).reshape(1, -1)
    return nodes("Add", nodes("Cast", made, to=11), base)


_NODE = (
    "treeids",
    "nodeids",
    "featureids",
    "modes",
    "values",
    "truenodeids",
    "falsenodeids",
    "missing_value_tracks_true",
)


def _tensor(name: str, values: list[float]) -> Any:
    import onnx

    return onnx.numpy_helper.from_array(np.asarray(values, np.float64), name)


def _columns(model: Any) -> tuple[Array, dict[int, Array]]:
    """The features in the trees' order, and for each categorical one what its codes 0, 1, 2 and so on stand for.

    scikit-learn encodes the categories before the trees see them, and puts those columns first.
    """
    marked = np.asarray(model.is_categorical_, bool)
    order = np.r_[np.flatnonzero(marked), np.flatnonzero(~marked)]
    front = model._preprocessor
    if front is None:
        return np.arange(len(marked)), {int(place): np.arange(256.0) for place in np.flatnonzero(marked)}
    known = front.named_transformers_["encoder"].categories_
    return order, {place: np.asarray(values, np.float64) for place, values in enumerate(known)}


class _Sides:
    """The distinct splits by categories, each a column: 0 where the category goes left, else 1."""

    def __init__(self, model: Any, categories: dict[int, Array]) -> None:
        self._categories = categories
        self._known, self._of_feature = model._bin_mapper.make_known_categories_bitsets()
        self._tables: dict[int, dict[bytes, Array]] = {feature: {} for feature in categories}

    def column(self, feature: int, left: Array, *, missing: bool) -> tuple[int, int]:
        """The feature, and the place of the split among its own. Unknown categories go where missing values go."""
        codes = np.arange(len(self._categories[feature]))
        other = 0.0 if missing else 1.0
        known = _in(self._known[self._of_feature[feature]], codes)
        side = np.r_[np.where(_in(left, codes), 0.0, np.where(known, 1.0, other)), other]
        table = self._tables[feature]
        table.setdefault(side.tobytes(), side)
        return feature, list(table).index(side.tobytes())

    def number(self, column: Any, features: int) -> int:
        """The number of a column behind the features, of those of the first feature first; others as they are."""
        if not isinstance(column, tuple):
            return int(column)
        before = sum(len(table) for feature, table in self._tables.items() if feature < column[0])
        return features + before + int(column[1])

    def written(self, nodes: Nodes, rows: str) -> list[str]:
        """These columns, for each feature [rows, splits]."""
        made = []
        for feature, table in sorted(self._tables.items()):
            if not table:
                continue
            sides = np.array(list(table.values())).T
            value = nodes("Gather", rows, np.asarray([feature]), axis=1)
            known = ~np.isnan(self._categories[feature])
            same = nodes.numbers(nodes("Equal", value, self._categories[feature][known][None]))
            # Where no category is the same, all of it is 0, and the last row of the table is left.
            made.append(nodes("Add", nodes("MatMul", same, (sides[:-1] - sides[-1])[known]), sides[-1:]))
        return made


def _in(bits: Array, codes: Array) -> Array:
    """Whether each code is in scikit-learn's set of 256 bits, eight words of 32."""
    return (np.asarray(bits, np.uint64)[codes // 32] >> (codes % 32).astype(np.uint64)) & np.uint64(1) == 1
