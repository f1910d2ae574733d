"""KNNImputer, each gap filled from the fitted rows that are nearest in what both show, as scikit-learn does."""

from __future__ import annotations

from typing import Any

import numpy as np

from onnxpress.core.arrays import Array
from onnxpress.core.errors import BadModel
from onnxpress.export.networks.sklearn.centres import by_distance
from onnxpress.export.networks.sklearn.nodes import Nodes


def from_neighbours(scope: Any, operator: Any, container: Any) -> None:
    """The filled columns, those of which nothing was fitted left out, and an indicator for each with gaps."""
    nodes, model = Nodes(scope, operator, container), operator.raw_operator
    if model.metric != "nan_euclidean" or model.weights not in ("uniform", "distance"):
        raise BadModel(
            "KNNImputer with a metric or weights of its own has no ONNX form",
            hint="fit it with metric='nan_euclidean', and weights='uniform' or 'distance'",
        )
    word = model.missing_values
    gaps = nodes("IsNaN", nodes.rows) if _is_nan(word) else nodes("Equal", nodes.rows, np.full(1, float(word)))
    shown = nodes("Where", gaps, np.zeros(1), nodes.rows)
    known = ~np.asarray(model._mask_fit_X, bool)
    fitted = np.where(known, np.asarray(model._fit_X, np.float64), 0.0)
    squares, comparable = _squares(nodes, shown, nodes.numbers(nodes("Not", gaps)), fitted, known)
    columns = []
    for place, valid in enumerate(np.asarray(model._valid_mask, bool)):
        own = nodes("Gather", nodes.rows, np.asarray([place]), axis=1)
        if valid:
            donors = np.flatnonzero(known[:, place])
            filled = _filled(nodes, model, squares, comparable, donors, fitted[donors, place])
            columns.append(nodes("Where", nodes("Gather", gaps, np.asarray([place]), axis=1), filled, own))
        elif model.keep_empty_features:
            columns.append(nodes("Mul", nodes("Gather", shown, np.asarray([place]), axis=1), np.zeros(1)))
    if model.add_indicator and len(model.indicator_.features_):
        told = np.asarray(model.indicator_.features_, np.int64)
        columns.append(nodes.numbers(nodes("Gather", gaps, told, axis=1)))
    nodes.answer(nodes("Concat", *columns, axis=1))


def width(model: Any, _: int) -> int:
    """How many columns it answers."""
    kept = len(model._valid_mask) if model.keep_empty_features else int(np.count_nonzero(model._valid_mask))
    return kept + (len(model.indicator_.features_) if model.add_indicator else 0)


def _is_nan(word: Any) -> bool:
    return isinstance(word, float) and bool(np.isnan(word))


def _squares(nodes: Nodes, shown: str, there: str, fitted: Array, known: Array) -> tuple[str, str]:
    """[rows, fitted rows]: squared distances in the columns that both have, scaled up to all columns; and how many
    columns these are. In the order in which scikit-learn adds and takes away."""
    own = nodes("Mul", shown, shown)
    every = nodes("Add", nodes.sum(own, 1, keep=True), (fitted * fitted).sum(1)[None])
    every = nodes("Max", nodes("Add", every, nodes("MatMul", shown, -2.0 * fitted.T)), np.zeros(1))
    every = nodes("Sub", every, nodes("MatMul", own, 1.0 - known.T.astype(np.float64)))
    absent = nodes("Sub", np.ones(1), there)
    every = nodes("Max", nodes("Sub", every, nodes("MatMul", absent, (fitted * fitted).T)), np.zeros(1))
    count = nodes("MatMul", there, known.T.astype(np.float64))
    scaled = nodes("Div", every, nodes("Max", count, np.ones(1)))
    return nodes("Mul", scaled, np.full(1, float(known.shape[1]))), count


def _filled(nodes: Nodes, model: Any, squares: str, comparable: str, donors: Array, values: Array) -> str:
    """[rows, 1]: the mean over the nearest donors; of all of them where none has a column in common."""
    squares, count = (nodes("Gather", one, donors, axis=1) for one in (squares, comparable))
    none = nodes("Equal", count, np.zeros(1))
    ordered = nodes("Where", none, np.full(1, np.inf), squares)
    k = np.asarray([min(model.n_neighbors, len(donors))])
    nearest, places = nodes.several("TopK", 2, ordered, k, axis=1, largest=0, sorted=1)
    far = nodes("Equal", nearest, np.full(1, np.inf))
    near = nodes.numbers(nodes("Not", far))
    weights = near
    if model.weights == "distance":
        weights = by_distance(nodes, near, nodes("Where", far, np.ones(1), nearest))
    whole = nodes.sum(weights, 1, keep=True)
    alone = nodes("Equal", whole, np.zeros(1))
    given = nodes("Mul", weights, nodes("Gather", values, places, axis=0))
    mean = nodes("Div", nodes.sum(given, 1, keep=True), nodes("Where", alone, np.ones(1), whole))
    return nodes("Where", alone, np.full(1, values.mean()), mean)
