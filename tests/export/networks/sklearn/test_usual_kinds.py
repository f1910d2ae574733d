"""Estimators as people fit them, through the public door: published, and asked on rows of the test's own."""

from __future__ import annotations

import re
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("sklearn")
pytest.importorskip("skl2onnx")

from sklearn.calibration import CalibratedClassifierCV
from sklearn.compose import TransformedTargetRegressor
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.ensemble import HistGradientBoostingRegressor, RandomForestClassifier, VotingClassifier
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.mixture import GaussianMixture
from sklearn.model_selection import GridSearchCV
from sklearn.multioutput import MultiOutputClassifier
from sklearn.naive_bayes import GaussianNB
from sklearn.neighbors import KNeighborsClassifier, KNeighborsRegressor
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline, make_union
from sklearn.preprocessing import FunctionTransformer, PowerTransformer, StandardScaler
from sklearn.svm import LinearSVC

from onnxpress.core.errors import BadModel
from onnxpress.export.networks.sklearn.estimator import SklearnNetwork
from onnxpress.export.source import Source
from onnxpress.serving.engine import Engine

rng = np.random.default_rng(3)
X = rng.normal(size=(300, 5))
X[:, 4] = X[:, 0] * 2 + X[:, 1]  # a covariance that is nearly singular
THREE = np.digitize(X[:, 0] + rng.normal(size=300) / 3, [-0.5, 0.6])
SIDE = (X[:, 1] + rng.normal(size=300) / 2 > 0).astype(int)
TARGET = X[:, 0] * 3 + X[:, 2] ** 2
GAPS = np.where(rng.random(X.shape) < 0.15, np.nan, X)
GAPS[:, 3] = X[:, 3]
ASKED = np.r_[X[:60], rng.normal(size=(140, 5)) * 2]  # rows that it was fitted on among them: neighbours at no distance
SHOWN = np.where(rng.random(ASKED.shape) < 0.2, np.nan, ASKED)
SHOWN[:, 3] = ASKED[:, 3]


def exported(model: Any, rows: Any, folder: Path) -> Engine:
    source = Source(reference="test", name="m", framework="sklearn", network=model, example_inputs=rows)
    return Engine.load(SklearnNetwork(source).convert(folder).SerializeToString(), self_test=False)


def forest(**settings: Any) -> RandomForestClassifier:
    return RandomForestClassifier(random_state=0, **settings)


CLASSIFIERS = {
    "a forest of a hundred trees": (forest().fit(X, THREE), ASKED),
    "a forest whose votes tie": (forest(n_estimators=10).fit(X, SIDE), ASKED),
    "a shallow forest": (forest(n_estimators=30, max_depth=3).fit(X, SIDE), ASKED),
    "a forest of words": (forest(n_estimators=20).fit(X, np.where(SIDE, "yes", "no")), ASKED),
    "a forest fitted with gaps": (forest(n_estimators=20).fit(GAPS, SIDE), SHOWN),
    "isotonic": (CalibratedClassifierCV(LinearSVC(), method="isotonic").fit(X, SIDE), ASKED),
    "isotonic, three": (CalibratedClassifierCV(GaussianNB(), method="isotonic").fit(X, THREE), ASKED),
    "isotonic forest": (CalibratedClassifierCV(forest(n_estimators=10), method="isotonic", cv=2).fit(X, SIDE), ASKED),
    "neighbours by distance": (KNeighborsClassifier(weights="distance").fit(X, THREE), ASKED),
    "power": (make_pipeline(PowerTransformer(), LogisticRegression()).fit(X, SIDE), ASKED),
    "gaps shown": (make_pipeline(SimpleImputer(add_indicator=True), LogisticRegression()).fit(GAPS, SIDE), SHOWN),
    "gaps filled": (make_pipeline(SimpleImputer(), LogisticRegression()).fit(GAPS, SIDE), SHOWN),
    "no gaps to show": (make_pipeline(SimpleImputer(add_indicator=True), LogisticRegression()).fit(X, SIDE), ASKED),
    "projected": (make_pipeline(LinearDiscriminantAnalysis(n_components=1), LogisticRegression()).fit(X, THREE), ASKED),
    "projected beside": (
        make_pipeline(
            make_union(StandardScaler(), make_pipeline(LinearDiscriminantAnalysis(solver="eigen", shrinkage="auto"))),
            LinearDiscriminantAnalysis(),
        ).fit(X, THREE),
        ASKED,
    ),
    "projections vote": (
        VotingClassifier([("a", LinearDiscriminantAnalysis()), ("b", GaussianNB())], voting="soft").fit(X, THREE),
        ASKED,
    ),
    "found": (GridSearchCV(make_pipeline(StandardScaler(), LogisticRegression()), {}, cv=2).fit(X, THREE), ASKED),
    "mixture": (GaussianMixture(3, random_state=0).fit(X), ASKED),
}


@pytest.mark.parametrize("kind", CLASSIFIERS)
def test_classifiers_answer_every_row_as_they_did(kind: str, tmp_path: Path) -> None:
    model, rows = CLASSIFIERS[kind]
    answers = exported(model, rows[:9], tmp_path).run({"features": rows})
    np.testing.assert_array_equal(answers["label"], model.predict(rows))
    np.testing.assert_allclose(answers["probabilities"], model.predict_proba(rows), atol=2e-6)


def test_votes_of_whole_classes_are_counted_too(tmp_path: Path) -> None:
    voters = [("a", forest(n_estimators=10)), ("b", GaussianNB())]
    for model in (VotingClassifier(voters).fit(X, SIDE), LinearSVC().fit(X, SIDE)):
        answers = exported(model, X[:9], tmp_path).run({"features": ASKED})
        np.testing.assert_array_equal(answers["label"], model.predict(ASKED))
    both = MultiOutputClassifier(forest(n_estimators=10)).fit(X, np.c_[SIDE, THREE > 0])
    answers = exported(both, X[:9], tmp_path).run({"features": ASKED})
    np.testing.assert_array_equal(answers["label"], both.predict(ASKED))


REGRESSORS = {
    "neighbours by distance": KNeighborsRegressor(weights="distance").fit(X, TARGET),
    "counts": HistGradientBoostingRegressor(max_iter=10, loss="poisson").fit(X, np.abs(TARGET)),
    "another target": TransformedTargetRegressor(Ridge(), func=np.log1p, inverse_func=np.expm1).fit(X, np.abs(TARGET)),
    "a scaled target": TransformedTargetRegressor(Ridge(), transformer=StandardScaler()).fit(X, TARGET),
    "a function": make_pipeline(FunctionTransformer(np.square), Ridge()).fit(X, TARGET),
}


@pytest.mark.parametrize("kind", REGRESSORS)
def test_regressors_answer_every_row_as_they_did(kind: str, tmp_path: Path) -> None:
    model = REGRESSORS[kind]
    answers = exported(model, X[:9], tmp_path).run({"features": ASKED})
    wanted = np.asarray(model.predict(ASKED)).reshape(len(ASKED), -1)
    np.testing.assert_allclose(answers["prediction"], wanted, rtol=1e-5, atol=1e-5)


def test_a_linear_classifier_of_texts_without_probabilities(tmp_path: Path) -> None:
    texts = [f"{'good' if side else 'bad'} film number {number}" for number, side in enumerate(SIDE)]
    model = make_pipeline(TfidfVectorizer(stop_words="english"), LinearSVC()).fit(texts, SIDE)
    asked = [*texts[:20], "", "unknown words", "good bad"]
    answers = exported(model, texts[:9], tmp_path).run({"text": np.array(asked, object)})
    np.testing.assert_array_equal(answers["label"], model.predict(asked))


@pytest.mark.parametrize(
    ("model", "said"),
    [
        (make_pipeline(FunctionTransformer(np.sinh), Ridge()).fit(X, TARGET), "calls sinh.*use one of numpy's"),
        (
            TransformedTargetRegressor(Ridge(), transformer=PowerTransformer()).fit(X, TARGET),
            "the way back from its target.*export its regressor_",
        ),
    ],
    ids=["a function", "a target"],
)
def test_what_has_no_form_is_told_with_the_way_out(model: Any, said: str, tmp_path: Path) -> None:
    with pytest.raises(BadModel) as error:
        exported(model, X[:9], tmp_path)
    assert re.search(said, f"{error.value} {error.value.hint}", re.DOTALL)


def test_labels_beside_each_other_are_told_of_a_perceptron() -> None:
    model = MLPClassifier(hidden_layer_sizes=(4,), max_iter=20, random_state=0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it has not converged
        model.fit(X, np.c_[SIDE, THREE > 0, THREE > 1].astype(int))
    source = Source(reference="test", name="m", framework="sklearn", network=model, example_inputs=X[:9])
    assert SklearnNetwork(source).decisions() == {}  # no label is the highest of its row
