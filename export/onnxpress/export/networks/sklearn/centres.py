"""Estimators that ask which centres are near: NearestCentroid, clusterings by centres, neighbours within a radius."""

from __future__ import annotations

from typing import Any

import numpy as np

from onnxpress.core.errors import BadModel
from onnxpress.export.networks.sklearn.nodes import Nodes


def centroids(scope: Any, operator: Any, container: Any) -> None:
    """NearestCentroid: the nearest, or the most probable where its priors differ; and the probabilities."""
    nodes, model = Nodes(scope, operator, container), operator.raw_operator
    where, count = np.asarray(model.centroids_, np.float64), len(model.classes_)
    metric = model.metric
    if metric not in ("euclidean", "manhattan"):
        raise BadModel(f"NearestCentroid: the metric {metric!r} has no ONNX form here", hint="fit it with euclidean")
    if not hasattr(model, "class_prior_"):  # scikit-learn 1.6 and before know no priors
        nodes.answer_class(nodes("ArgMin", _apart(nodes, where, metric), axis=1, keepdims=0), model.classes_)
        nodes.answer(nodes("Neg", _apart(nodes, where, metric)), 1)
        return
    spread = np.where(model.within_class_std_dev_ != 0, model.within_class_std_dev_, 1.0)
    plain, nodes.rows = nodes.rows, nodes("Div", nodes.rows, spread)
    scaled = _apart(nodes, where / spread, metric)
    if metric == "manhattan":
        scaled = nodes("Mul", scaled, scaled)
    nodes.rows = plain
    scores = nodes("Sub", 2.0 * np.log(np.asarray(model.class_prior_, np.float64)), scaled)
    if np.isclose(model.class_prior_, 1 / count).all():
        best = nodes("ArgMin", _apart(nodes, where, metric), axis=1, keepdims=0)
    else:
        best = nodes("ArgMax", scores, axis=1, keepdims=0)
    nodes.answer_class(best, model.classes_)
    nodes.answer(nodes("Softmax", scores, axis=1), 1)


def _apart(nodes: Nodes, centres: Any, metric: str) -> str:
    """[rows, centres]: squared distances, or the sums of absolute ones."""
    if metric == "euclidean":
        return nodes.squares(centres)
    apart = nodes("Abs", nodes("Sub", nodes.reshaped(nodes.rows, -1, 1, centres.shape[1]), centres[None]))
    return nodes.sum(apart, 2)


def clusters(scope: Any, operator: Any, container: Any) -> None:
    """Birch, MeanShift and AffinityPropagation: the cluster of the nearest centre; and the distances to the centres."""
    nodes, model = Nodes(scope, operator, container), operator.raw_operator
    birch = hasattr(model, "subcluster_centers_")
    centres = np.asarray(model.subcluster_centers_ if birch else model.cluster_centers_, np.float64)
    squares = nodes.squares(centres)
    best = nodes("ArgMin", squares, axis=1, keepdims=0)
    nodes.answer_class(best, np.asarray(model.subcluster_labels_ if birch else np.arange(len(centres)), np.int64))
    nodes.answer(nodes("Sqrt", squares), 1)


def within_radius(scope: Any, operator: Any, container: Any) -> None:
    """RadiusNeighborsClassifier with a label for rows without neighbours, which skl2onnx 1.20 fails on."""
    nodes, model = Nodes(scope, operator, container), operator.raw_operator
    euclidean = model.effective_metric_ == "euclidean"
    several = isinstance(model.classes_, list)
    if model.outlier_label_ is None or several or not euclidean or model.weights not in ("uniform", "distance"):
        from skl2onnx.operator_converters.nearest_neighbours import convert_nearest_neighbors_classifier as stock

        stock(scope, operator, container)
        return
    places, count = np.asarray(model._y).ravel(), len(model.classes_)
    weights = _weights_within(nodes, model)
    votes = nodes("MatMul", weights, np.eye(count)[places])
    whole = nodes.sum(votes, 1, keep=True)
    alone = nodes("Equal", whole, np.zeros(1))
    shares = nodes("Div", votes, nodes("Where", alone, np.ones(1), whole))
    # One label for each output of the classifier, of which there is one here.
    label = model.outlier_label_[0] if isinstance(model.outlier_label_, list | np.ndarray) else model.outlier_label_
    known = np.flatnonzero(np.asarray(model.classes_) == label)
    other = np.eye(count)[known[:1]] if len(known) else np.zeros((1, count))
    shares = nodes("Where", alone, other, shares)
    best = nodes("ArgMax", shares, axis=1, keepdims=0)
    best = nodes("Where", nodes.reshaped(alone, -1), np.asarray([known[0] if len(known) else count]), best)
    nodes.answer_class(best, [*model.classes_.tolist(), label])
    nodes.answer(shares, 1)


def mean_within_radius(scope: Any, operator: Any, container: Any) -> None:
    """RadiusNeighborsRegressor: the mean of the targets within the radius, which is NaN where there are none."""
    nodes, model = Nodes(scope, operator, container), operator.raw_operator
    if model.effective_metric_ != "euclidean" or model.weights not in ("uniform", "distance"):
        from skl2onnx.operator_converters.nearest_neighbours import convert_nearest_neighbors_regressor as stock

        stock(scope, operator, container)
        return
    targets = np.asarray(model._y, np.float64).reshape(len(model._fit_X), -1)
    weights = _weights_within(nodes, model)
    summed = nodes("MatMul", weights, targets)
    nodes.answer(nodes("Div", summed, nodes.sum(weights, 1, keep=True)))


def _weights_within(nodes: Nodes, model: Any) -> str:
    """[rows, fitted rows]: how much each fitted row within the radius counts; 0 for the others."""
    squares = nodes.squares(np.asarray(model._fit_X, np.float64))
    near = nodes.numbers(nodes("LessOrEqual", nodes("Sqrt", squares), np.full(1, float(model.radius))))
    return near if model.weights == "uniform" else by_distance(nodes, near, squares)


def by_distance(nodes: Nodes, near: str, squares: str) -> str:
    """1 / distance for those that are near (1.0, else 0.0); one at no distance is the only one that counts."""
    same = nodes("Equal", squares, np.zeros(1))
    any_same = nodes("Greater", nodes.sum(nodes.numbers(same), 1, keep=True), np.zeros(1))
    safe = nodes("Where", same, np.ones(1), nodes("Sqrt", squares))
    return nodes("Where", any_same, nodes.numbers(same), nodes("Div", near, safe))
