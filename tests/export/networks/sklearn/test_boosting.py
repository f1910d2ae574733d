"""XGBoost, LightGBM and CatBoost, alone and at the end of a pipeline, with missing values where they take them."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("sklearn")
pytest.importorskip("skl2onnx")

from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from onnxpress.core import optional
from onnxpress.core.errors import BadModel, MissingExtra
from onnxpress.export.networks.sklearn.boosted_truth import exact
from onnxpress.export.networks.sklearn.estimator import SklearnNetwork
from onnxpress.export.source import Source
from onnxpress.export.sources.framework import framework_of
from onnxpress.serving.engine import Engine

rng = np.random.default_rng(0)
X = rng.normal(size=(150, 4)).astype(np.float32)
SIDE = (X[:, 0] > 0).astype(int)
THREE = rng.integers(0, 3, 150)
GAPS = np.where(rng.random(X.shape) < 0.2, np.nan, X).astype(np.float32)


def xgboost(kind: str) -> Any:
    pytest.importorskip("onnxmltools", reason="needs onnxpress[boosting]")
    return getattr(pytest.importorskip("xgboost", reason="needs xgboost"), f"XGB{kind}")(n_estimators=5, max_depth=3)


def lightgbm(kind: str) -> Any:
    pytest.importorskip("onnxmltools", reason="needs onnxpress[boosting]")
    return getattr(pytest.importorskip("lightgbm", reason="needs lightgbm"), f"LGBM{kind}")(n_estimators=5, verbose=-1)


def catboost(kind: str) -> Any:
    module = pytest.importorskip("catboost", reason="needs catboost")
    return getattr(module, f"CatBoost{kind}")(iterations=5, depth=3, verbose=0, allow_writing_files=False)


BOOSTERS = pytest.mark.parametrize("booster", [xgboost, lightgbm, catboost])


def answers_of(model: Any, rows: Any, folder: Path) -> dict[str, Any]:
    assert framework_of(model) == "sklearn"
    made = SklearnNetwork(Source(reference="test", name="m", framework="sklearn", network=model, example_inputs=rows))
    return dict(Engine.load(made.convert(folder).SerializeToString(), self_test=False).run({"features": rows}))


@BOOSTERS
@pytest.mark.parametrize("labels", [SIDE, THREE], ids=["two", "three"])
@pytest.mark.parametrize("piped", [False, True], ids=["alone", "piped"])
def test_classifiers(booster: Callable[[str], Any], labels: Any, piped: bool, tmp_path: Path) -> None:
    model = booster("Classifier")
    model = (make_pipeline(StandardScaler(), model) if piped else model).fit(X, labels)
    answers = answers_of(model, X, tmp_path)
    np.testing.assert_array_equal(answers["label"], np.ravel(model.predict(X)))
    np.testing.assert_allclose(answers["probabilities"], model.predict_proba(X), atol=1e-5)


@pytest.mark.parametrize("booster", [xgboost, lightgbm])
def test_regressors_send_missing_values_the_same_way(booster: Callable[[str], Any], tmp_path: Path) -> None:
    model = booster("Regressor").fit(GAPS, X[:, 0])
    np.testing.assert_allclose(answers_of(model, GAPS, tmp_path)["prediction"][:, 0], model.predict(GAPS), atol=1e-5)


def test_catboost_regressor(tmp_path: Path) -> None:
    model = catboost("Regressor").fit(X, X[:, 0])
    np.testing.assert_allclose(answers_of(model, X, tmp_path)["prediction"][:, 0], model.predict(X), atol=1e-5)


def test_categories_inside_are_refused_with_the_way_out() -> None:
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame({"word": pandas.Series(rng.choice(["a", "b"], 150), dtype="category"), "x": X[:, 0]})
    model = lightgbm("Classifier").fit(frame, SIDE)
    with pytest.raises(BadModel, match="with categorical features has no ONNX form"):
        SklearnNetwork(Source(reference="test", name="m", framework="sklearn", network=model))


def test_the_missing_converter_is_told_with_its_pip_line(monkeypatch: pytest.MonkeyPatch) -> None:
    model = lightgbm("Classifier").fit(X, SIDE)
    present = optional.is_installed
    monkeypatch.setattr(optional, "is_installed", lambda name: name != "onnxmltools" and present(name))
    with pytest.raises(MissingExtra, match=r"converting LGBMClassifier needs the package onnxmltools") as told:
        SklearnNetwork(Source(reference="test", name="m", framework="sklearn", network=model))
    assert 'pip install "onnxpress[boosting]"' in str(told.value)


@BOOSTERS
@pytest.mark.parametrize("piped", [False, True], ids=["alone", "piped"])
def test_an_estimator_from_a_pickle(booster: Callable[[str], Any], piped: bool, tmp_path: Path) -> None:
    model = booster("Classifier")
    model = (make_pipeline(StandardScaler(), model) if piped else model).fit(X, SIDE)
    answers = answers_of(pickle.loads(pickle.dumps(model)), X[:20], tmp_path)
    np.testing.assert_allclose(answers["probabilities"], model.predict_proba(X[:20]), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("objective", ["reg:squarederror", "reg:gamma", "binary:logistic", "multi:softprob"])
def test_float32_sums_of_many_trees_are_told_from_the_truth(objective: str, tmp_path: Path) -> None:
    regresses = objective.startswith("reg:")
    model = xgboost("Regressor" if regresses else "Classifier")
    model.set_params(n_estimators=300, learning_rate=0.03, objective=objective)
    target = {"binary:logistic": SIDE, "multi:softprob": THREE}.get(objective, X[:, 0] * 30 + 200)
    model.fit(X, target)
    made = SklearnNetwork(Source(reference="test", name="m", framework="sklearn", network=model, example_inputs=X))
    engine = Engine.load(made.convert(tmp_path).SerializeToString(), self_test=False)
    rows = np.random.default_rng(1).normal(size=(80, 4)).astype(np.float32)
    output = "prediction" if regresses else "probabilities"
    own = np.asarray(model.predict(rows) if regresses else model.predict_proba(rows)).reshape(80, -1)
    truth = made.run({"features": rows}, "float64")[output]
    assert truth.dtype == np.float64
    np.testing.assert_allclose(truth, own, rtol=1e-5, atol=1e-6)
    answer = engine.run({"features": rows})[output]
    assert np.abs(answer - truth).max() <= np.abs(own - truth).max() + np.finfo(np.float32).eps * np.abs(own).max()


def test_boosters_that_are_not_known_are_asked_as_they_are() -> None:
    model = xgboost("Regressor").set_params(booster="dart").fit(X, X[:, 0])
    assert exact(model, X) == {}
    assert exact(make_pipeline(StandardScaler()).fit(X), X) == {}


@pytest.mark.parametrize("kind", ["Regressor", "Classifier"])
def test_lightgbm_compares_and_adds_up_in_float64(kind: str, tmp_path: Path) -> None:
    days = 1.7e9 + np.sort(rng.choice(10**6, 150, replace=False)).astype(np.float64)  # float32 steps by 128 there
    rows = np.stack([days, rng.normal(size=150)], 1)
    model = lightgbm(kind).set_params(n_estimators=300)
    model.fit(rows, (np.argsort(days) % 7 > 3) * 1 if kind == "Classifier" else np.sin(days / 1e5) + rows[:, 1])
    made = SklearnNetwork(Source(reference="test", name="m", framework="sklearn", network=model, example_inputs=rows))
    engine = Engine.load(made.convert(tmp_path).SerializeToString(), self_test=False)
    assert made.notes == []
    wanted = model.predict(rows)[:, None] if kind == "Regressor" else model.predict_proba(rows)
    answer = engine.run({"features": rows})["prediction" if kind == "Regressor" else "probabilities"]
    np.testing.assert_allclose(answer, wanted, rtol=2e-6, atol=1e-7)
