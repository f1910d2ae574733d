"""A user's own network behind the steps of its recipe, words of a text and raw images, in both frameworks."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from onnxpress.core import run as runs
from onnxpress.core.errors import BadData, BadModel, UsageError
from onnxpress.training import recipe as recipes
from onnxpress.training.pipeline import stage

pytest.importorskip("sklearn")
pytest.importorskip("yaml")
G = np.random.default_rng(0)

NETS = {
    "pytorch": """
import torch
from torch import nn

class Mean(nn.Module):
    def __init__(self, words=8):
        super().__init__()
        self.table = nn.Embedding(words, 6)
        self.head = nn.Linear(6, 2)

    def forward(self, ids, mask):
        weights = mask.unsqueeze(-1).float()
        return self.head((self.table(ids) * weights).sum(1) / weights.sum(1).clamp(min=1))

class Columns(nn.Module):
    def __init__(self):
        super().__init__()
        self.kinds, self.sizes = nn.Embedding(3, 4), nn.Embedding(4, 4)
        self.head = nn.Linear(9, 2)

    def forward(self, columns):
        parts = [self.kinds(columns["kind_id"]), self.sizes(columns["size_id"]), columns["weight"]]
        return self.head(torch.cat(parts, 1))

def images():
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 2))
""",
    "tensorflow": """
import keras
from keras import layers

def Mean(words=8):
    ids, mask = keras.Input((5,), dtype="int64", name="ids"), keras.Input((5,), dtype="int64", name="mask")
    table = layers.Embedding(words, 6)(ids)
    weights = layers.Reshape((5, 1))(layers.Rescaling(1.0)(mask))
    return keras.Model([ids, mask], layers.Dense(2)(layers.GlobalAveragePooling1D()(table * weights)))

class Columns(keras.Model):
    def __init__(self):
        super().__init__()
        self.kinds, self.sizes = layers.Embedding(3, 4), layers.Embedding(4, 4)
        self.head = layers.Dense(2)

    def call(self, columns, training=None):
        parts = [self.kinds(columns["kind_id"]), self.sizes(columns["size_id"]), columns["weight"]]
        return self.head(keras.ops.concatenate(parts, axis=1))

def functional():
    kind, weight = keras.Input((), dtype="int64", name="kind"), keras.Input((1,), name="weight")
    kinds = layers.Embedding(3, 2, embeddings_initializer="normal")(kind)
    return keras.Model({"weight": weight, "kind": kind}, layers.Dense(2)(layers.Concatenate()([kinds, weight])))

def images():
    x = keras.Input((3, 8, 8), name="pixels")
    y = layers.Conv2D(4, 3, activation="relu")(layers.Permute((2, 3, 1))(x))
    return keras.Model(x, layers.Dense(2)(layers.GlobalAveragePooling2D()(y)))
""",
}
WORDS = """
name: own
model:
  family: own
  build: own_steps_{framework}:Mean
  before:
    - {{step: words, input: review, output: ids, mask: mask, vocabulary: [good, fine, bad, awful, film, a], length: 5}}
data: {{source: csv, path: reviews.csv, target: kind}}
training: {{epochs: 40, learning_rate: 0.05, batch_size: 16}}
"""
IMAGES = """
name: own
model:
  family: own
  build: own_steps_{framework}:images
  before:
    - {{step: image, input: images, output: pixels, height: 8, width: 8,
       mean: [0.5, 0.5, 0.5], std: [0.2, 0.2, 0.2]}}
data: {{source: npz, path: images.npz}}
training: {{epochs: 40, learning_rate: 0.05, batch_size: 16}}
"""
COLUMNS = """
name: own
model:
  family: own
  build: own_steps_{framework}:Columns
  before:
    - {{step: lookup, input: kind, output: kind_id, values: [film, book]}}
    - {{step: lookup, input: size, output: size_id, values: [small, large, huge]}}
    - {{step: stack, inputs: [grams], output: raw}}
    - {{step: scale, input: raw, output: weight, offset: [50], factor: [0.02]}}
  inputs: [weight, size_id, kind_id]
data: {{source: csv, path: things.csv, target: label}}
training: {{epochs: 40, learning_rate: 0.05, batch_size: 16}}
"""
WORDS_STEP = '{"step": "words", "input": "%s", "output": "ids", "vocabulary": ["a"], "length": 5}'
IMAGE_STEP = '{"step": "image", "input": "%s", "output": "pixels", "height": 8, "width": 8%s}'
ONE_CHANNEL = ', "mean": [0.5], "std": [1]'


@pytest.fixture
def folder(tmp_path: Path, framework: str, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / f"own_steps_{framework}.py").write_text(NETS[framework])
    (tmp_path / "words.yaml").write_text(WORDS.format(framework=framework))
    (tmp_path / "columns.yaml").write_text(COLUMNS.format(framework=framework))
    things = ["kind,size,grams,label"]
    for number in range(120):
        kind, size = ("film", "book")[number % 2], ("small", "large", "huge", "other")[number // 2 % 4]
        things.append(f"{kind},{size},{G.integers(10, 90)},{'buy' if kind == 'book' else 'leave'}")
    (tmp_path / "things.csv").write_text("\n".join(things))
    (tmp_path / "images.yaml").write_text(IMAGES.format(framework=framework))
    lines = ["number,review,kind"]
    for number in range(120):
        kind = ("praise", "blame")[number % 2]
        word = G.choice([["good", "Fine"], ["bad", "AWFUL"]][number % 2])
        lines.append(f"{number},a {'dull ' * int(G.integers(0, 3))}film {word},{kind}")
    (tmp_path / "reviews.csv").write_text("\n".join(lines))
    dark = G.integers(0, 150, (80, 12, 10, 3))
    labels = np.arange(80) % 2
    np.savez(tmp_path / "images.npz", images=(dark + 100 * labels[:, None, None, None]).astype(np.uint8),
             labels=np.array(["night", "day"])[labels])  # fmt: skip
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def published(folder: Path, recipe: str, framework: str) -> Any:
    """The recipe trained to be right on held-out rows, and exported equal."""
    trained = stage.train(recipes.load(folder / recipe), output=folder / "runs")
    assert trained is not None
    assert json.loads((trained / "metrics.json").read_text())["accuracy"] > 0.9
    pytest.importorskip("tf2onnx" if framework == "tensorflow" else "onnxscript")
    from onnxpress.export.pipeline.export import export
    from onnxpress.export.source import SourceRef
    from onnxpress.export.sources import resolve as source

    with pytest.raises(UsageError, match="which is none of onnxpress's families"):
        source.resolve(str(trained))
    found = export(source.resolve(SourceRef(reference=str(trained), trust_run=True)), repository=folder / "models")
    assert [spec.name for spec in runs.read(trained).inputs] == [spec.name for spec in found.manifest.inputs]
    return found


def test_words_of_a_column_reach_the_network(folder: Path, framework: str) -> None:
    from onnxpress.serving.engine import Engine

    found = published(folder, "words.yaml", framework)
    assert [str(spec) for spec in found.manifest.inputs] == ["review:string[batch]"]
    engine = Engine.load(found.folder / "model.onnx")
    answer = engine.run({"review": np.array(["A good  film", "film so so so awful good", "", "bad"], object)})
    assert answer["prediction"].tolist()[:2] == ["praise", "blame"]
    assert answer["prediction"].tolist()[3] == "blame"


def test_raw_images_reach_the_network(folder: Path, framework: str) -> None:
    from onnxpress.serving.engine import Engine

    found = published(folder, "images.yaml", framework)
    assert [str(spec) for spec in found.manifest.inputs] == ["images:uint8[batch,images_height,images_width,3]"]
    engine = Engine.load(found.folder / "model.onnx")
    bright = np.full((2, 30, 7, 3), 180, np.uint8)
    assert engine.run({"images": bright})["prediction"].tolist() == ["day", "day"]


def test_columns_reach_a_network_of_embeddings_as_a_dict(folder: Path, framework: str) -> None:
    from onnxpress.serving.engine import Engine

    found = published(folder, "columns.yaml", framework)
    engine = Engine.load(found.folder / "model.onnx")
    rows = {"kind": ["book", "film"], "size": ["huge", "?"]}
    feeds = {name: np.array(values, object) for name, values in rows.items()}
    answer = engine.run({**feeds, "grams": np.array([50, 60], np.float32)})
    assert answer["prediction"].tolist() == ["buy", "leave"]


@pytest.mark.tensorflow
@pytest.mark.parametrize("framework", ["tensorflow"])
def test_a_functional_network_gets_tensors_under_its_own_keys(folder: Path) -> None:
    from onnxpress.core.dotted import load
    from onnxpress.training.tensorflow import fit

    network = load("own_steps_tensorflow:functional")()
    x = {"kind": np.array([0, 1, 2]), "weight": np.array([[0.5], [2], [-1]], np.float32)}
    expected = np.asarray(network(x))
    assert fit.predict(fit.by_name(network, x), x) == pytest.approx(expected)
    with pytest.raises(BadModel, match=r"(?s)a dict of weight, kind, and is given kind, grams.*name the tensors"):
        fit.by_name(network, {"kind": x["kind"], "grams": x["weight"]})


@pytest.mark.torch
@pytest.mark.parametrize("framework", ["pytorch"])
@pytest.mark.parametrize(
    ("recipe", "setting", "message"),
    [
        ("words.yaml", f"model.before=[{WORDS_STEP % 'reviews'}]", "no column 'reviews'"),
        ("words.yaml", 'model.inputs=["idz"]', "(?s)no step makes 'idz'.*there is: review, ids, mask"),
        ("images.yaml", f"model.before=[{IMAGE_STEP % ('image', '')}]", "(?s)reads 'image'.*the source has: images"),
        ("images.yaml", f"model.before=[{IMAGE_STEP % ('images', ONE_CHANNEL)}]", "fail on the first row: 'images'"),
        ("images.yaml", "model.before=[]", "images are uint8"),
    ],
)
def test_steps_that_do_not_fit_are_refused(folder: Path, recipe: str, setting: str, message: str) -> None:
    with pytest.raises(BadData, match=message):
        stage.train(recipes.load(folder / recipe, settings=[setting]), output=folder / "runs")


@pytest.mark.torch
@pytest.mark.parametrize("framework", ["pytorch"])
def test_inputs_without_steps_are_refused(folder: Path) -> None:
    with pytest.raises(UsageError, match="there are none"):
        recipes.load(folder / "words.yaml", settings=["model.before=[]", 'model.inputs=["ids"]'])
