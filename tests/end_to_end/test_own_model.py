"""A user's repository with a `training/` package of its own: its model exports from there by module:attribute."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

FACTORIES = {
    "torch": """
import torch
from training.layers import WIDTH

class Net(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.encoder = torch.nn.Linear(WIDTH, 2)

    def forward(self, x):
        return torch.softmax(self.encoder(x), -1)

def build():
    torch.manual_seed(0)
    return Net(), torch.randn(4, WIDTH)

def baked():
    class Baked(Net):
        def forward(self, x):
            return super().forward(x.reshape(4, -1))
    return Baked(), torch.randn(4, WIDTH)

class NeedsArguments(Net):
    def __init__(self, width):
        super().__init__()
""",
    "tensorflow": """
import keras
from training.layers import WIDTH

def build():
    keras.utils.set_random_seed(0)
    x = keras.Input((WIDTH,), name="x")
    return keras.Model(x, keras.layers.Dense(2, activation="softmax", name="output")(x))
""",
}


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    package = tmp_path / "training"
    package.mkdir()
    (package / "__init__.py").write_text("")
    (package / "layers.py").write_text("WIDTH = 5\n")
    return tmp_path


def onnxpress(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [str(Path(sys.executable).with_name("onnxpress")), *arguments]
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=240, env=environment)


@pytest.mark.parametrize(
    "framework",
    [pytest.param("torch", marks=pytest.mark.torch), pytest.param("tensorflow", marks=pytest.mark.tensorflow)],
)
def test_it_exports_from_there_and_answers(repository: Path, framework: str) -> None:
    pytest.importorskip(framework)
    (repository / "training" / "nets.py").write_text(FACTORIES[framework])
    done = onnxpress(repository, "export", "training.nets:build", "--name", "mine", "--json")
    assert done.returncode == 0, done.stderr
    document = json.loads(done.stdout)
    assert document["folder"] == "models/mine/1"
    assert document["equivalence"]["equivalent"]
    told = document["manifest"]["inputs"][0]
    assert told | {"refuses": []} == {"name": "x", "dtype": "float32", "shape": ["batch", 5], "refuses": []}
    (repository / "rows.json").write_text('{"x": [[1, 2, 3, 4, 5], [0, 0, 0, 0, 0], [5, 4, 3, 2, 1]]}')
    answer = onnxpress(repository, "predict", "models/mine", "rows.json")
    assert answer.returncode == 0, answer.stderr
    assert [round(sum(row), 4) for row in json.loads(answer.stdout)["output"]] == [1, 1, 1]
    assert onnxpress(repository, "verify", "models/mine").returncode == 0
    against = onnxpress(repository, "verify", "models/mine", "--against", "training.nets:build")
    assert against.returncode == 0, against.stderr
    assert "\nequivalent" in against.stdout
    assert against.stdout.startswith("these questions would have shown ")


@pytest.mark.torch
@pytest.mark.parametrize(
    ("source", "code", "says"),
    [
        ("training.nets:baked", 1, "4"),
        ("training.nets:nothing", 2, "no attribute 'nothing'"),
        ("training.missing:build", 2, "no module"),
        ("training.nets:NeedsArguments", 2, "without arguments"),
        ("training.layers:WIDTH", 2, "int"),
        ("nowhere", 2, "neither a run folder, a model file nor a dotted path"),
    ],
)
def test_what_cannot_be_exported_is_one_clear_error_and_leaves_nothing(
    repository: Path, source: str, code: int, says: str
) -> None:
    pytest.importorskip("torch")
    (repository / "training" / "nets.py").write_text(FACTORIES["torch"])
    done = onnxpress(repository, "export", source, "--json")
    assert done.returncode == code, done.stderr
    assert done.stdout == ""
    assert says in done.stderr
    assert "Traceback" not in done.stderr
    assert not (repository / "models").exists()


@pytest.mark.torch
def test_verify_tells_another_model_from_its_source(repository: Path) -> None:
    pytest.importorskip("torch")
    nets = repository / "training" / "nets.py"
    nets.write_text(FACTORIES["torch"])
    assert onnxpress(repository, "export", "training.nets:build", "--name", "mine").returncode == 0
    nets.write_text(FACTORIES["torch"].replace("manual_seed(0)", "manual_seed(1)"))
    done = onnxpress(repository, "verify", "models/mine", "--against", "training.nets:build")
    assert done.returncode == 1
    assert done.stdout.startswith("NOT equivalent")
