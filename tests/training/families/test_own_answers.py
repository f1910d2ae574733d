"""An own network that ends in softmax or sigmoid is trained by its likelihood and published with no second one."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from onnxpress.core import run as runs
from onnxpress.core.errors import BadModel, UsageError
from onnxpress.training import recipe as recipes
from onnxpress.training.families import Own
from onnxpress.training.fitting import losses
from onnxpress.training.pipeline import stage

pytest.importorskip("sklearn")
pytest.importorskip("matplotlib")

NETS = {
    "pytorch": """
import torch
from torch import nn

class Functional(nn.Module):
    def __init__(self):
        super().__init__()
        self.head = nn.Linear(2, 2)

    def forward(self, x):
        return torch.softmax(self.head(x), dim=1)

def functional():
    return Functional()

class SigmoidWithoutAName(nn.Module):
    def __init__(self):
        super().__init__()
        self.head = nn.Linear(2, 1)

    def forward(self, x):
        return torch.sigmoid(self.head(x))

def unnamed():
    return SigmoidWithoutAName()

def softmax():
    return nn.Sequential(nn.Linear(2, 2), nn.Softmax(dim=1))

def sigmoid():
    return nn.Sequential(nn.Linear(2, 1), nn.Sigmoid())

def logits():
    return nn.Linear(2, 2)

def logit():
    return nn.Linear(2, 1)

def three():
    return nn.Linear(2, 3)

class Several(nn.Module):
    def __init__(self, classes=2, other=0.0, keyed=False):
        super().__init__()
        self.hidden, self.head = nn.Linear(2, 4), nn.Linear(4, classes)
        self.other, self.keyed = other, keyed

    def forward(self, x):
        inner = torch.tanh(self.hidden(x))
        z = self.head(inner)
        p = torch.softmax(z + self.other * z * z, dim=1) if z.shape[1] > 1 else torch.sigmoid(z)
        return {"probabilities": p, "logits": z, "inner": inner} if self.keyed else (p, z, inner)

def several(**settings):
    return Several(**settings)
""",
    "tensorflow": """
import keras
from keras import layers

def net(*after):
    x = y = keras.Input((2,), name="features")
    for layer in after:
        y = layer(y)
    return keras.Model(x, y)

def functional():
    return net(layers.Dense(2), layers.Lambda(lambda z: keras.ops.softmax(z)))

def unnamed():
    return net(layers.Dense(1), layers.Lambda(lambda z: keras.ops.sigmoid(z)))

def softmax():
    return net(layers.Dense(2, activation="softmax"))

def sigmoid():
    return net(layers.Dense(1), layers.Activation("sigmoid"))

def logits():
    return net(layers.Dense(2))

def logit():
    return net(layers.Dense(1))

def three():
    return net(layers.Dense(3))

def several(classes=2, other=0.0, keyed=False):
    x = keras.Input((2,), name="features")
    inner = layers.Dense(4, activation="tanh")(x)
    z = layers.Dense(classes)(inner)
    p = keras.ops.softmax(z + other * z * z) if classes > 1 else keras.ops.sigmoid(z)
    return keras.Model(x, {"probabilities": p, "logits": z, "inner": inner} if keyed else [p, z, inner])
""",
}


@pytest.fixture
def recipe(framework: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / f"nets_{framework}.py").write_text(NETS[framework])
    generator = np.random.default_rng(0)
    rows = generator.standard_normal((120, 2))
    lines = [f"{a:.3f},{b:.3f},{'up' if a > b else 'down'}" for a, b in rows]
    (tmp_path / "rows.csv").write_text("a,b,kind\n" + "\n".join(lines))
    path = tmp_path / "own.json"
    document = {
        "name": "own",
        "framework": framework,
        "model": {"family": "own", "build": "", "scale": False},
        "data": {"source": "csv", "path": "rows.csv", "target": "kind"},
        "training": {"epochs": 30, "learning_rate": 0.1, "batch_size": 32},
    }
    path.write_text(json.dumps(document))
    return path


def trained(recipe: Path, framework: str, build: str, *settings: str) -> Path:
    chosen = [f"model.build=nets_{framework}.py:{build}", *settings]
    run = stage.train(recipes.load(recipe, settings=chosen), output=recipe.parent / "runs")
    assert run is not None
    return run


@pytest.mark.parametrize(
    ("build", "steps"),
    [
        ("softmax", ["Label", "Maximum"]),
        ("functional", ["Label", "Maximum"]),
        ("sigmoid", ["Squeeze", "Threshold", "BinaryLabel"]),
        ("unnamed", ["Squeeze", "Threshold", "BinaryLabel"]),
        ("logits", ["Softmax", "Label", "Maximum"]),
        ("logit", ["Squeeze", "Sigmoid", "Threshold", "BinaryLabel"]),
    ],
)
def test_what_the_network_answers_is_told(
    recipe: Path, framework: str, build: str, steps: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    folder = trained(recipe, framework, build)
    run = runs.read(folder)
    assert [type(step).__name__ for step in run.processing.after] == steps
    answers = "logits" if build in {"logits", "logit"} else "probabilities"
    assert run.network_outputs[0].name == answers
    assert f"the network answers {answers}" in capsys.readouterr().err
    metrics = json.loads((folder / "metrics.json").read_text())
    assert metrics["accuracy"] > 0.9
    # Twice through a softmax, probabilities lie between 0.27 and 0.73: as wrong about themselves as that.
    assert metrics["calibration_error"] < 0.2


def test_the_recipe_may_say_it_and_what_cannot_be_is_refused(recipe: Path, framework: str) -> None:
    run = runs.read(trained(recipe, framework, "softmax", "model.answers=logits", "training.epochs=1"))
    assert type(run.processing.after[0]).__name__ == "Softmax"
    with pytest.raises(BadModel, match="said to answer probabilities"):
        trained(recipe, framework, "logits", "model.answers=probabilities")
    with pytest.raises(BadModel, match=r"answers \(3,\) for a row; \(1,\) or \(2,\) is needed"):
        trained(recipe, framework, "three")


OUTPUTS = 'model.outputs=["probabilities","logits","inner"]'


def test_several_outputs_are_published_by_name_and_the_logits_are_learnt(recipe: Path, framework: str) -> None:
    folder = trained(recipe, framework, "several", OUTPUTS)
    run = runs.read(folder)
    assert [type(step).__name__ for step in run.processing.after] == ["Label", "Maximum"], "no second softmax"
    assert [spec.name for spec in run.network_outputs] == ["probabilities", "logits", "inner"]
    assert [spec.name for spec in run.outputs] == ["probabilities", "prediction", "confidence", "logits", "inner"]
    assert json.loads((folder / "metrics.json").read_text())["accuracy"] > 0.9
    pytest.importorskip("tf2onnx" if framework == "tensorflow" else "onnxscript")
    from onnxpress.export.pipeline.export import export
    from onnxpress.export.source import SourceRef
    from onnxpress.export.sources import resolve

    source = resolve.resolve(SourceRef(reference=str(folder), trust_run=True))
    published = export(source, repository=folder.parent / "models")
    assert published.report.equivalent, published.report
    from onnxpress.serving.engine import Engine

    x = np.load(folder / "samples.npz")["features"]
    found = Engine.load((published.folder / "model.onnx").read_bytes(), self_test=False).run({"features": x})
    assert found["inner"].shape == (len(x), 4)
    assert found["probabilities"] == pytest.approx(losses.probabilities("cross_entropy", found["logits"]), abs=1e-5)
    assert (found["prediction"] == np.array(["down", "up"])[found["logits"].argmax(axis=1)]).all()


@pytest.mark.parametrize("settings", [{"classes": 1}, {"keyed": True}])
def test_one_logit_and_a_dict_are_taken_too(recipe: Path, framework: str, settings: dict[str, object]) -> None:
    folder = trained(recipe, framework, "several", OUTPUTS, f"model.settings={json.dumps(settings)}")
    assert json.loads((folder / "metrics.json").read_text())["accuracy"] > 0.9
    assert {"logits", "inner", "prediction"} <= {spec.name for spec in runs.read(folder).outputs}


def test_outputs_that_cannot_be_are_refused(recipe: Path, framework: str) -> None:
    for words, settings, message in (
        (["probabilities", "logits"], {}, "returns 3 tensors, and 2 outputs are named"),
        (["logits", "probabilities", "inner"], {"keyed": True}, "name the keys in their order"),
        (["probabilities", "logits", "inner"], {"other": 1.0}, "are not those of its logits"),
    ):
        given = [f"model.outputs={json.dumps(words)}", f"model.settings={json.dumps(settings)}"]
        with pytest.raises(BadModel) as refusal:
            trained(recipe, framework, "several", *given)
        assert message in str(refusal.value)
    for settings, message in (({}, "returns 3 tensors"), ({"keyed": True}, "a dict of probabilities, logits, inner")):
        with pytest.raises(BadModel, match=message) as refusal:
            trained(recipe, framework, "several", f"model.settings={json.dumps(settings)}")
        assert refusal.value.where == "model.outputs"
    for words, message in ((["features", "logits"], "what callers send"), (["logits"], "1 outputs are named")):
        with pytest.raises((BadModel, UsageError), match=message):
            trained(recipe, framework, "several", f"model.outputs={json.dumps(words)}")
    for outputs, message in (
        (["a", "b"], "one of outputs is logits or probabilities"),
        (["logits", "prediction"], "have names of their own"),
    ):
        with pytest.raises(ValueError, match=message):
            Own(build="a:b", outputs=outputs)


def test_the_likelihood_of_probabilities_is_the_cross_entropy_of_their_logits() -> None:
    generator = np.random.default_rng(0)
    z, y = generator.standard_normal((20, 3)), generator.integers(0, 3, 20)
    p = losses.probabilities("cross_entropy", z)
    assert losses.mean("negative_log_likelihood", p, y) == pytest.approx(losses.mean("cross_entropy", z, y))
    z, y = generator.standard_normal((20, 1)), generator.integers(0, 2, (20, 1)).astype(np.float32)
    p = losses.probabilities("binary_cross_entropy", z)[:, 1:]
    expected = losses.mean("binary_cross_entropy", z, y)
    assert losses.mean("binary_negative_log_likelihood", p, y) == pytest.approx(expected)
    assert np.isfinite(losses.mean("negative_log_likelihood", np.array([[0.0, 1.0]]), np.array([0])))
