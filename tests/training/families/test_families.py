"""Every family trains in both frameworks from one recipe, and what comes out is exported equal and ported both ways."""

from __future__ import annotations

import functools
import importlib.util
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest

from onnxpress.core import run as runs
from onnxpress.core.dotted import load
from onnxpress.core.errors import BadData, UsageError
from onnxpress.core.golden import LIMIT
from onnxpress.training import recipe as recipes
from onnxpress.training.families import Cnn14, CnnLstmAttention, CnnLstmMultihead, Document, SpecCnn, Tabular
from onnxpress.training.fitting.framework_fit import framework_fit
from onnxpress.training.pipeline import stage
from onnxpress.training.recipe import Recipe

pytest.importorskip("sklearn")
EPOCHS = {"strings": 8, "vectors": 8, "two classes": 8, "three classes": 8}
"""where a figure is asked for; the others show that they can be fitted, exported and ported"""
FEW = 3
OTHER = {"pytorch": "tensorflow", "tensorflow": "pytorch"}


def words(folder: Path) -> dict[str, Any]:
    """Names of two kinds that a few characters tell apart."""
    g = np.random.default_rng(0)
    lines = ["name,kind"]
    for _ in range(60):
        lines.append("".join(g.choice(list("aeiou"), 6)) + ".com,soft")
        lines.append("".join(g.choice(list("xkzqw7"), 9)) + ".Net,hard")
    (folder / "words.csv").write_text("\n".join(lines))
    return {"source": "csv", "path": str(folder / "words.csv"), "target": "kind"}


def columns(folder: Path) -> dict[str, Any]:
    """Numbers and words, some of them missing; `kind` has two labels, `grade` three, `price` is a value."""
    g = np.random.default_rng(0)
    lines = ["size,age,town,colour,kind,grade,price"]
    for _ in range(150):
        size, town = g.normal(), str(g.choice(["Bern", "Rom", "Ulm", ""]))
        kind = "big" if size + (town == "Rom") > 0.3 else "small"
        grade = ["low", "mid", "top"][int(np.digitize(size, [-0.5, 0.5]))]
        shown = "" if g.random() < 0.1 else f"{size:.4f}"
        lines.append(f"{shown},{g.integers(1, 99)},{town},{g.choice(['red', 'blue'])},{kind},{grade},{3 * size:.3f}")
    (folder / "columns.csv").write_text("\n".join(lines))
    return {"source": "csv", "path": str(folder / "columns.csv"), "target": "kind"}


def series(folder: Path) -> dict[str, Any]:
    """Windows of 130 samples, slow or quick waves."""
    g = np.random.default_rng(0)
    lines = ["@data"]
    for number in range(60):
        wave = np.sin(np.arange(130) * (0.1 if number % 2 else 0.4) + g.random()) + 0.1 * g.normal(size=130)
        lines.append(",".join(f"{value:.4f}" for value in wave) + (":slow" if number % 2 else ":quick"))
    (folder / "waves.ts").write_text("\n".join(lines))
    return {"source": "time_series", "path": str(folder / "waves.ts")}


def vectors(folder: Path) -> dict[str, Any]:
    g = np.random.default_rng(0)
    centres = g.normal(size=(3, 24))
    labels = np.arange(120) % 3
    np.savez(folder / "v.npz", vectors=centres[labels] + 0.3 * g.normal(size=(120, 24)), labels=labels.astype(str))
    return {"source": "npz", "path": str(folder / "v.npz")}


TABULAR = {"family": "tabular", "columns": {"size": "scale", "age": "scale", "town": "embed", "colour": "onehot"}}
SMALL = {"family": "cnn-lstm-attention", "embedding": 12, "convolutions": [8], "lstm": 6, "dense": [8, 8], "length": 12}
CASES: dict[str, tuple[dict[str, Any], Callable[[Path], dict[str, Any]], dict[str, Any]]] = {
    "strings": (SMALL | {"text": "name", "positive": "hard", "attention": 5}, words, {}),
    "strings and their figures": (
        SMALL | {"text": "name", "attention": 0, "character_features": ["entropy", "length", "dots"],
                 "ngrams": {"n": 2, "buckets": 16}},
        words,
        {},
    ),
    "numbers, no attention": (SMALL | {"attention": 0, "embedding": 10}, lambda folder: wine(folder), {}),
    "two classes": (TABULAR | {"positive": "big", "calibration": "isotonic"}, columns, {}),
    "three classes": (TABULAR, columns, {"target": "grade"}),
    "a value": (TABULAR | {"task": "regress"}, columns, {"target": "price"}),
    "words alone": ({"family": "tabular", "columns": {"town": "embed"}}, columns, {}),
    "vectors": ({"family": "document", "hidden": 16}, vectors, {}),
    "fourteen layers": ({"family": "cnn14", "normalise": True}, series, {}),
    "strides and dropouts of its own": (
        {"family": "cnn14", "filters": [8, 8, 8], "strides": [1, 2, 3], "dropouts": [0, 0.1, 0.2], "dense": [8],
         "positive": "slow", "unit": "mg", "threshold": {"metric": "false_alarm_rate", "at_least": {"recall": 0.9}},
         "augmentation": {"classes": ["slow"], "noise_mg": 3, "shift": 20}},
        series,
        {},
    ),
    "a picture of a spectrogram": (
        {"family": "spec-cnn", "spectrogram": {"window": 32, "hop": 8}, "filters": [8, 8], "dense": [8]},
        series,
        {},
    ),
    "multi-head attention": (
        {"family": "cnn-lstm-multihead", "normalise": True, "convolutions": [8, 8], "lstm": 6, "heads": 3,
         "dense": [8]},
        series,
        {},
    ),
    "three layers on a spectrogram": (
        {"family": "cnn14", "filters": [8, 8, 8], "kernel": 3, "stride_every": 0, "dense": [8],
         "spectrogram": {"window": 16, "hop": 6}, "augmentation": {"copies": 1}},
        series,
        {},
    ),
}  # fmt: skip


def wine(folder: Path) -> dict[str, Any]:
    return {"source": "sklearn", "table": "wine"}


def recipe(name: str, framework: str, folder: Path, **training: Any) -> Recipe:
    model, data, changes = CASES[name]
    document = {
        "name": "family",
        "framework": framework,
        "model": model,
        "data": data(folder) | changes,
        "training": {"epochs": EPOCHS.get(name, FEW), "batch_size": 16, "learning_rate": 0.01, **training},
    }
    return msgspec.convert(document, Recipe)


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str, str], Path]:
    """Case and framework → its run folder, trained once for all tests."""

    @functools.cache
    def train(name: str, framework: str) -> Path:
        output = tmp_path_factory.mktemp("runs")
        folder = stage.train(recipe(name, framework, output), output=output)
        assert folder is not None
        return folder

    return train


@pytest.fixture(scope="module")
def exported(trained: Callable[[str, str], Path], tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Any]:
    """Case and framework → its published version, exported once for all tests."""

    @functools.cache
    def export(name: str, framework: str) -> Any:
        pytest.importorskip("tf2onnx" if framework == "tensorflow" else "onnxscript")
        from onnxpress.export.pipeline.export import export
        from onnxpress.export.sources import resolve as source

        found = source.resolve(str(trained(name, framework)))
        return export(found, repository=tmp_path_factory.mktemp("models"))

    return export


@pytest.mark.parametrize("name", CASES)
def test_a_family_trains_and_is_exported_equal_and_ported(
    name: str,
    framework: str,
    trained: Callable[[str, str], Path],
    exported: Callable[[str, str], Any],
    tmp_path: Path,
) -> None:
    folder = trained(name, framework)
    metrics = json.loads((folder / "metrics.json").read_text())
    run = runs.read(folder)
    assert metrics["parameters"] == run.parameters > 0
    figure = metrics["r2"] if name == "a value" else metrics["macro_accuracy"]
    assert np.isfinite(figure)
    if name in {"strings", "vectors", "two classes", "three classes"}:
        assert figure > 0.7
    if name != "a value":
        confusion = json.loads((folder / "confusion.json").read_text())
        assert np.sum(confusion["counts"]) == metrics["held_out_rows"]
        assert np.trace(confusion["counts"]) / metrics["held_out_rows"] == pytest.approx(metrics["accuracy"])
    published = exported(name, framework)
    assert published.report.equivalent, published.report
    assert published.manifest.batch_safe, published.report
    if importlib.util.find_spec("torch") and importlib.util.find_spec("tensorflow"):
        from onnxpress.training.pipeline import port

        there, multiple = port.port(folder, to=OTHER[framework], output=tmp_path / "ported")
        assert multiple <= LIMIT
        back, _ = port.port(there, to=framework, output=tmp_path / "back")
        returned = port.read_layers(back)
        for layer, roles in port.read_layers(folder).items():
            for role, array in roles.items():
                assert np.array_equal(array, returned[layer][role]), (layer, role)


@pytest.mark.parametrize("name", CASES)
def test_both_frameworks_are_given_the_same_rows_and_as_many_parameters(name: str, tmp_path: Path) -> None:
    chosen = recipe(name, "pytorch", tmp_path)
    prepared = chosen.model.prepare(chosen.data.load(chosen.model.reading()), chosen.training)
    for framework in ("pytorch", "tensorflow"):
        if importlib.util.find_spec({"pytorch": "torch", "tensorflow": "tensorflow"}[framework]) is None:
            continue
        network = load(f"onnxpress.training.{framework}.models.{prepared.network}:build")(**prepared.settings)
        assert framework_fit(framework).parameters(network) == prepared.parameters
        assert framework_fit(framework).predict(network, prepared.validation.x).shape[0] == len(prepared.validation.y)


def test_the_published_graph_takes_raw_strings(framework: str, exported: Callable[[str, str], Any]) -> None:
    from onnxpress.serving.engine import Engine

    published = exported("strings", framework)
    engine = Engine.load((published.folder / "model.onnx").read_bytes(), self_test=False)
    found = engine.run({"text": np.array(["aeiouaei.com", "XKZQW7xkz.net", "", "日本"], object)})
    assert found["prediction"].tolist()[:2] == ["soft", "hard"]
    assert found["probabilities"].shape == (4, 2)
    assert published.manifest.labels == {"probabilities": ["soft", "hard"]}


@pytest.mark.parametrize(
    ("name", "changes", "error", "message"),
    [
        ("strings", {"positive": "harsh"}, BadData, "the positive label is 'harsh'"),
        ("strings", {"text": "nmae"}, BadData, "no column 'nmae'"),
        ("fourteen layers", {"filters": [8] * 40}, BadData, "the network needs at least"),
        ("two classes", {"columns": {"size": "embed", "kind": "embed"}}, BadData, "is also a feature"),
    ],
)
def test_rows_that_do_not_fit_are_refused(
    name: str, changes: dict[str, Any], error: type[Exception], message: str, tmp_path: Path
) -> None:
    model, data, _ = CASES[name]
    chosen = msgspec.convert({"name": "x", "model": model | changes, "data": data(tmp_path)}, Recipe)
    with pytest.raises(error, match=message):
        chosen.model.prepare(chosen.data.load(chosen.model.reading()), chosen.training)


def test_the_fourteen_layers_need_125_samples() -> None:
    assert Cnn14().smallest_window == 125
    assert Cnn14(filters=(16, 32, 64), stride_every=0).smallest_window == 13


def test_a_spec_that_contradicts_itself_is_refused() -> None:
    with pytest.raises(ValueError, match="2 dense layers with 1 dropout rates"):
        CnnLstmAttention(dense_dropouts=(0.1,))
    with pytest.raises(ValueError, match="name its column in text"):
        CnnLstmAttention(character_features=("entropy",))
    with pytest.raises(ValueError, match="3 heads do not divide the 64 values"):
        CnnLstmMultihead(heads=3)
    with pytest.raises(ValueError, match="5 convolutions need 32 frequencies"):
        SpecCnn(filters=(8,) * 5)
    with pytest.raises(ValueError, match="2 strides for 14 convolutions"):
        Cnn14(strides=(1, 2))
    with pytest.raises(ValueError, match="text and encoder belong together"):
        Document(text="text")
    with pytest.raises(ValueError, match="at least one column"):
        Tabular(columns={})


OWN = {
    "pytorch": "import torch\ndef build(units=8):\n"
    "    return torch.nn.Sequential(torch.nn.Linear(13, units), torch.nn.ReLU(), torch.nn.Linear(units, 3))\n",
    "tensorflow": "import keras\ndef build(units=8):\n"
    "    return keras.Sequential([keras.Input((13,)), keras.layers.Dense(units, 'relu'), keras.layers.Dense(3)])\n",
}


def test_a_users_own_model_trains_from_a_recipe_that_names_it(
    framework: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / f"factory_{framework}.py").write_text(OWN[framework])
    monkeypatch.syspath_prepend(tmp_path)
    path = tmp_path / "own.yaml"
    path.write_text(
        f"name: own\nmodel: factory_{framework}:build\ndata: {{source: sklearn, table: wine}}\n"
        "training: {epochs: 60, learning_rate: 0.02}\n"
    )
    chosen = recipes.load(path)
    assert chosen.framework == framework, "told from what the factory returns"
    folder = stage.train(chosen, output=tmp_path / "runs")
    assert folder is not None
    assert json.loads((folder / "metrics.json").read_text())["accuracy"] > 0.85
    assert runs.read(folder).model == f"factory_{framework}:build"


def test_a_factory_of_something_else_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "own_nothing.py").write_text("def build():\n    return 7\n")
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "own.yaml").write_text("name: own\nmodel: own_nothing:build\ndata: {source: sklearn, table: wine}\n")
    with pytest.raises(UsageError, match="it returned int"):
        recipes.load(tmp_path / "own.yaml")


def test_events_are_never_divided_and_judged_whole(framework: str, tmp_path: Path) -> None:
    pytest.importorskip("ijson")
    from onnxpress.training.data import simulated

    (tmp_path / "events.json").write_bytes(msgspec.json.encode(simulated.events(30, seed=1)))
    document = {
        "name": "seizures",
        "framework": framework,
        "model": {"family": "cnn14", "unit": "mg", "magnitude": True, "positive": "Seizure", "filters": [8, 8, 8]},
        "data": {"source": "events", "path": str(tmp_path / "events.json")},
        "training": {
            "epochs": 3,
            "balanced_batches": True,
            "select": {"metric": "false_alarm_rate", "at_least": {"recall": 0.42}},
            "tensorboard": True,
            "folds": 2,
        },
    }
    folder = stage.train(msgspec.convert(document, Recipe), output=tmp_path / "runs")
    assert folder is not None
    metrics = json.loads((folder / "metrics.json").read_text())
    assert metrics["held_out_rows"] == 4 * metrics["held_out_events"]
    assert {"event_recall", "event_false_alarm_rate", "folds_accuracy", "folds_accuracy_sd"} <= metrics.keys()
    assert len(json.loads((folder / "folds.json").read_text())) == 2
    events = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    tags = events.EventAccumulator(str(folder / "tensorboard")).Reload().Tags()["scalars"]
    assert {"loss/training", "loss/validation", "validation/recall", "validation/roc_auc"} <= set(tags)
    history = json.loads((folder / "history.json").read_text())
    best = history["validation"][history["best_epoch"] - 1]
    assert best["recall"] >= 0.42 or max(epoch["recall"] for epoch in history["validation"]) < 0.42
