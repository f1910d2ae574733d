"""Tables as people fit on them: words with gaps, codes, rows and labels in every usual form."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("sklearn")
pytest.importorskip("skl2onnx")
pytest.importorskip("pandas")

import pandas as pd
from sklearn.cluster import KMeans
from sklearn.compose import ColumnTransformer
from sklearn.cross_decomposition import PLSCanonical
from sklearn.ensemble import RandomForestClassifier
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.multiclass import OneVsRestClassifier
from sklearn.multioutput import MultiOutputClassifier
from sklearn.pipeline import make_pipeline, make_union
from sklearn.preprocessing import KBinsDiscretizer, OneHotEncoder, OrdinalEncoder, StandardScaler

from onnxpress.core.domains import refused
from onnxpress.core.errors import BadModel, UsageError
from onnxpress.export.networks.sklearn.estimator import SklearnNetwork
from onnxpress.export.source import Source
from onnxpress.serving.engine import Engine

rng = np.random.default_rng(0)
ROWS = 120
X = rng.normal(size=(ROWS, 4))
SIDE = (X[:, 0] > 0).astype(int)
FRAME = pd.DataFrame(
    {
        "age": rng.integers(18, 80, ROWS).astype(float),
        "town": rng.choice(["Ulm", "Kiel", "Bonn", "Köln"], ROWS),
        "code": rng.choice([1, 5, 40], ROWS),
        "note": [f"n{number}" for number in range(ROWS)],
    }
)


def network(model: Any, example: Any = None) -> SklearnNetwork:
    return SklearnNetwork(
        Source(reference="test", name="m", framework="sklearn", network=model, example_inputs=example)
    )


def feeds_of(made: SklearnNetwork, frame: pd.DataFrame) -> dict[str, Any]:
    """A caller's request: a missing word is the empty one."""
    feeds = {}
    for spec in made.inputs:
        column = frame[spec.name]
        if spec.dtype == "string":
            words = [word if isinstance(word, str) else "" for word in column]
            feeds[spec.name] = np.array(words, object).reshape(-1, 1)
        else:
            feeds[spec.name] = column.to_numpy(spec.dtype).reshape(-1, 1)
    return feeds


def assert_answers_as(model: Any, made: SklearnNetwork, feeds: dict[str, Any], rows: Any, folder: Path) -> None:
    answers = Engine.load(made.convert(folder).SerializeToString(), self_test=False).run(feeds)
    np.testing.assert_array_equal(answers["label"], model.predict(rows))
    np.testing.assert_allclose(answers["probabilities"], model.predict_proba(rows), atol=1e-5)
    np.testing.assert_array_equal(made.run(feeds, "float32")["label"], model.predict(rows))


def columns(*steps: Any) -> Any:
    return make_pipeline(
        ColumnTransformer([(f"step{number}", *step) for number, step in enumerate(steps)]), LogisticRegression()
    )


def test_a_missing_word_has_a_code_of_its_own(tmp_path: Path) -> None:
    for gap, code in ((None, -1), (np.nan, np.nan), (None, 900)):
        frame = FRAME.assign(town=FRAME["town"].where(X[:, 1] > -0.5, gap), age=FRAME["age"].where(X[:, 2] > -1))
        encoder = OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=-2, encoded_missing_value=code)
        steps = ColumnTransformer([("codes", encoder, ["town", "age"])], verbose_feature_names_out=False)
        model = steps.fit(frame)
        made = network(model, frame[:20])
        rows = frame.assign(town=[*frame["town"][:-1], "Paris"], age=[*frame["age"][:-1], 17.5])
        answers = Engine.load(made.convert(tmp_path).SerializeToString(), self_test=False).run(feeds_of(made, rows))
        np.testing.assert_array_equal(answers["transformed"], model.transform(rows))


def test_columns_whose_names_have_blanks_and_steps_without_columns(tmp_path: Path) -> None:
    frame = FRAME.rename(columns={"age": "age in years", "town": "town (of birth)"})
    steps = [("none", OneHotEncoder(), []), ("age", StandardScaler(), ["age in years"])]
    towns = OneHotEncoder(handle_unknown="ignore")
    front = ColumnTransformer([*steps, ("town", towns, ["town (of birth)"])], remainder="passthrough")
    model = make_pipeline(front, LogisticRegression()).fit(frame.drop(columns="note"), SIDE)
    made = network(model, frame.drop(columns="note")[:20])
    assert [spec.name for spec in made.inputs] == ["age in years", "town (of birth)", "code"]
    assert_answers_as(model, made, feeds_of(made, frame), frame.drop(columns="note"), tmp_path)


def test_a_clustering_before_other_steps_hands_on_its_distances(tmp_path: Path) -> None:
    clusters = KMeans(3, n_init=2, random_state=0)
    for front in (clusters, make_union(clusters, StandardScaler())):
        model = make_pipeline(StandardScaler(), front, LogisticRegression()).fit(X, SIDE)
        made = network(model, X[:9])
        assert_answers_as(model, made, {"features": X}, X, tmp_path)


@pytest.mark.parametrize("gap", [np.nan, None])
@pytest.mark.parametrize("imputed", ["most_frequent", "constant", None])
def test_a_missing_word_is_the_empty_string(gap: Any, imputed: str | None, tmp_path: Path) -> None:
    frame = FRAME.assign(town=FRAME["town"].astype(object))
    frame.loc[rng.random(ROWS) < 0.3, "town"] = gap
    encoder: Any = OneHotEncoder(handle_unknown="ignore")
    if imputed is not None:
        encoder = make_pipeline(SimpleImputer(missing_values=gap, strategy=imputed, fill_value="none"), encoder)
    model = columns((encoder, ["town"]), (StandardScaler(), ["age"])).fit(frame, SIDE)
    made = network(model, frame.head(20))
    assert [str(spec) for spec in made.inputs] == ["age:float64[batch,1]", "town:string[batch,1]"]
    assert any("the empty string stands for a missing word: town" in note for note in made.notes)
    assert_answers_as(model, made, feeds_of(made, frame), frame, tmp_path)
    np.testing.assert_array_equal(
        model.predict(frame), made.run(feeds_of(made, frame), "float32")["label"]
    )  # unchanged


def test_words_that_nobody_saw_are_asked_where_the_estimator_answers_them(tmp_path: Path) -> None:
    model = columns((OneHotEncoder(handle_unknown="ignore"), ["town"]), (StandardScaler(), ["age"])).fit(FRAME, SIDE)
    made = network(model)
    town = next(spec for spec in made.inputs if spec.name == "town")
    assert town.domain is not None
    assert not town.domain.enforced
    assert {"Ulm", "BONN", "", "zzqx unknown"} <= set(town.domain.values or [])
    other = FRAME.assign(town=rng.choice(["Ulm", "Trier", ""], ROWS))
    assert_answers_as(model, made, feeds_of(made, other), other, tmp_path)


@pytest.mark.parametrize("encoder", [OneHotEncoder(), OrdinalEncoder()], ids=repr)
def test_words_and_codes_that_the_estimator_refuses_are_refused(encoder: Any, tmp_path: Path) -> None:
    model = columns((encoder, ["town", "code"]), (StandardScaler(), ["age"])).fit(FRAME, SIDE)
    made = network(model, FRAME.head(20))
    town, code = (next(spec for spec in made.inputs if spec.name == name) for name in ("town", "code"))
    assert not refused(town, np.array([["Ulm"]], object))
    assert not refused(code, np.array([[40]]))
    assert "outside of its domain" in refused(town, np.array([["Trier"]], object))
    assert "outside of its domain {1, 5, 40}" in refused(code, np.array([[7]]))
    assert_answers_as(model, made, feeds_of(made, FRAME), FRAME, tmp_path)


@pytest.mark.filterwarnings("ignore:Found unknown categories")
@pytest.mark.parametrize("drop", [None, "first"])
def test_rare_words_share_a_column_with_unknown_ones(drop: Any, tmp_path: Path) -> None:
    frame = FRAME.assign(town=np.where(np.arange(ROWS) < 5, "Trier", FRAME["town"]))
    encoder = OneHotEncoder(min_frequency=10, handle_unknown="infrequent_if_exist", drop=drop)
    model = columns((encoder, ["town", "code"]), (StandardScaler(), ["age"])).fit(frame, SIDE)
    made = network(model, frame.head(20))
    other = frame.assign(town=rng.choice(["Ulm", "Trier", "Worms"], ROWS))
    assert_answers_as(model, made, feeds_of(made, other), other, tmp_path)


def test_unknown_ordinals_before_trees(tmp_path: Path) -> None:
    encoder = OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=-1)
    steps = ColumnTransformer([("words", encoder, ["town"]), ("rest", "passthrough", ["age"])])
    model = make_pipeline(steps, RandomForestClassifier(5, random_state=0)).fit(FRAME, SIDE)
    made = network(model, FRAME.head(20))
    other = FRAME.assign(town=rng.choice(["Ulm", "Worms"], ROWS))
    assert_answers_as(model, made, feeds_of(made, other), other, tmp_path)


def test_columns_by_place_are_found_behind_one_that_is_dropped(tmp_path: Path) -> None:
    frame = FRAME[["note", "town", "age"]]
    model = columns((OneHotEncoder(), [1]), (StandardScaler(), slice(2, 3))).fit(frame, SIDE)
    made = network(model, frame.head(10))
    assert [spec.name for spec in made.inputs] == ["town", "age"]
    assert_answers_as(model, made, feeds_of(made, frame), frame, tmp_path)


def test_columns_of_a_matrix(tmp_path: Path) -> None:
    model = columns((StandardScaler(), [0, 2]), (KBinsDiscretizer(3), [1])).fit(X, SIDE)
    assert_answers_as(model, network(model, X[:9]), {"features": X}, X, tmp_path)


def test_a_matrix_of_words(tmp_path: Path) -> None:
    words = FRAME[["town", "note"]].to_numpy(object)
    model = make_pipeline(OneHotEncoder(handle_unknown="ignore"), LogisticRegression()).fit(words, SIDE)
    for example in (words[:4], None):
        made = network(model, example)
        assert str(made.inputs[0]) == "features:string[batch,2]"
        assert_answers_as(model, made, {"features": words}, words, tmp_path)


def test_words_and_numbers_in_one_matrix_are_refused_with_the_way_out() -> None:
    mixed = np.c_[FRAME[["town"]].to_numpy(object), X[:, :1]]
    model = columns((OneHotEncoder(), [0]), (StandardScaler(), [1])).fit(mixed, SIDE)
    with pytest.raises(UsageError, match="words and numbers together"):
        network(model)


@pytest.mark.parametrize("form", ["row", "records", "dict", "frame"])
def test_examples_of_named_columns_in_every_form(form: str) -> None:
    frame = FRAME[["age", "town"]]
    given: Any = {
        "row": frame.iloc[0],
        "records": frame.head(3).to_dict("records"),
        "dict": {name: frame[name].tolist()[:3] for name in frame},
        "frame": FRAME.head(3),
    }[form]
    model = columns((OneHotEncoder(), ["town"]), (StandardScaler(), ["age"])).fit(frame, SIDE)
    made = network(model, given)
    assert [str(spec) for spec in made.inputs] == ["age:float64[batch,1]", "town:string[batch,1]"]
    assert made.examples(2) is not None


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (X[0], "takes rows"),
        (X[0].tolist(), "takes rows"),
        ((X[:3], SIDE[:3]), "a tuple of 2"),
        ([[1.0], [1.0, 2.0]], "no matrix"),
    ],
    ids=["a row", "a list of numbers", "rows and labels", "ragged"],
)
def test_examples_that_are_no_rows_are_named(given: Any, said: str) -> None:
    with pytest.raises(UsageError, match=said):
        network(LogisticRegression().fit(X, SIDE), given)


def test_several_labels_stand_beside_each_other(tmp_path: Path) -> None:
    both = np.c_[SIDE, X[:, 1] > 0.3].astype(int)
    rows = X.astype(np.float32)
    fitted = OneVsRestClassifier(LogisticRegression()).fit(X, both)
    assert_answers_as(fitted, network(fitted), {"features": rows}, rows, tmp_path)
    for model in (RandomForestClassifier(4, random_state=0), MultiOutputClassifier(LogisticRegression())):
        made = network(model.fit(X, both))
        assert made.output_names == ["label"]  # their probabilities are a list
        answers = Engine.load(made.convert(tmp_path).SerializeToString(), self_test=False).run({"features": rows})
        np.testing.assert_array_equal(answers["label"], model.predict(rows))


def test_labels_that_are_whole_floats_are_whole_numbers(tmp_path: Path) -> None:
    model = LogisticRegression().fit(X, SIDE.astype(float))
    rows = X.astype(np.float32)
    assert_answers_as(model, network(model), {"features": rows}, rows, tmp_path)


def test_a_step_without_a_converter_is_named(tmp_path: Path) -> None:
    model = PLSCanonical().fit(X, X[:, :2])
    with pytest.raises(BadModel, match="skl2onnx has no converter for PLSCanonical"):
        network(model).convert(tmp_path)
