"""A trained run moves to the other framework and back with the same weights and the same answers."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

pytest.importorskip("torch")
pytest.importorskip("tensorflow")

from onnxpress.core import run as runs
from onnxpress.core.errors import BadModel, UsageError
from onnxpress.core.golden import LIMIT
from onnxpress.training import recipe as recipes
from onnxpress.training.cli import port as command
from onnxpress.training.pipeline import port as porting
from onnxpress.training.pipeline import stage

pytestmark = [pytest.mark.torch, pytest.mark.tensorflow]
RECIPE = Path(__file__).parents[3] / "recipes" / "anomaly.yaml"
OTHER = {"pytorch": "tensorflow", "tensorflow": "pytorch"}


@pytest.fixture(scope="module", params=["pytorch", "tensorflow"])
def trained(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    recipe = recipes.load(RECIPE, settings=["training.epochs=3"], framework=request.param)
    return stage.train(recipe, output=tmp_path_factory.mktemp("runs"))


def test_there_and_back_keeps_every_weight(trained: Path, tmp_path: Path) -> None:
    framework = runs.read(trained).framework
    there, multiple = porting.port(trained, to=OTHER[framework], output=tmp_path)
    assert multiple <= LIMIT
    assert there.name == f"anomaly-{OTHER[framework]}"
    described = runs.read(there)
    assert described.framework == OTHER[framework]
    assert described.processing == runs.read(trained).processing
    back, _ = porting.port(there, to=framework, output=tmp_path)
    weights = [porting.read_layers(folder) for folder in (trained, there, back)]
    for layers in weights[1:]:
        assert layers.keys() == weights[0].keys()
        for name, roles in weights[0].items():
            for role, array in roles.items():
                assert layers[name][role].dtype == array.dtype
                assert np.array_equal(layers[name][role], array), (name, role)


def test_the_ported_run_says_the_same_as_the_export_of_the_original(trained: Path, tmp_path: Path) -> None:
    """torch, Keras and ONNX agree: the original's export measured against the other framework's run."""
    from onnxpress.export.pipeline import verify as verification
    from onnxpress.export.pipeline.export import export
    from onnxpress.export.sources import resolve as source

    framework = runs.read(trained).framework
    there, _ = porting.port(trained, to=OTHER[framework], output=tmp_path)
    published = export(source.resolve(str(trained)), repository=tmp_path / "models")
    report = verification.against_source(published.folder, source.resolve(str(there)), "cpu")
    assert report.equivalent, report


def test_the_command_prints_the_new_run(trained: Path, tmp_path: Path) -> None:
    to = OTHER[runs.read(trained).framework]
    done = CliRunner().invoke(command, [str(trained), "--to", to, "--output", str(tmp_path)])
    assert done.exit_code == 0, done.output
    assert done.stdout.strip() == str(tmp_path / f"anomaly-{to}")
    assert "noise floors" in done.stderr


def test_the_same_framework_is_wrong_usage(trained: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="already"):
        porting.port(trained, to=runs.read(trained).framework, output=tmp_path)


def test_several_processes_are_refused(trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(UsageError, match="2 processes were started, and carrying weights over is for one"):
        porting.port(trained, to=OTHER[runs.read(trained).framework], output=tmp_path)
    assert not list(tmp_path.iterdir())


def test_networks_that_do_not_match_are_told_apart_by_layer(tmp_path: Path) -> None:
    from onnxpress.training.pytorch import weights as torch_weights
    from onnxpress.training.pytorch.models import autoencoder

    target = autoencoder.build(6, [3], 0.0)
    layers = torch_weights.read(autoencoder.build(6, [4], 0.0))
    with pytest.raises(BadModel, match=r"kernel of layer 'hidden_0' has shape \(6, 4\) here and \(6, 3\) there"):
        porting.carry_over(layers, target, torch_weights)
    del layers["rebuilt"]
    layers["hidden_0"]["kernel"] = np.zeros((6, 3), np.float32)
    layers["hidden_0"]["bias"] = np.zeros(3, np.float32)
    with pytest.raises(BadModel, match="'rebuilt' is in one of the two networks only"):
        porting.carry_over(layers, target, torch_weights)


def test_a_layer_without_a_counterpart_is_refused() -> None:
    from torch import nn

    from onnxpress.training.pytorch import weights as torch_weights

    with pytest.raises(BadModel, match="'0' is a PReLU"):
        torch_weights.read(nn.Sequential(nn.PReLU()))


def test_convolutions_norms_and_embeddings_carry_over() -> None:
    import keras
    from torch import nn

    from onnxpress.training.pytorch import weights as torch_weights
    from onnxpress.training.tensorflow import weights as keras_weights

    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.table = nn.Embedding(7, 4)
            self.conv = nn.Conv1d(4, 5, 3)
            self.norm = nn.BatchNorm1d(5, eps=1e-3)

        def forward(self, ids):
            return self.norm(self.conv(self.table(ids).transpose(1, 2)))

    inputs = keras.Input((9,), dtype="int64")
    x = keras.layers.Embedding(7, 4, name="table")(inputs)
    x = keras.layers.Conv1D(5, 3, name="conv")(x)
    model = keras.Model(inputs, keras.layers.BatchNormalization(epsilon=1e-3, name="norm")(x))
    import torch

    net = Net()
    nn.init.uniform_(net.norm.running_mean)
    nn.init.uniform_(net.norm.running_var, 0.5, 2)
    porting.carry_over(torch_weights.read(net), model, keras_weights)
    ids = np.random.default_rng(0).integers(0, 7, (3, 9))
    expected = net.eval()(torch.from_numpy(ids)).detach().numpy().transpose(0, 2, 1)
    np.testing.assert_allclose(np.asarray(model(ids, training=False)), expected, rtol=1e-4, atol=1e-5)
