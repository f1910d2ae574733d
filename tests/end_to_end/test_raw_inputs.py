"""Texts and images as callers have them: exported with their steps, served, and answered as the torch module does."""

from __future__ import annotations

import importlib
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("torch")
pytest.importorskip("onnxscript")
pytest.importorskip("yaml")

from click.testing import CliRunner
from msgspec import convert
from tests.serving.harness import running

from onnxpress.core.arrays import Array
from onnxpress.core.cli import root
from onnxpress.core.documents import read_document
from onnxpress.core.processing import Processing, apply
from onnxpress.serving.client.blocking import Client
from onnxpress.serving.models.repository import Repository
from onnxpress.serving.service import Service

pytestmark = pytest.mark.torch

NETS = """
import torch
from torch import nn

class Sentiment(nn.Module):
    '''The mean of the words' vectors, without the padding.'''

    def __init__(self):
        super().__init__()
        self.table = nn.Embedding(7, 5)
        self.layer = nn.Linear(5, 2)

    def forward(self, ids, mask):
        weights = mask.unsqueeze(-1).float()
        mean = (self.table(ids) * weights).sum(1) / weights.sum(1).clamp(min=1)
        return self.layer(mean)

class Small(nn.Module):
    def __init__(self):
        super().__init__()
        self.body = nn.Sequential(nn.Conv2d(3, 6, 3, stride=2), nn.BatchNorm2d(6), nn.ReLU(), nn.Conv2d(6, 4, 3))
        self.body[1].running_mean.uniform_(-1, 1)
        self.body[1].running_var.uniform_(0.5, 2)

    def forward(self, pixels):
        return self.body(pixels).mean((2, 3))

class Untrained(Small):
    def __init__(self):
        super().__init__()
        self.body[1].reset_running_stats()
"""
STEPS = {
    "Sentiment": """
inputs: ["text:string[batch]"]
before:
  - {step: words, input: text, output: ids, mask: mask, vocabulary: [good, bad, not, "très", film], length: 6,
     separators: " \\t\\n.,!?"}
after:
  - {step: temperature, input: output, output: cooled, temperature: 1.5}
  - {step: softmax, input: cooled, output: probabilities}
  - {step: label, input: probabilities, output: label, labels: [negative, positive]}
outputs: [probabilities, label]
""",
    "Small": """
inputs: ["image:uint8[batch,height,width,3]"]
before:
  - {step: image, input: image, output: pixels, height: 20, width: 24, mean: [0.485, 0.456, 0.406],
     std: [0.229, 0.224, 0.225]}
after:
  - {step: softmax, input: output, output: probabilities}
  - {step: top_k, input: probabilities, output: best, scores: best_probabilities, k: 2, labels: [cat, dog, fox, owl]}
outputs: [probabilities, best, best_probabilities]
""",
}
TEXTS = ["A good film.", "bad,  bad film!", "", "???", "Très bon", "not good not bad not good not", "猫 film"]
STEPS["Untrained"] = STEPS["Small"]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "raw_nets.py").write_text(NETS)
    for name, text in STEPS.items():
        (tmp_path / f"{name}.yaml").write_text(text, encoding="utf-8")
    generator = np.random.default_rng(0)
    np.savez(tmp_path / "Sentiment.npz", text=np.array(TEXTS))
    for name in ("Small", "Untrained"):
        np.savez(tmp_path / f"{name}.npz", image=generator.integers(0, 256, (5, 33, 41, 3)).astype(np.uint8))
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    return tmp_path


def export(name: str) -> dict[str, Any]:
    """The command's JSON document."""
    options = ["--preprocess", f"{name}.yaml", "--samples", f"{name}.npz", "--name", "raw", "--json"]
    done = CliRunner().invoke(root, ["export", f"raw_nets.py:{name}", *options], catch_exceptions=False)
    assert done.exit_code == 0, done.stderr
    document: dict[str, Any] = json.loads(done.stdout)
    assert document["equivalence"]["equivalent"]
    assert document["manifest"]["batch_safe"]
    assert "meaning" in {check["name"] for check in document["equivalence"]["checks"]}
    return document


def by_torch(name: str, raw: dict[str, Array]) -> dict[str, Array]:
    """The steps in numpy around the module itself, built as the command builds it."""
    import torch

    torch.manual_seed(0)
    network = getattr(importlib.import_module("raw_nets"), name)().eval()
    described = read_document(Path(f"{name}.yaml"))
    steps = convert({"before": described["before"], "after": described["after"]}, Processing)
    tensors = apply(steps.before, raw)
    with torch.no_grad():
        output = network(*(torch.from_numpy(tensors[key]) for key in tensors if key not in raw))
    return apply(steps.after, {"output": output.numpy()})


def agree(found: dict[str, Array], expected: dict[str, Array]) -> None:
    for name, answer in found.items():
        if answer.dtype == object:
            assert answer.tolist() == expected[name].tolist(), name
        else:
            np.testing.assert_allclose(answer, expected[name], rtol=1e-5, atol=1e-6, err_msg=name)


def test_texts_are_answered_as_they_are_written(folder: Path) -> None:
    document = export("Sentiment")
    assert document["manifest"]["inputs"] == [{"name": "text", "dtype": "string", "shape": ["batch"]}]
    url = "http://127.0.0.1"
    with running(Service(Repository(folder / "models"))) as server, Client(f"{url}:{server.port}") as client:
        for texts in (TEXTS, [""], ["GOOD"], ["x" * 10_000, "not\tGood\nfilm"]):
            raw = {"text": np.array(texts, object)}
            found = client.infer("raw", raw)
            assert found.keys() == {"probabilities", "label"}
            agree(found, by_torch("Sentiment", raw))


def test_images_of_any_size_are_answered(folder: Path) -> None:
    document = export("Small")
    [given] = document["manifest"]["inputs"]
    assert given == {"name": "image", "dtype": "uint8", "shape": ["batch", "height", "width", 3]}
    generator = np.random.default_rng(1)
    url = "http://127.0.0.1"
    with running(Service(Repository(folder / "models"))) as server, Client(f"{url}:{server.port}") as client:
        for shape in ((1, 20, 24), (3, 33, 41), (2, 1, 1), (1, 120, 60), (1, 7, 200)):
            raw = {"image": generator.integers(0, 256, (*shape, 3)).astype(np.uint8)}
            found = client.infer("raw", raw)
            assert found["best"].shape == (shape[0], 2)
            agree(found, by_torch("Small", raw))


def test_an_untrained_batch_norm_behind_an_image(folder: Path) -> None:
    export("Untrained")
