"""Files of somebody else: what they would run is not run, and is named. Each payload only makes a marker file."""

from __future__ import annotations

import json
import pickle
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from onnxpress.core.documents import read_document
from onnxpress.core.errors import BadData, BadModel, OnnxpressError, UsageError
from onnxpress.export.source import SourceRef
from onnxpress.export.sources import file_operators, model_files
from onnxpress.export.sources.resolve import resolve
from onnxpress.export.sources.samples import read_samples


@pytest.fixture
def marker(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """The path that a payload would make; in the end it must not be there."""
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "PWNED"
    yield path
    assert not path.exists()


class Payload:
    """Unpickled, it makes the file."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def __reduce__(self) -> Any:
        return Path.touch, (self._path,)


@pytest.mark.parametrize("ending", [".pkl", ".pickle", ".joblib", ".pt2", ".PT2", ".PKL"])
def test_what_is_or_holds_a_pickle_is_read_with_trust_only(marker: Path, tmp_path: Path, ending: str) -> None:
    path = tmp_path / f"evil{ending}"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("sample_inputs/model.pt", pickle.dumps(Payload(marker)))
    with pytest.raises(UsageError, match="run") as caught:
        resolve(str(path))
    assert "--trust-pickle" in str(caught.value)


@pytest.mark.torch
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("ending", [".pt", ".pth"])
def test_a_pickled_module_is_not_read(marker: Path, tmp_path: Path, ending: str) -> None:
    torch = pytest.importorskip("torch")
    torch.save(Payload(marker), tmp_path / f"evil{ending}")
    with pytest.raises(BadModel, match="no TorchScript file"):
        resolve(str(tmp_path / f"evil{ending}"))
    pickle.dump(Payload(marker), (tmp_path / f"plain{ending}").open("wb"))
    with pytest.raises(BadModel):
        resolve(str(tmp_path / f"plain{ending}"))


@pytest.mark.parametrize(
    "code",
    ["torch.save(x, 'PWNED')", "y = torch.from_file('/etc/passwd')", "ops . aten . save(x, 'PWNED')"],
)
def test_torchscript_that_saves_or_reads_a_file_is_refused(marker: Path, tmp_path: Path, code: str) -> None:
    path = tmp_path / "evil.pt"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("evil/code/__torch__.py", f"def forward(self, x):\n    {code}\n")
    with pytest.raises(BadModel, match="reads or writes files"):
        file_operators.refuse_in_torchscript(path)
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("evil/code/__torch__.py", "def save_all(self, torch_save):\n    return torch.linear(x)\n")
    file_operators.refuse_in_torchscript(path)


@pytest.mark.parametrize(
    "model",
    [
        "os:system",
        "onnxpress.training.pytorch.models.tabular:torch.load",
        "onnxpress.training.pytorch.fit:build",
        "evil.py:build",
        "antigravity:build",
    ],
)
def test_a_run_calls_only_the_families_factories(marker: Path, tmp_path: Path, model: str) -> None:
    folder = tmp_path / "run"
    folder.mkdir()
    spec = {"name": "x", "dtype": "float32", "shape": ["batch", 4]}
    run = {
        "name": "x",
        "framework": "pytorch",
        "model": model,
        "settings": {"command": f"touch {marker}"},
        "weights": "w",
        "samples": "s",
        "network_inputs": [spec],
        "network_outputs": [spec],
        "inputs": [spec],
        "outputs": [spec],
    }
    (folder / "run.json").write_text(json.dumps(run))
    with pytest.raises(UsageError, match="which is none of onnxpress's families") as caught:
        resolve(str(folder))
    assert "--trust-run" in str(caught.value)
    assert model in caught.value.what
    (folder / "run.json").write_bytes(b'{"format":' + b"[" * 100_000)
    with pytest.raises(BadData):
        resolve(str(folder))


def test_an_entry_of_a_list_cannot_say_that_it_is_trusted(tmp_path: Path) -> None:
    from onnxpress.export.pipeline.source_list import read_list

    path = tmp_path / "list.yaml"
    path.write_text("- {source: runs/x, trust_run: true}\n")
    with pytest.raises(UsageError, match="trust_run"):
        read_list(path)


@pytest.mark.tensorflow
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("ending", [".keras", ".h5"])
def test_a_lambda_of_keras_is_not_run(marker: Path, tmp_path: Path, ending: str) -> None:
    keras = pytest.importorskip("keras")
    path = tmp_path / f"evil{ending}"
    layer = keras.layers.Lambda(lambda x: (__import__("pathlib").Path("PWNED").touch(), x)[1], output_shape=(4,))
    keras.Sequential([keras.Input((4,)), layer]).save(path)
    marker.unlink(missing_ok=True)
    with pytest.raises(BadModel, match="Lambda"):
        model_files.load(path, trust_pickle=False)


@pytest.mark.tensorflow
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("kind", ["WriteFile", "ReadFile", "PrintV2", "SaveV2", "sound"])
def test_a_saved_model_with_file_operators_is_refused(marker: Path, tmp_path: Path, kind: str) -> None:
    tf = pytest.importorskip("tensorflow")

    class Model(tf.Module):
        def __init__(self) -> None:
            self.scale = tf.Variable(2.0)

        @tf.function(input_signature=[tf.TensorSpec([None, 4], tf.float32)])
        def __call__(self, x: Any) -> Any:
            if kind == "WriteFile":
                tf.io.write_file("PWNED", "x")
            elif kind == "ReadFile":
                x = x + tf.cast(tf.strings.length(tf.io.read_file("/etc/hostname")), tf.float32)
            elif kind == "PrintV2":
                tf.print("x", output_stream="file://PWNED")
            elif kind == "SaveV2":
                tf.raw_ops.SaveV2(prefix="PWNED", tensor_names=["x"], shape_and_slices=[""], tensors=[x])
            else:
                tf.print("seen")
            return {"y": x * self.scale}

    model = Model()
    tf.saved_model.save(model, str(tmp_path / "saved"), signatures=model.__call__)
    if kind == "sound":
        file_operators.refuse_in_saved_model(tmp_path / "saved")
        return
    with pytest.raises(BadModel, match=f"reads or writes files while it runs: {kind}"):
        resolve(str(tmp_path / "saved"))


def test_samples_with_objects_and_yaml_with_tags_are_refused(marker: Path, tmp_path: Path) -> None:
    rows = np.empty(1, object)
    rows[0] = Payload(marker)
    np.savez(tmp_path / "rows.npz", x=rows)
    with pytest.raises(BadData):
        read_samples(tmp_path / "rows.npz")
    (tmp_path / "steps.yaml").write_text("inputs: !!python/object/apply:pathlib.Path.touch [PWNED]\n")
    with pytest.raises(UsageError, match="is not YAML"):
        read_document(tmp_path / "steps.yaml")
    with pytest.raises(OnnxpressError):
        resolve(SourceRef(reference="nothing:here", preprocess=tmp_path / "steps.yaml"))
