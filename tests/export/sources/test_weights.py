"""A factory of the user's and weights in a file of their own: state dicts of torch, `.weights.h5` of Keras."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner

from onnxpress.core.cli import main
from onnxpress.core.manifest import Manifest
from onnxpress.core.version_folder import read_manifest
from onnxpress.export.cli import export, verify
from onnxpress.export.source import SourceRef
from onnxpress.export.sources.resolve import resolve
from onnxpress.serving.engine import Engine

TORCH = """
import torch
def build():
    return torch.nn.Linear(3, 2), torch.zeros(2, 3)
"""
KERAS = """
import keras
def build():
    return keras.Sequential([keras.Input((3,), name="x"), keras.layers.Dense(2, name="dense")])
"""


def answer(folder: Path) -> list[float]:
    engine = Engine.load(folder / "model.onnx")
    (name,) = [spec.name for spec in engine.inputs]
    return next(iter(engine.run({name: np.ones((1, 3), np.float32)}).values()))[0].tolist()


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.torch
@pytest.mark.parametrize("file", ["net.safetensors", "net.pt", "lightning.ckpt"])
def test_a_state_dict_fills_the_factorys_module(here: Path, file: str) -> None:
    torch = pytest.importorskip("torch")
    from safetensors.torch import save_file

    (here / "nets.py").write_text(TORCH)
    state = {"weight": torch.full((2, 3), 2.0), "bias": torch.tensor([0.5, -0.5])}
    if file.endswith(".safetensors"):
        save_file(state, file)
    else:
        torch.save({"state_dict": state, "epoch": 3} if file.endswith(".ckpt") else state, file)
    done = CliRunner().invoke(export, ["nets.py:build", "--weights", file])
    assert done.exit_code == 0, done.output
    folder = Path(done.stdout.strip())
    assert answer(folder) == [6.5, 5.5]
    manifest = read_manifest(folder)
    assert isinstance(manifest, Manifest)
    assert manifest.source.reference == f"nets.py:build --weights {file}"
    again = CliRunner().invoke(verify, [str(folder), "--against", "nets.py:build", "--weights", file, "--json"])
    assert again.exit_code == 0, again.output
    assert json.loads(again.stdout)["equivalent"] is True


@pytest.mark.torch
@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["nets.py:build", "--weights", "wide.pt"], 1, "size mismatch for weight"),
        (["nets.py:build", "--weights", "whole.pt"], 1, "the file holds more than tensors and plain values"),
        (["nets.py:build", "--weights", "absent.pt"], 2, "no such file of weights"),
        (["net.pt2", "--weights", "wide.pt"], 2, "this has its own"),
    ],
)
def test_what_does_not_fit_is_named_and_nothing_is_published(
    arguments: list[str], code: int, words: str, here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    torch = pytest.importorskip("torch")
    (here / "nets.py").write_text(TORCH)
    torch.save({"weight": torch.zeros(2, 4), "bias": torch.zeros(2)}, "wide.pt")
    torch.save(torch.nn.Linear(3, 2), "whole.pt")  # a pickle, which could run any code
    with pytest.raises(SystemExit) as ended:
        main(["export", *arguments])
    assert ended.value.code == code
    assert words in capsys.readouterr().err
    assert not (here / "models").exists()


@pytest.mark.tensorflow
def test_keras_weights_fill_the_factorys_model(here: Path) -> None:
    keras = pytest.importorskip("keras")

    (here / "nets.py").write_text(KERAS)
    model = keras.Sequential([keras.Input((3,), name="x"), keras.layers.Dense(2, name="dense")])
    model.set_weights([np.full((3, 2), 2, np.float32), np.array([0.5, -0.5], np.float32)])
    model.save_weights("net.weights.h5")
    done = CliRunner().invoke(export, ["nets.py:build", "--weights", "net.weights.h5"])
    assert done.exit_code == 0, done.output
    assert answer(Path(done.stdout.strip())) == [6.5, 5.5]


@pytest.mark.tensorflow
def test_weights_fill_a_model_that_its_factorys_example_must_build_first(here: Path) -> None:
    keras = pytest.importorskip("keras")
    (here / "nets.py").write_text(OF_TWO)
    spaces: dict[str, Any] = {}
    exec(OF_TWO, spaces)  # the file itself, beside its module
    trained, example = spaces["build"]()
    trained(example)
    trained.set_weights([np.full(array.shape, 3, np.float32) for array in trained.get_weights()])
    trained.save_weights("net.weights.h5")
    keras.backend.clear_session()
    network = resolve(SourceRef(reference="nets.py:build", weights=Path("net.weights.h5"))).network
    assert [float(array.mean()) for array in network.get_weights()] == [3, 3, 3]


OF_TWO = """
import keras
import numpy as np

class Net(keras.Model):
    def __init__(self):
        super().__init__()
        self.embed, self.head = keras.layers.Embedding(4, 2), keras.layers.Dense(2)

    def call(self, inputs):
        ids, numbers = inputs
        return self.head(keras.ops.concatenate([self.embed(ids[:, 0]), numbers], axis=-1))

def build():
    return Net(), [np.zeros((2, 1), np.int32), np.zeros((2, 3), np.float32)]
"""
