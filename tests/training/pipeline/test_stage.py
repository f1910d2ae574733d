"""A recipe becomes a run folder that stands alone: it is read, rebuilt and trusted in a fresh process."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from onnxpress.core import run as runs
from onnxpress.core.errors import BadData, BadModel, MissingExtra, UsageError
from onnxpress.training import recipe as recipes
from onnxpress.training.fitting import framework_fit as framework_half
from onnxpress.training.pipeline import stage

Trained = Callable[[str], Path]


def test_the_run_folder_holds_everything(framework: str, trained: Trained) -> None:
    folder = trained(framework)
    weights = {"pytorch": "weights.safetensors", "tensorflow": "model.weights.h5"}[framework]
    assert {path.name for path in folder.iterdir()} == {
        "run.json", "recipe.json", "data.json", "metrics.json", "history.json", "samples.npz", weights,
        "loss.png", "scores.png", "curves.png", "run.html",
    }  # fmt: skip
    assert folder.name == f"anomaly-{framework}"
    for name in ("loss.png", "scores.png", "curves.png"):
        assert (folder / name).read_bytes().startswith(b"\x89PNG")


def test_the_demo_reaches_its_figures(framework: str, trained: Trained) -> None:
    metrics = json.loads((trained(framework) / "metrics.json").read_text())
    assert metrics["roc_auc"] >= 0.93
    assert metrics["detection_rate"] > 0.7
    assert metrics["false_alarm_rate"] < 0.15
    assert metrics["parameters"] == 2505
    assert metrics["seconds"] < 60


def test_run_json_says_what_callers_send_and_receive(framework: str, trained: Trained) -> None:
    run = runs.read(trained(framework))
    assert (run.name, run.framework, run.seed, run.parameters) == (f"anomaly-{framework}", framework, 0, 2505)
    assert [str(spec) for spec in run.network_inputs] == ["scaled:float32[batch,30]"]
    assert [str(spec) for spec in run.network_outputs] == ["decoded:float32[batch,30]"]
    assert [str(spec) for spec in run.inputs] == ["features:float32[batch,30]"]
    assert [spec.name for spec in run.outputs] == ["reconstruction", "score", "is_anomaly"]
    assert run.thresholds == {"is_anomaly": json.loads((trained(framework) / "metrics.json").read_text())["threshold"]}


def test_samples_are_raw_held_out_rows_with_the_truth(framework: str, trained: Trained) -> None:
    with np.load(trained(framework) / "samples.npz", allow_pickle=False) as samples:
        assert sorted(samples.files) == ["features", "target"]
        features, target = samples["features"], samples["target"]
    assert (features.shape, features.dtype) == ((228, 30), np.float32)
    assert features.max() > 100, "raw units, not scaled"
    assert (target.dtype, sorted(set(target.tolist())), len(target)) == (np.int64, [0, 1], 228)


def test_history_tells_every_epoch(framework: str, trained: Trained) -> None:
    history, metrics = (
        json.loads((trained(framework) / f"{name}.json").read_text()) for name in ("history", "metrics")
    )
    assert len(history["training_loss"]) == len(history["validation_loss"]) == metrics["epochs"]
    assert np.argmin(history["validation_loss"]) + 1 == metrics["best_epoch"] == history["best_epoch"]


def test_the_resolved_recipe_is_the_recipe(framework: str, trained: Trained, anomaly_recipe: Path) -> None:
    assert recipes.load(trained(framework) / "recipe.json") == recipes.load(anomaly_recipe, framework=framework)


_FRESH = """
import json, sys
from pathlib import Path
import numpy as np
from onnxpress.core import dotted, run as runs
from onnxpress.core.processing import apply

folder = Path(sys.argv[1])
run = runs.read(folder)
network = dotted.load(run.model)(**run.settings)
with np.load(folder / run.samples) as archive:
    samples = dict(archive)
tensors = apply(run.processing.before, samples)
if run.framework == "pytorch":
    import torch
    from safetensors.torch import load_file
    network.load_state_dict(load_file(folder / run.weights))
    with torch.no_grad():
        tensors["decoded"] = network.eval()(torch.from_numpy(tensors["scaled"])).numpy()
else:
    network.load_weights(folder / run.weights)
    tensors["decoded"] = np.asarray(network(tensors["scaled"], training=False))
tensors = apply(run.processing.after, tensors)
anomaly = samples["target"] == 1
print(json.dumps({
    "detection_rate": float(tensors["is_anomaly"][anomaly].mean()),
    "false_alarm_rate": float(tensors["is_anomaly"][~anomaly].mean()),
}))
"""


def test_a_fresh_process_gets_the_same_figures_from_the_folder_alone(
    framework: str, trained: Trained, tmp_path: Path
) -> None:
    folder = trained(framework)
    done = subprocess.run(
        [sys.executable, "-c", _FRESH, str(folder)], cwd=tmp_path, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr
    metrics = json.loads((folder / "metrics.json").read_text())
    for name, value in json.loads(done.stdout).items():
        assert value == pytest.approx(metrics[name], abs=1e-9), name


def test_the_same_recipe_gives_the_same_run(framework: str, anomaly_recipe: Path, tmp_path: Path) -> None:
    loaded = recipes.load(anomaly_recipe, framework=framework, settings=["training.epochs=2"])
    first, second = (stage.train(loaded, output=tmp_path) for _ in range(2))
    assert (first.name, second.name) == (f"anomaly-{framework}", f"anomaly-{framework}-2")
    for name in ("history.json", "samples.npz", "recipe.json", "run.json"):
        assert (first / name).read_bytes() == (second / name).read_bytes(), name


@pytest.mark.torch
def test_rows_of_a_csv_file_train_too(tmp_path: Path) -> None:
    pytest.importorskip("torch")
    generator = np.random.default_rng(0)
    lines = ["height,width,constant,kind"]
    for kind, centre in (("ok", 1.0), ("bad", 5.0)):
        lines += [f"{a},{b},3,{kind}" for a, b in generator.normal(centre, 0.3, (40, 2))]
    (tmp_path / "rows.csv").write_text("\n".join(lines))
    (tmp_path / "recipe.yaml").write_text(
        "name: csv\nmodel: {family: autoencoder, normal: ok}\n"
        "data: {source: csv, path: rows.csv, target: kind}\ntraining: {epochs: 5}\n"
    )
    folder = stage.train(recipes.load(tmp_path / "recipe.yaml"), output=tmp_path / "runs")
    metrics = json.loads((folder / "metrics.json").read_text())
    assert metrics["roc_auc"] == 1.0
    assert [str(spec) for spec in runs.read(folder).inputs] == ["features:float32[batch,3]"]


@pytest.mark.torch
@pytest.mark.parametrize("setting", ["class_weights=balanced", "balanced_batches=true"])
def test_classes_are_neither_weighed_nor_balanced_where_there_are_none(
    setting: str, anomaly_recipe: Path, tmp_path: Path
) -> None:
    pytest.importorskip("torch")
    loaded = recipes.load(anomaly_recipe, framework="pytorch", settings=[f"training.{setting}"])
    with pytest.raises(UsageError, match="learns values, not classes"):
        stage.train(loaded, output=tmp_path)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.torch
def test_bad_rows_leave_no_folder(tmp_path: Path) -> None:
    pytest.importorskip("torch")
    (tmp_path / "rows.csv").write_text("a,kind\n1,ok\nx,bad\n")
    (tmp_path / "recipe.yaml").write_text(
        "name: csv\nmodel: {family: autoencoder, normal: ok}\ndata: {source: csv, path: rows.csv, target: kind}\n"
    )
    with pytest.raises(BadData, match=r"rows\.csv:3: 'x' is no finite"):
        stage.train(recipes.load(tmp_path / "recipe.yaml"), output=tmp_path / "runs")
    assert not (tmp_path / "runs").exists()


@pytest.mark.torch
def test_training_that_diverges_is_refused_and_leaves_no_run(
    anomaly_recipe: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("torch")
    from onnxpress.training.fitting import loop

    monkeypatch.setattr(loop, "run", lambda *_: loop.History([1.0], [None]))
    with pytest.raises(BadModel, match="training diverged"):
        stage.train(recipes.load(anomaly_recipe), output=tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_missing_framework_is_named_with_its_extra(
    anomaly_recipe: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(framework_half, "is_installed", lambda package: package != "torch")
    with pytest.raises(MissingExtra, match=r"onnxpress\[pytorch\]"):
        stage.train(recipes.load(anomaly_recipe, framework="pytorch"), output=tmp_path)


@pytest.mark.parametrize(
    ("domain", "said"),
    [("feature:[0,1]", "did you mean 'features'"), ("features:[0,1]", r"outside of its domain \[0, 1\]")],
)
def test_a_domain_that_does_not_fit_is_told_before_training(tmp_path: Path, domain: str, said: str) -> None:
    recipe = recipes.load(Path("recipes/anomaly.yaml"), settings=[f'domains=["{domain}"]'])
    with pytest.raises((UsageError, BadData), match=said):
        stage.train(recipe, output=tmp_path)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(("column", "what"), [("value", "the model's answer"), ("numbers", "a step before")])
def test_a_column_that_is_called_like_a_tensor_is_refused_before_the_fit(
    tmp_path: Path, column: str, what: str
) -> None:
    lines = [f"{column},age,price", *(f"{n},{n % 7},{n * 2.5}" for n in range(60))]
    (tmp_path / "t.csv").write_text("\n".join(lines))
    model = {"family": "tabular", "task": "regress", "columns": {column: "scale", "age": "scale"}}
    data = {"source": "csv", "path": "t.csv", "target": "price"}
    (tmp_path / "r.json").write_text(json.dumps({"name": "t", "model": model, "data": data}))
    pytest.importorskip("torch")
    with pytest.raises(BadData, match=what) as refused:
        stage.train(recipes.load(tmp_path / "r.json"), output=tmp_path / "runs")
    assert "rename the column" in str(refused.value)
    assert not (tmp_path / "runs").exists()
