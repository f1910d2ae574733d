"""Estimators that skl2onnx lacks, through the public door: converted, and asked on rows of the test's own."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("sklearn")
pytest.importorskip("skl2onnx")

from sklearn.cluster import Birch, MeanShift
from sklearn.covariance import EllipticEnvelope
from sklearn.decomposition import NMF, FactorAnalysis, FastICA
from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor, RandomForestClassifier
from sklearn.feature_extraction.text import CountVectorizer, HashingVectorizer, TfidfTransformer, TfidfVectorizer
from sklearn.impute import KNNImputer
from sklearn.isotonic import IsotonicRegression
from sklearn.kernel_approximation import Nystroem, RBFSampler
from sklearn.kernel_ridge import KernelRidge
from sklearn.linear_model import LogisticRegression, Ridge, SGDOneClassSVM
from sklearn.model_selection import FixedThresholdClassifier, TunedThresholdClassifierCV
from sklearn.multiclass import OneVsOneClassifier
from sklearn.multioutput import ClassifierChain, RegressorChain
from sklearn.neighbors import NearestCentroid, RadiusNeighborsClassifier, RadiusNeighborsRegressor
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import QuantileTransformer, SplineTransformer
from sklearn.svm import LinearSVC

from onnxpress.core.errors import BadModel
from onnxpress.export.networks.sklearn.estimator import SklearnNetwork
from onnxpress.export.source import Source
from onnxpress.serving.engine import Engine

rng = np.random.default_rng(5)
X = rng.normal(size=(120, 4)) * [1, 2, 0.5, 3]
THREE = np.digitize(X[:, 0] + rng.normal(size=120) / 3, [-0.5, 0.6])
WORDS = np.array(["low", "mid", "top"])[THREE]
SIDE = (X[:, 1] > 0).astype(int)
TARGET = X[:, 0] * 3 + X[:, 2] ** 2
SEVERAL = np.c_[TARGET, X[:, 3] - TARGET, X[:, 1]]
ASKED = np.r_[X[:30], rng.normal(size=(60, 4)) * [2, 4, 1, 6]]  # rows that it was fitted on, and rows beyond them
GAPS = np.where(rng.random(ASKED.shape) < 0.2, np.nan, ASKED)
HOLES = np.where(rng.random(X.shape) < 0.15, np.nan, X)
GAPS[:3] = np.nan  # nothing is known of a row: no fitted one is near
NOTHING = np.full((len(X), 1), np.nan)
CODES = np.c_[X[:, :2], rng.integers(0, 9, 120), rng.integers(0, 40, 120)]
CODES[::7, 2] = np.nan
UNSEEN = np.r_[CODES[:30], np.c_[rng.normal(size=(60, 2)), rng.integers(-2, 12, 60), rng.integers(-1, 60, 60)]]
UNSEEN[40:50, 3] = UNSEEN[50:60, 0] = np.nan
BOOSTED: dict[str, Any] = {
    "categorical_features": [2, 3],
    "max_iter": 4,
    "min_samples_leaf": 4,
    "early_stopping": False,
}


def threshold(**settings: Any) -> TunedThresholdClassifierCV:
    return TunedThresholdClassifierCV(RandomForestClassifier(10, random_state=0), cv=2, **settings)


MODELS: dict[str, tuple[Any, Any]] = {
    "boosting over codes": (HistGradientBoostingRegressor(**BOOSTED).fit(CODES, TARGET), UNSEEN),
    "boosting over codes, counts": (
        HistGradientBoostingRegressor(loss="poisson", **BOOSTED).fit(CODES, np.abs(TARGET)),
        UNSEEN,
    ),
    "boosting over codes, two": (HistGradientBoostingClassifier(**BOOSTED).fit(CODES, SIDE), UNSEEN),
    "boosting over codes, three": (HistGradientBoostingClassifier(**BOOSTED).fit(CODES, WORDS), UNSEEN),
    "quantiles": (QuantileTransformer(n_quantiles=40).fit(np.round(X)), GAPS),
    "normal quantiles": (QuantileTransformer(n_quantiles=40, output_distribution="normal").fit(X), GAPS),
    "normal quantiles, few values": (
        QuantileTransformer(n_quantiles=40, output_distribution="normal").fit(np.round(X)),
        np.round(GAPS),
    ),
    "constant splines": (SplineTransformer().fit(X), ASKED),
    "linear splines": (SplineTransformer(degree=1, extrapolation="linear").fit(X), ASKED),
    "periodic splines": (SplineTransformer(extrapolation="periodic").fit(X), ASKED),
    "splines that go on": (
        SplineTransformer(extrapolation="continue", knots="quantile", include_bias=False).fit(X),
        ASKED,
    ),
    "isotonic": (IsotonicRegression(out_of_bounds="clip").fit(X[:, :1], TARGET), ASKED[:, :1]),
    "isotonic, nothing beyond": (IsotonicRegression().fit(X[:, :1], TARGET), ASKED[:, :1]),
    **{
        f"{kernel} ridge": (KernelRidge(kernel=kernel, gamma=0.1).fit(X, SEVERAL), ASKED)
        for kernel in ("rbf", "poly", "linear", "laplacian")
    },
    "cosine ridge": (KernelRidge(kernel="cosine").fit(X, TARGET), ASKED),
    "nystroem": (
        make_pipeline(Nystroem(n_components=20, random_state=0), LogisticRegression()).fit(X, THREE),
        ASKED,
    ),
    "a sigmoid's components": (Nystroem("sigmoid", n_components=9, random_state=0).fit(X), ASKED),
    "fourier": (RBFSampler(n_components=20, random_state=0).fit(X), ASKED),
    "independent": (FastICA(2, random_state=0).fit(X), ASKED),
    "factors": (FactorAnalysis(2, random_state=0).fit(X), ASKED),
    "envelope": (EllipticEnvelope(random_state=0).fit(X), ASKED),
    "one class": (SGDOneClassSVM(random_state=0).fit(X), ASKED),
    "centroids": (NearestCentroid().fit(X, WORDS), ASKED),
    "centroids, manhattan": (NearestCentroid(metric="manhattan").fit(X, THREE), ASKED),
    "birch": (Birch(n_clusters=3).fit(X), ASKED),
    "mean shift": (MeanShift(bandwidth=4.0).fit(X), ASKED),
    "radius": (RadiusNeighborsClassifier(1.5, outlier_label="out").fit(X, WORDS), ASKED),
    "radius by distance": (
        RadiusNeighborsClassifier(1.5, outlier_label="most_frequent", weights="distance").fit(X, THREE),
        ASKED,
    ),
    "means by distance": (RadiusNeighborsRegressor(1.5, weights="distance").fit(X, TARGET), ASKED),
    "means within a radius": (RadiusNeighborsRegressor(1.5).fit(X, SEVERAL), ASKED),
    "gaps from neighbours": (KNNImputer(add_indicator=True).fit(HOLES), GAPS),
    "gaps by distance": (KNNImputer(n_neighbors=3, weights="distance").fit(HOLES), GAPS),
    "a column of gaps": (KNNImputer(keep_empty_features=True).fit(np.c_[HOLES, NOTHING]), np.c_[GAPS, GAPS[:, 0]]),
    "a column left out": (KNNImputer(add_indicator=True).fit(np.c_[HOLES, NOTHING]), np.c_[GAPS, GAPS[:, 0]]),
    "gaps of -1": (
        KNNImputer(missing_values=-1, n_neighbors=2).fit(np.nan_to_num(HOLES, nan=-1)),
        np.nan_to_num(GAPS, nan=-1),
    ),
    "a chain of regressors": (RegressorChain(Ridge(), order=[2, 0, 1]).fit(X, SEVERAL), ASKED),
    "a chain of classifiers": (ClassifierChain(LogisticRegression()).fit(X, np.c_[SIDE, THREE > 0]), ASKED),
    "one against one": (OneVsOneClassifier(LinearSVC()).fit(X, WORDS), ASKED),
    "one against one, forests": (
        OneVsOneClassifier(RandomForestClassifier(5, random_state=0)).fit(X, THREE),
        ASKED,
    ),
    "a threshold that was tuned": (threshold().fit(X, SIDE), ASKED),
    "a threshold of words": (
        FixedThresholdClassifier(LogisticRegression(), threshold=0.3, pos_label="no").fit(
            X, np.where(SIDE, "yes", "no")
        ),
        ASKED,
    ),
    "two labels of a perceptron": (
        MLPClassifier((4,), solver="lbfgs", max_iter=900, random_state=0).fit(X, np.c_[SIDE, SIDE ^ (THREE > 0)]),
        ASKED,
    ),
}


def asked(model: Any, output: str, rows: Any) -> Any:
    if output == "scores":
        return model.decision_function(rows) if hasattr(model, "decision_function") else model.transform(rows)
    named = {"label": "predict", "prediction": "predict", "probabilities": "predict_proba", "transformed": "transform"}
    return getattr(model, named[output])(rows)


@pytest.mark.filterwarnings("ignore:Outlier label out is not in training classes")
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("kind", MODELS)
@pytest.mark.filterwarnings(
    "ignore:One or more samples have no neighbors", "ignore:Skipping features without any observed"
)
def test_it_answers_every_row_as_it_did(kind: str, dtype: str, tmp_path: Path) -> None:
    model, rows = MODELS[kind]
    rows = rows.astype(np.float32).astype(dtype)
    source = Source(reference="test", name="m", framework="sklearn", network=model, example_inputs=rows[:9])
    network = SklearnNetwork(source)
    answers = Engine.load(network.convert(tmp_path).SerializeToString(), self_test=False).run({"features": rows})
    assert list(answers) == network.output_names
    for name, answer in answers.items():
        wanted = np.asarray(asked(model, name, rows.astype(np.float64)))
        if name == "label":
            np.testing.assert_array_equal(answer, wanted)
        else:
            np.testing.assert_allclose(answer, wanted.reshape(answer.shape), rtol=2e-5, atol=3e-6)


TEXTS = ["good film", "bad film number two", "a very good thing", "b bad c plot"]


def test_words_of_any_least_length(tmp_path: Path) -> None:
    for pattern in (r"(?u)\b\w+\b", r"\b\w{3,}\b"):
        model = CountVectorizer(token_pattern=pattern).fit(TEXTS)
        source = Source(reference="test", name="m", framework="sklearn", network=model, example_inputs=TEXTS)
        engine = Engine.load(SklearnNetwork(source).convert(tmp_path).SerializeToString(), self_test=False)
        texts = [*TEXTS, "", "a b c goods good_film film2", "unknown"]
        answer = engine.run({"text": np.array(texts, object)})["transformed"]
        np.testing.assert_array_equal(answer, model.transform(texts).toarray())


@pytest.mark.parametrize(
    "model",
    [
        TfidfVectorizer(sublinear_tf=True, ngram_range=(1, 2)).fit(TEXTS),
        make_pipeline(CountVectorizer(), TfidfTransformer(sublinear_tf=True, use_idf=False, norm="l1")).fit(TEXTS),
    ],
    ids=["at once", "in two steps"],
)
def test_logarithms_are_taken_of_words_that_are_there(model: Any, tmp_path: Path) -> None:
    source = Source(reference="test", name="m", framework="sklearn", network=model, example_inputs=TEXTS)
    engine = Engine.load(SklearnNetwork(source).convert(tmp_path).SerializeToString(), self_test=False)
    texts = [*TEXTS, "", "bad bad film good bad film", "unknown"]
    answer = engine.run({"text": np.array(texts, object)})["transformed"]
    np.testing.assert_allclose(answer, model.transform(texts).toarray(), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
    ("model", "said"),
    [
        (KNNImputer(weights=lambda far: 1 / (1 + far)).fit(HOLES), "weights of its own.*'distance'"),
        (TfidfVectorizer(analyzer="char").fit(TEXTS), r"TfidfVectorizer\(analyzer='char'\).*token_pattern"),
        (CountVectorizer(strip_accents="unicode").fit(TEXTS), "strip_accents='unicode'"),
        (CountVectorizer(tokenizer=str.split, token_pattern=None).fit(TEXTS), "tokenizer=a function"),
        (make_pipeline(HashingVectorizer(n_features=8), Ridge()).fit(TEXTS, [1, 2, 3, 4]), "hashes.*TfidfVectorizer"),
        (NMF(2, max_iter=999, init="random", random_state=0).fit(np.abs(X)), "solves anew.*PCA"),
        (SplineTransformer(extrapolation="error").fit(X), "outside of its knots.*'constant'"),
        (IsotonicRegression(out_of_bounds="raise").fit(X[:, 0], TARGET), "'raise'.*out_of_bounds='clip'"),
        (Nystroem("chi2", n_components=5, random_state=0).fit(np.abs(X)), "the kernel 'chi2'.*rbf"),
    ],
    ids=["weights", "characters", "accents", "a tokenizer", "hashes", "factors", "splines", "isotonic", "a kernel"],
)
def test_what_has_no_form_is_told_with_the_way_out(model: Any, said: str, tmp_path: Path) -> None:
    source = Source(reference="test", name="m", framework="sklearn", network=model)
    with pytest.raises(BadModel) as error:
        SklearnNetwork(source).convert(tmp_path)
    assert re.search(said, f"{error.value} {error.value.hint}", re.DOTALL)


def test_categories_that_are_words_are_told() -> None:
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame({"size": X[:, 0], "town": pandas.Categorical(np.array(["Ulm", "Bonn"])[SIDE])})
    model = HistGradientBoostingRegressor(max_iter=3).fit(frame, TARGET)
    with pytest.raises(BadModel, match="over categories that are words"):
        SklearnNetwork(Source(reference="test", name="m", framework="sklearn", network=model))
