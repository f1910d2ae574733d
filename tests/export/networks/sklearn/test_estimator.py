"""Estimators are asked on the author's own values, and the graph keeps their names and dtypes."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("sklearn")
pytest.importorskip("skl2onnx")
pytest.importorskip("pandas")

import pandas as pd
from sklearn.base import clone
from sklearn.calibration import CalibratedClassifierCV
from sklearn.cluster import KMeans
from sklearn.compose import ColumnTransformer
from sklearn.datasets import load_iris
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.ensemble import (
    ExtraTreesRegressor,
    HistGradientBoostingRegressor,
    RandomForestClassifier,
    VotingClassifier,
)
from sklearn.feature_extraction.text import CountVectorizer
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LinearRegression, LogisticRegression, Ridge
from sklearn.mixture import BayesianGaussianMixture
from sklearn.multiclass import OneVsRestClassifier
from sklearn.naive_bayes import GaussianNB
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import MinMaxScaler, OneHotEncoder, StandardScaler
from sklearn.svm import SVC, LinearSVC
from sklearn.tree import DecisionTreeClassifier

from onnxpress.core.errors import UsageError
from onnxpress.export.api import export as export_call
from onnxpress.export.networks.sklearn.estimator import SklearnNetwork
from onnxpress.export.pipeline.verify import against_source
from onnxpress.export.source import Source
from onnxpress.serving.engine import Engine

rng = np.random.default_rng(0)
X = rng.normal(size=(200, 3))
SIDE = (X[:, 0] > 0).astype(int)
FAR = 3_000_000_000 + rng.integers(0, 1000, (200, 1)).astype(np.int64)
"""whole numbers that float32 holds to 256"""
LATE = (FAR[:, 0] > 3e9 + 500).astype(int)


def network(model: Any, example: Any = None) -> SklearnNetwork:
    return SklearnNetwork(
        Source(reference="test", name="m", framework="sklearn", network=model, example_inputs=example)
    )


def graph(made: SklearnNetwork, folder: Path) -> Engine:
    return Engine.load(made.convert(folder).SerializeToString(), self_test=False)


@pytest.mark.parametrize("dtype", ["int64", "float64"])
@pytest.mark.parametrize("shown", [True, False])
@pytest.mark.parametrize(
    "last", [LogisticRegression(), RandomForestClassifier(5, random_state=0), DecisionTreeClassifier()], ids=repr
)
def test_numbers_far_from_zero_are_told_apart(dtype: str, shown: bool, last: Any, tmp_path: Path) -> None:
    rows = FAR.astype(dtype)
    model = make_pipeline(MinMaxScaler(), last).fit(rows, LATE)
    made = network(model, rows[:20] if shown else None)
    assert [str(spec) for spec in made.inputs] == [f"features:{dtype if shown else 'float64'}[batch,1]"]
    fed = rows.astype(made.inputs[0].dtype)
    answers = graph(made, tmp_path).run({"features": fed})
    np.testing.assert_array_equal(answers["label"], model.predict(rows))
    np.testing.assert_allclose(answers["probabilities"], model.predict_proba(rows), atol=1e-6)
    np.testing.assert_array_equal(made.run({"features": fed}, "float32")["label"], model.predict(rows))


def test_a_column_of_whole_numbers_keeps_them_beside_words(tmp_path: Path) -> None:
    frame = pd.DataFrame({"when": FAR[:, 0], "town": np.where(SIDE, "Ulm", "Kiel"), "unused": "x"})
    columns = ColumnTransformer([("far", MinMaxScaler(), ["when"]), ("word", OneHotEncoder(), ["town"])])
    model = make_pipeline(columns, LogisticRegression()).fit(frame, LATE)
    made = network(model, (frame.head(10),))
    assert [str(spec) for spec in made.inputs] == ["when:int64[batch,1]", "town:string[batch,1]"]  # dropped: unused
    feeds = {"when": FAR, "town": frame[["town"]].to_numpy(object)}
    answers = graph(made, tmp_path).run(feeds)
    np.testing.assert_allclose(answers["probabilities"], model.predict_proba(frame), atol=1e-6)
    np.testing.assert_array_equal(made.run(feeds, "float32")["label"], model.predict(frame))


def test_kernels_are_inverted_in_float64(tmp_path: Path) -> None:
    model = GaussianProcessRegressor(alpha=1e-6, optimizer=None, normalize_y=True).fit(X, 1000 + X[:, 1] * X[:, 0])
    made = network(model)
    answers = graph(made, tmp_path).run({"features": X})
    np.testing.assert_allclose(answers["prediction"][:, 0], model.predict(X), rtol=1e-5)


def test_a_mixture_tells_label_and_probabilities(tmp_path: Path) -> None:
    rows = np.concatenate([X, X + 5]).astype(np.float32)
    model = BayesianGaussianMixture(n_components=2, random_state=0).fit(rows)
    answers = graph(network(model), tmp_path).run({"features": rows})
    np.testing.assert_array_equal(answers["label"], model.predict(rows))
    np.testing.assert_allclose(answers["probabilities"], model.predict_proba(rows), atol=1e-5)


@pytest.mark.parametrize("missing_in_training", [True, False])
@pytest.mark.parametrize(
    "model", [RandomForestClassifier(7, max_depth=4), ExtraTreesRegressor(7), DecisionTreeClassifier()]
)
def test_trees_send_what_is_missing_where_they_learned(model: Any, missing_in_training: bool, tmp_path: Path) -> None:
    rows = X.astype(np.float32)
    holes = np.where(rng.random(rows.shape) < 0.3, np.float32(np.nan), rows)
    model.fit(holes if missing_in_training else rows, SIDE)
    answers = graph(network(model), tmp_path).run({"features": holes})
    if "probabilities" in answers:
        np.testing.assert_allclose(answers["probabilities"], model.predict_proba(holes), atol=1e-6)
    else:
        np.testing.assert_allclose(answers["prediction"][:, 0], model.predict(holes), atol=1e-6)


@pytest.mark.parametrize(
    ("texts", "locale"),
    [(["good film", "a bad_film 42"], "C"), (["très bon", "élan à l'été"], "C.UTF-8")],
)
def test_words_are_found_as_scikit_learn_finds_them(texts: list[str], locale: str, tmp_path: Path) -> None:
    model = make_pipeline(CountVectorizer(ngram_range=(1, 2)), LogisticRegression()).fit(texts * 5, [0, 1] * 5)
    made = network(model)
    assert [str(spec) for spec in made.inputs] == ["text:string[batch]"]
    proto = made.convert(tmp_path)
    locales = {a.s.decode() for node in proto.graph.node for a in node.attribute if a.name == "locale"}
    assert locales == {locale}
    asked = [*texts, *(text.upper() for text in texts), "", "a b c", "film,film!ÉTÉ"]
    answers = Engine.load(proto.SerializeToString(), self_test=False).run({"text": np.array(asked, object)})
    np.testing.assert_allclose(answers["probabilities"], model.predict_proba(asked), atol=1e-6)


def test_examples_in_every_usual_form() -> None:
    model = LinearRegression().fit(X, SIDE)
    rows = X[:5]
    forms = [rows, (rows,), [rows], pd.DataFrame(rows), (pd.DataFrame(rows),), {"features": rows}, rows.tolist()]
    for form in forms:
        made = network(model, form)
        assert [str(spec) for spec in made.inputs] == ["features:float64[batch,3]"]
        shown = made.examples(5)
        assert shown is not None
        np.testing.assert_array_equal(shown["features"], rows)


def test_examples_without_rows_or_columns_say_so() -> None:
    with pytest.raises(UsageError, match="holds no rows"):
        network(LinearRegression().fit(X, SIDE), 3.0)
    frame = pd.DataFrame(X, columns=list("abc"))
    model = make_pipeline(ColumnTransformer([("a", MinMaxScaler(), ["a"])]), LinearRegression()).fit(frame, SIDE)
    with pytest.raises(UsageError, match="takes named columns"):
        network(model, X)
    with pytest.raises(UsageError, match="no column 'a'"):
        network(model, frame[["b"]])


def test_imputed_words(tmp_path: Path) -> None:
    frame = pd.DataFrame({"town": np.where(SIDE, "Ulm", "Kiel").astype(object)})
    words = make_pipeline(SimpleImputer(strategy="most_frequent", missing_values=""), OneHotEncoder())
    model = make_pipeline(ColumnTransformer([("w", words, ["town"])]), LogisticRegression()).fit(frame, SIDE)
    made = network(model, frame.head(5))
    asked = np.array([["Ulm"], ["Kiel"], [""]], object)
    answers = graph(made, tmp_path).run({"town": asked})
    expected = model.predict_proba(pd.DataFrame(asked, columns=["town"]))
    np.testing.assert_allclose(answers["probabilities"], expected, atol=1e-6)


IRIS = load_iris()
SIDE_OF_IRIS = (IRIS.target == 2).astype(int)
SPECIES = IRIS.target_names[IRIS.target]
PLAIN = {
    "logistic": LogisticRegression(max_iter=500),
    "logistic in tails": make_pipeline(StandardScaler(), LogisticRegression(C=1e4, max_iter=2000)),
    "ridge": Ridge(),
    "naive Bayes": GaussianNB(),
    "discriminant": LinearDiscriminantAnalysis(),
    "neighbours": KNeighborsClassifier(),
    "kernel": make_pipeline(StandardScaler(), SVC()),
    "one against the rest": OneVsRestClassifier(LogisticRegression(max_iter=500)),
    "calibrated": CalibratedClassifierCV(LinearSVC(), cv=3),
    "soft vote": VotingClassifier([("a", LogisticRegression(max_iter=500)), ("b", GaussianNB())], voting="soft"),
    "forest": RandomForestClassifier(20, random_state=0),
    "histograms": HistGradientBoostingRegressor(max_iter=20, random_state=0),
    "clusters": KMeans(3, n_init=2, random_state=0),
}


@pytest.mark.parametrize("example", [None, "float32", "float64"])
@pytest.mark.parametrize("name", PLAIN)
def test_an_estimator_that_computes_in_float64_is_no_false_alarm(
    name: str, example: str | None, tmp_path: Path
) -> None:
    estimator = clone(PLAIN[name])
    regressor = isinstance(estimator, Ridge | HistGradientBoostingRegressor)
    estimator.fit(IRIS.data, IRIS.data @ [1.0, 2.0, -1.0, 0.5] if regressor else SPECIES)
    shown = None if example is None else IRIS.data[:40].astype(example)
    published = export_call(estimator, name="m", repository=tmp_path, example=shown)
    assert published.report.equivalent
    assert not [output for output in published.report.outputs if output.largest_error > 1e-3]


@pytest.mark.parametrize("wrong", [1e-3, 1e-4])
def test_a_weight_that_was_changed_a_little_is_still_seen(wrong: float, tmp_path: Path) -> None:
    estimator = LogisticRegression(max_iter=500).fit(IRIS.data, SPECIES)
    other = copy.deepcopy(estimator)
    other.coef_[1, 2] *= 1 + wrong
    made = network(other, IRIS.data[:40].astype(np.float32))
    path = tmp_path / "wrong.onnx"
    path.write_bytes(made.convert(tmp_path).SerializeToString())
    right = Source(
        reference="right", name="m", framework="sklearn", network=estimator, example_inputs=IRIS.data[:40].astype("f4")
    )
    assert not against_source(path, right, "cpu").equivalent


def test_a_regression_that_is_wrong_in_its_tails_is_still_seen(tmp_path: Path) -> None:
    estimator = LogisticRegression(max_iter=500).fit(IRIS.data, SIDE_OF_IRIS)
    other = copy.deepcopy(estimator)
    other.intercept_ += 1e-3
    made = network(other)
    path = tmp_path / "wrong.onnx"
    path.write_bytes(made.convert(tmp_path).SerializeToString())
    right = Source(reference="right", name="m", framework="sklearn", network=estimator)
    assert not against_source(path, right, "cpu").equivalent


def test_thresholds_stay_above_the_values_that_they_divide(tmp_path: Path) -> None:
    """Few distinct values: a threshold is one of them, and its nearest float32 may lie above the value's own."""
    values = np.linspace(0.1, 0.9, 40)
    rows = rng.choice(values, (400, 2))
    model = HistGradientBoostingRegressor(max_iter=30, random_state=0).fit(rows, rows[:, 0] > 0.5)
    made = network(model, rows[:20].astype(np.float32))
    fed = rows.astype(np.float32)
    answered = graph(made, tmp_path).run({"features": fed})["prediction"][:, 0]
    np.testing.assert_allclose(answered, model.predict(fed), atol=1e-5)
