"""`onnxpress.export`: the package as a function, for a model in this process and for words."""

from __future__ import annotations

import inspect
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import onnxpress
from onnxpress.core.errors import BadData, UsageError
from onnxpress.export.api import export
from onnxpress.export.source import SourceRef

ROWS = np.random.default_rng(0).standard_normal((40, 3)).astype(np.float32)


@pytest.fixture
def estimator() -> Any:
    pytest.importorskip("skl2onnx")
    from sklearn.linear_model import LogisticRegression

    return LogisticRegression().fit(ROWS, np.where(ROWS.sum(1) > 0, "up", "down"))


def test_the_package_is_the_function_whoever_imports_what_first() -> None:
    import onnxpress.export.api

    assert onnxpress.export is not export
    assert inspect.signature(onnxpress.export) == inspect.signature(export)
    assert inspect.unwrap(onnxpress.export) is export
    with pytest.raises(UsageError, match="int is no torch module"):
        onnxpress.export(3)


def test_an_estimator_in_this_process(estimator: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    before = estimator.coef_.copy()
    published = onnxpress.export(estimator, repository=tmp_path, samples={"features": ROWS})
    assert published.folder == tmp_path / "LogisticRegression" / "1"
    assert published.report.equivalent
    assert "handed over in Python" in published.manifest.source.reference
    np.testing.assert_array_equal(onnxpress.load(tmp_path)(ROWS)["label"], estimator.predict(ROWS))
    np.testing.assert_array_equal(estimator.coef_, before)
    assert "CUDA_VISIBLE_DEVICES" not in os.environ
    again = onnxpress.export(
        estimator, repository=str(tmp_path), example={"rows": ROWS[:2]}, inputs=["rows:float32[n,3]"]
    )
    assert [str(spec) for spec in again.manifest.inputs] == ["rows:float32[n,3]"]


def test_words_and_rows_of_this_process(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("skl2onnx")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0")
    Path("my_estimators.py").write_text(
        "import numpy as np\n"
        "from sklearn.preprocessing import StandardScaler\n"
        "def build():\n    return StandardScaler().fit(np.arange(12.0).reshape(4, 3))\n"
    )
    published = onnxpress.export("my_estimators:build", samples={"features": ROWS})
    assert published.folder == Path("models/my_estimators/1")
    assert os.environ["CUDA_VISIBLE_DEVICES"] == "0"


@pytest.mark.torch
def test_a_torch_module_in_this_process_comes_back_as_it_was(tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")
    pytest.importorskip("onnxscript")
    module = torch.nn.Sequential(torch.nn.Linear(3, 4), torch.nn.BatchNorm1d(4), torch.nn.Dropout(0.5))
    state = {name: value.clone() for name, value in module.state_dict().items()}
    published = onnxpress.export(module, name="net", repository=tmp_path, example=torch.tensor(ROWS[:5]))
    assert published.folder == tmp_path / "net" / "1"
    assert module.training
    assert all(bool((module.state_dict()[name] == value).all()) for name, value in state.items())
    with torch.no_grad():
        expected = module.eval()(torch.tensor(ROWS)).numpy()
    (found,) = onnxpress.load(tmp_path)(ROWS).values()
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6)


@pytest.mark.tensorflow
def test_a_keras_model_in_this_process(tmp_path: Path) -> None:
    keras = pytest.importorskip("keras")
    pytest.importorskip("tf2onnx")
    model = keras.Sequential([keras.Input((3,), name="x"), keras.layers.Dense(2, activation="relu")])
    onnxpress.export(model, name="net", repository=tmp_path, samples={"x": ROWS})
    (found,) = onnxpress.load(tmp_path)(x=ROWS).values()
    np.testing.assert_allclose(found, np.asarray(model(ROWS)), rtol=1e-5, atol=1e-6)


def test_every_option_of_a_source_is_an_argument() -> None:
    options = {*SourceRef.__struct_fields__} - {"reference", "hide_gpus"}
    assert options <= {*inspect.signature(export).parameters}


def test_arguments_that_do_not_fit_are_refused(estimator: Any) -> None:
    for named, said in (
        ({"weights": "w.pt"}, "weights is for a model that words name"),
        ({"signature": "serve"}, "signature is for a model that words name"),
        ({"against": "a:b"}, "against is for a model that words name"),
        ({"trust_pickle": True}, "trust_pickle is for a model that words name"),
        ({"opset": 3}, "opset 3 is not one of"),
        ({"inputs": ["x"]}, "cannot read the tensor specification"),
        ({"time_limit": 0.0}, "must be more than 0"),
        ({"memory_limit": -1.0}, "must be more than 0"),
    ):
        with pytest.raises(UsageError, match=said):
            export(estimator, **named)  # type: ignore[arg-type]
    with pytest.raises(UsageError, match="an example is for a model in this process"):
        export("a:b", example=ROWS)
    with pytest.raises(BadData, match="no sample rows"):
        export(estimator, samples={})
    with pytest.raises(BadData, match="different numbers of rows"):
        export(estimator, samples={"a": ROWS, "b": ROWS[:2]})
