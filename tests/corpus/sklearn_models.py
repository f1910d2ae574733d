"""Awkward scikit-learn estimators, each with what should happen to it."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from sklearn.cluster import KMeans
from sklearn.compose import ColumnTransformer
from sklearn.decomposition import PCA
from sklearn.ensemble import (
    GradientBoostingRegressor,
    HistGradientBoostingClassifier,
    IsolationForest,
    RandomForestClassifier,
)
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.naive_bayes import GaussianNB
from sklearn.neighbors import KNeighborsClassifier
from sklearn.neural_network import MLPRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, PolynomialFeatures, StandardScaler
from sklearn.svm import SVC, LinearSVC
from tests.corpus.expected import Corpus

corpus = Corpus()
exported, refused = corpus.exported, corpus.refused

rng = np.random.default_rng(0)
X = rng.normal(size=(120, 4)).astype(np.float32)
y = (X[:, 0] + X[:, 1] > 0).astype(int)
WORDS = np.array(["no", "yes"], object)[y]


def fitted(estimator: Any, target: Any = y) -> Any:
    return estimator.fit(X, target), {"samples": {"features": X[:20]}}


@exported()
def logistic_regression():
    return fitted(LogisticRegression())


@exported()
def linear_regression():
    return fitted(LinearRegression(), X[:, 0] * 2)


@exported()
def forest_with_string_labels():
    return fitted(RandomForestClassifier(5, random_state=0), WORDS)


@exported()
def gradient_boosting():
    return fitted(GradientBoostingRegressor(n_estimators=5, random_state=0), X[:, 0] * 2)


@exported()
def scaled_support_vectors():
    return fitted(make_pipeline(StandardScaler(), SVC(random_state=0)))


@exported()
def linear_support_vectors():
    return fitted(LinearSVC(random_state=0))


@exported()
def nearest_neighbours():
    return fitted(KNeighborsClassifier())


@exported()
def naive_bayes():
    return fitted(GaussianNB())


@exported()
def perceptron():
    return fitted(MLPRegressor(hidden_layer_sizes=(8,), solver="lbfgs", max_iter=2000, random_state=0), X[:, 0] * 2)


@exported()
def polynomial_features_and_components():
    return fitted(make_pipeline(PolynomialFeatures(2), PCA(3)))


@exported()
def clusters():
    return fitted(KMeans(3, n_init=2, random_state=0))


@exported()
def isolation_forest_with_scores():
    return fitted(IsolationForest(n_estimators=10, random_state=0), None)


@exported()
def histogram_boosting():
    return fitted(HistGradientBoostingClassifier(max_iter=5, random_state=0))


@exported()
def string_and_numeric_columns():
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame({"age": X[:, 0], "size": X[:, 1], "town": np.array(["Ulm", "Bonn"], object)[y]})
    columns = ColumnTransformer(
        [("numbers", StandardScaler(), ["age", "size"]), ("words", OneHotEncoder(handle_unknown="ignore"), ["town"])]
    )
    return make_pipeline(columns, LogisticRegression()).fit(frame, y), {"example_inputs": frame}


@exported()
def histogram_boosting_over_categories():
    table = X.copy()
    table[:, 0] = rng.integers(0, 3, len(X))
    return HistGradientBoostingClassifier(categorical_features=[0], max_iter=5).fit(table, y), {}


@exported()
def text():
    return make_pipeline(TfidfVectorizer(), LogisticRegression()).fit(["good film", "bad film"] * 10, [0, 1] * 10), {}


@refused("does not tell its inputs|fails")
def not_fitted():
    return LogisticRegression(), {}
