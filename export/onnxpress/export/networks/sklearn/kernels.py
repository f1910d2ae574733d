"""Kernels as scikit-learn's KernelRidge, Nystroem and RBFSampler take them, and what is linear behind a mean."""

from __future__ import annotations

from typing import Any

import numpy as np

from onnxpress.core.errors import BadModel
from onnxpress.export.networks.sklearn.nodes import Nodes

KERNELS = ("rbf", "poly", "polynomial", "linear", "sigmoid", "laplacian", "cosine")


def _kernel(nodes: Nodes, estimator: Any, centres: Any) -> str:
    """[rows, centres]: the kernel between each row and each centre."""
    name, centres = estimator.kernel, np.asarray(centres, np.float64)
    if name not in KERNELS or (estimator.kernel_params or {}):
        raise BadModel(
            f"{type(estimator).__name__}: the kernel {name!r} has no ONNX form here",
            hint=f"fit it with one of {', '.join(KERNELS)}, and without kernel_params",
        )
    gamma = 1.0 / centres.shape[1] if estimator.gamma is None else float(estimator.gamma)
    if name == "rbf":
        return nodes("Exp", nodes("Mul", nodes.squares(centres), np.full(1, -gamma)))
    if name == "laplacian":
        apart = nodes("Abs", nodes("Sub", nodes.reshaped(nodes.rows, -1, 1, centres.shape[1]), centres[None]))
        return nodes("Exp", nodes("Mul", nodes.sum(apart, 2), np.full(1, -gamma)))
    rows = nodes.rows
    if name == "cosine":
        norm = nodes("Sqrt", nodes.sum(nodes("Mul", rows, rows), 1, keep=True))
        none = nodes("Equal", norm, np.zeros(1))
        rows = nodes("Div", rows, nodes("Where", none, np.ones(1), norm))
        long = np.linalg.norm(centres, axis=1, keepdims=True)
        return nodes("MatMul", rows, (centres / np.where(long == 0, 1, long)).T)
    dots = nodes("MatMul", rows, centres.T)
    if name == "linear":
        return dots
    moved = nodes(
        "Add",
        nodes("Mul", dots, np.full(1, gamma)),
        np.full(1, 1.0 if estimator.coef0 is None else float(estimator.coef0)),
    )
    if name == "sigmoid":
        return nodes("Tanh", moved)
    return nodes("Pow", moved, np.full(1, 3.0 if estimator.degree is None else float(estimator.degree)))


def ridge(scope: Any, operator: Any, container: Any) -> None:
    """KernelRidge: the kernel with the rows that it was fitted on, weighed."""
    nodes, model = Nodes(scope, operator, container), operator.raw_operator
    weights = np.asarray(model.dual_coef_, np.float64).reshape(len(model.X_fit_), -1)
    nodes.answer(nodes("MatMul", _kernel(nodes, model, model.X_fit_), weights))


def nystroem(scope: Any, operator: Any, container: Any) -> None:
    """Nystroem: the kernel with its components, normalised."""
    nodes, model = Nodes(scope, operator, container), operator.raw_operator
    made = _kernel(nodes, model, model.components_)
    nodes.answer(nodes("MatMul", made, np.asarray(model.normalization_.T, np.float64)))


def fourier(scope: Any, operator: Any, container: Any) -> None:
    """RBFSampler: cosines of random directions."""
    nodes, model = Nodes(scope, operator, container), operator.raw_operator
    turned = nodes("MatMul", nodes.rows, np.asarray(model.random_weights_, np.float64))
    waves = nodes("Cos", nodes("Add", turned, np.asarray(model.random_offset_, np.float64)))
    nodes.answer(nodes("Mul", waves, np.full(1, (2.0 / model.n_components) ** 0.5)))


def independent(scope: Any, operator: Any, container: Any) -> None:
    """FastICA: linear behind its mean."""
    nodes, model = Nodes(scope, operator, container), operator.raw_operator
    rows = nodes("Sub", nodes.rows, np.asarray(model.mean_, np.float64)) if model.whiten else nodes.rows
    nodes.answer(nodes("MatMul", rows, np.asarray(model.components_.T, np.float64)))


def factors(scope: Any, operator: Any, container: Any) -> None:
    """FactorAnalysis: linear behind its mean, by the inverse of what the factors share."""
    nodes, model = Nodes(scope, operator, container), operator.raw_operator
    weighed = model.components_ / model.noise_variance_
    shared = np.linalg.inv(np.eye(len(model.components_)) + weighed @ model.components_.T)
    rows = nodes("Sub", nodes.rows, np.asarray(model.mean_, np.float64))
    nodes.answer(nodes("MatMul", rows, np.asarray(weighed.T @ shared, np.float64)))


def envelope(scope: Any, operator: Any, container: Any) -> None:
    """EllipticEnvelope: the squared distance by the covariance, beside an offset."""
    nodes, model = Nodes(scope, operator, container), operator.raw_operator
    apart = nodes("Sub", nodes.rows, np.asarray(model.location_, np.float64))
    turned = nodes("MatMul", apart, np.asarray(model.get_precision(), np.float64))
    far = nodes.sum(nodes("Mul", turned, apart), 1, keep=True)
    _inside(nodes, nodes("Sub", np.full(1, -float(model.offset_)), far))


def one_class(scope: Any, operator: Any, container: Any) -> None:
    """SGDOneClassSVM: a plane."""
    nodes, model = Nodes(scope, operator, container), operator.raw_operator
    height = nodes("MatMul", nodes.rows, np.asarray(model.coef_, np.float64).reshape(-1, 1))
    _inside(nodes, nodes("Sub", height, np.asarray(model.offset_, np.float64).reshape(1)))


def _inside(nodes: Nodes, scores: str) -> None:
    """1 where the score is not below 0, else -1; and the scores."""
    inside = nodes("Cast", nodes("GreaterOrEqual", scores, np.zeros(1)), to=7)
    nodes.answer(nodes("Sub", nodes("Mul", inside, np.asarray([2])), np.asarray([1])))
    nodes.answer(scores, 1)
