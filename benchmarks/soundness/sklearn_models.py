"""scikit-learn pipelines: rare classes, trees, scales, float64 tables."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from sklearn.datasets import make_classification, make_regression
from sklearn.decomposition import PCA
from sklearn.ensemble import (
    ExtraTreesClassifier,
    GradientBoostingClassifier,
    HistGradientBoostingRegressor,
    RandomForestClassifier,
)
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.naive_bayes import GaussianNB
from sklearn.neighbors import KNeighborsClassifier
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import MinMaxScaler, PolynomialFeatures, QuantileTransformer, RobustScaler, StandardScaler
from sklearn.svm import SVC
from sklearn.tree import DecisionTreeClassifier

Built = tuple[Any, dict[str, Any]]
MODELS: dict[str, Callable[[], Built]] = {}


def _rows(dtype: type = np.float32, rare: float = 0.03) -> tuple[Any, Any]:
    rows, labels = make_classification(
        800, 8, n_informative=5, weights=[1 - rare], class_sep=2.0, flip_y=0.0, random_state=0
    )
    return rows.astype(dtype), labels


def _classifier(make: Callable[[], Any], dtype: type = np.float32, rare: float = 0.03) -> Built:
    rows, labels = _rows(dtype, rare)
    return make().fit(rows, labels), {"example_inputs": rows[:64]}


def _regressor(make: Callable[[], Any], dtype: type = np.float32) -> Built:
    rows, target = make_regression(400, 6, noise=1.0, random_state=0)
    return make().fit(rows.astype(dtype), target), {"example_inputs": rows[:64].astype(dtype)}


for _name, _make in {
    "logistic_regression": lambda: make_pipeline(StandardScaler(), LogisticRegression(C=100)),
    "forest_of_64": lambda: RandomForestClassifier(64, max_depth=6, random_state=0),
    "extra_trees": lambda: ExtraTreesClassifier(32, max_depth=6, random_state=0),
    "boosted_trees": lambda: GradientBoostingClassifier(n_estimators=40, random_state=0),
    "perceptron": lambda: make_pipeline(StandardScaler(), MLPClassifier((24,), max_iter=300, random_state=0)),
    "naive_bayes": lambda: GaussianNB(),
    "decision_tree": lambda: DecisionTreeClassifier(max_depth=5, random_state=0),
    "principal_components": lambda: make_pipeline(MinMaxScaler(), PCA(4), LogisticRegression()),
    "polynomials": lambda: make_pipeline(RobustScaler(), PolynomialFeatures(2), LogisticRegression(max_iter=500)),
    "support_vectors": lambda: make_pipeline(StandardScaler(), SVC(random_state=0)),
}.items():
    MODELS[_name] = lambda make=_make: _classifier(make)
MODELS["nearest_neighbours"] = lambda: _classifier(lambda: KNeighborsClassifier(3))
MODELS["logistic_regression_of_one_in_200"] = lambda: _classifier(lambda: LogisticRegression(C=1000), rare=0.005)
MODELS["logistic_regression_of_a_float64_table"] = lambda: _classifier(
    lambda: make_pipeline(StandardScaler(), LogisticRegression()), np.float64
)
MODELS["perceptron_of_a_float64_table"] = lambda: _classifier(
    lambda: make_pipeline(StandardScaler(), MLPClassifier((16,), max_iter=200, random_state=0)), np.float64
)
MODELS["ridge"] = lambda: _regressor(lambda: make_pipeline(StandardScaler(), Ridge()))
MODELS["ridge_of_a_float64_table"] = lambda: _regressor(lambda: make_pipeline(StandardScaler(), Ridge()), np.float64)
MODELS["boosted_regression"] = lambda: _regressor(lambda: HistGradientBoostingRegressor(max_iter=30, random_state=0))
MODELS["quantiles"] = lambda: _classifier(
    lambda: make_pipeline(QuantileTransformer(n_quantiles=50, random_state=0), LogisticRegression())
)
