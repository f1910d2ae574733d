"""Model files of every framework are exported; what cannot be read says why."""

from __future__ import annotations

import pickle
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from onnxpress.core.errors import BadModel, NotEquivalent, UsageError
from onnxpress.export.pipeline.export import export
from onnxpress.export.source import SourceRef
from onnxpress.export.sources.resolve import resolve
from onnxpress.serving.engine import Engine

ROWS = np.random.default_rng(0).standard_normal((6, 4)).astype(np.float32)


@pytest.mark.tensorflow
@pytest.mark.parametrize("ending", [".keras", ".h5", ""])
def test_keras_files_and_saved_models(ending: str, tmp_path: Path) -> None:
    pytest.importorskip("tf2onnx")
    keras = pytest.importorskip("keras")
    inputs = keras.Input((4,), name="features")
    model = keras.Model(inputs, keras.layers.Dense(2, name="logits", activation="gelu")(inputs))
    path = tmp_path / f"net{ending}"
    if ending == ".h5":
        model.save(path)  # Keras says through its logger that the format is legacy
    elif ending:
        model.save(path)
    else:
        model.export(path, verbose=False)
    published = export(resolve(str(path)), repository=tmp_path / "models")
    assert published.report.equivalent
    assert published.folder.parent.name == "net"
    assert [str(spec) for spec in published.manifest.inputs] == ["features:float32[batch,4]"]


def _trusted(path: Path) -> SourceRef:
    return SourceRef(reference=str(path), trust_pickle=True)


@pytest.mark.torch
class TestPrograms:
    def test_a_program_with_a_dynamic_batch(self, tmp_path: Path) -> None:
        torch = pytest.importorskip("torch")
        net = torch.nn.Sequential(torch.nn.Linear(4, 3), torch.nn.ReLU()).eval()
        program = torch.export.export(net, (torch.from_numpy(ROWS),), dynamic_shapes=({0: torch.export.Dim.DYNAMIC},))
        torch.export.save(program, tmp_path / "net.pt2")
        published = export(resolve(_trusted(tmp_path / "net.pt2")), repository=tmp_path / "models")
        assert published.report.equivalent
        assert published.manifest.batch_safe

    def test_a_program_with_a_fixed_batch_is_refused(self, tmp_path: Path) -> None:
        torch = pytest.importorskip("torch")
        torch.export.save(
            torch.export.export(torch.nn.Linear(4, 3).eval(), (torch.from_numpy(ROWS),)), tmp_path / "f.pt2"
        )
        with pytest.raises(NotEquivalent, match=r"axis 0 \(batch\) fixed at 6"):
            export(resolve(_trusted(tmp_path / "f.pt2")), repository=tmp_path / "models")

    @pytest.mark.filterwarnings("ignore:.*torch.jit:DeprecationWarning", "ignore:.*torch.jit:FutureWarning")
    def test_a_torchscript_file_is_exported_as_legacy_with_its_branches(self, tmp_path: Path) -> None:
        torch = pytest.importorskip("torch")

        class Branches(torch.nn.Module):
            def forward(self, x):
                if bool(x.sum() > 0):
                    return x * 2
                return x - 1

        torch.jit.save(torch.jit.script(Branches()), tmp_path / "old.pt")
        np.savez(tmp_path / "rows.npz", x=ROWS)
        source = resolve(SourceRef(reference=str(tmp_path / "old.pt"), samples=tmp_path / "rows.npz"))
        published = export(source, repository=tmp_path / "models")
        assert "TorchScript" in published.manifest.source.converter
        assert any("legacy" in check.detail for check in published.report.checks)
        engine = Engine.load(published.folder / "model.onnx")
        for value, expected in ((1.0, 2.0), (-1.0, -2.0)):
            assert engine.run({"x": np.full((1, 4), value, np.float32)})["output"][0, 0] == expected

    def test_a_state_dict_is_no_model(self, tmp_path: Path) -> None:
        torch = pytest.importorskip("torch")
        torch.save(torch.nn.Linear(4, 3).state_dict(), tmp_path / "weights.pt")
        with pytest.raises(BadModel, match=r"(?s)no TorchScript file.*factory"):
            resolve(str(tmp_path / "weights.pt"))


def test_a_pickle_needs_trust(tmp_path: Path) -> None:
    pytest.importorskip("skl2onnx")
    from sklearn.linear_model import LogisticRegression

    path = tmp_path / "model.pkl"
    path.write_bytes(pickle.dumps(LogisticRegression().fit(ROWS, ROWS[:, 0] > 0)))
    with pytest.raises(UsageError, match=r"(?s)runs whatever code.*--trust-pickle"):
        resolve(str(path))
    published = export(resolve(SourceRef(reference=str(path), trust_pickle=True)), repository=tmp_path / "models")
    assert [spec.name for spec in published.manifest.outputs] == ["label", "probabilities"]


def dense_file(path: Path, batch: int | str = "N", weight: float = 1.0) -> None:
    onnx = pytest.importorskip("onnx")
    kernel = onnx.numpy_helper.from_array(np.full((4, 2), weight, np.float32), "kernel")
    graph = onnx.helper.make_graph(
        [onnx.helper.make_node("MatMul", ["x", "kernel"], ["y"])],
        "elsewhere",
        [onnx.helper.make_tensor_value_info("x", 1, [batch, 4])],
        [onnx.helper.make_tensor_value_info("y", 1, [batch, 2])],
        [kernel],
    )
    model = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 18)], ir_version=10)
    path.write_bytes(model.SerializeToString())


def test_an_onnx_file_is_given_a_manifest(tmp_path: Path) -> None:
    dense_file(tmp_path / "net.onnx")
    published = export(resolve(str(tmp_path / "net.onnx")), repository=tmp_path / "models")
    assert [str(spec) for spec in published.manifest.inputs] == ["x:float32[batch,4]"]
    assert published.report.floor == "ulp"


def test_an_onnx_file_with_a_fixed_batch_is_refused(tmp_path: Path) -> None:
    dense_file(tmp_path / "net.onnx", batch=3)
    with pytest.raises(NotEquivalent, match="fixed batch"):
        export(resolve(str(tmp_path / "net.onnx")), repository=tmp_path / "models")


@pytest.mark.torch
@pytest.mark.parametrize(("weight", "equal"), [(1.0, True), (1.001, False)])
def test_an_onnx_file_against_the_model_it_is_said_to_come_from(
    weight: float, equal: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("torch")
    monkeypatch.chdir(tmp_path)
    dense_file(tmp_path / "net.onnx", weight=weight)
    (tmp_path / "against_net.py").write_text(
        "import torch\n\ndef build():\n    net = torch.nn.Linear(4, 2, bias=False)\n"
        "    torch.nn.init.ones_(net.weight)\n    return net, (torch.randn(5, 4),)\n"
    )
    source = resolve(SourceRef(reference=str(tmp_path / "net.onnx"), against="against_net.py:build"))
    if equal:
        assert export(source, repository=tmp_path / "models").report.floor == "float64"
    else:
        with pytest.raises(NotEquivalent, match="NOT equivalent"):
            export(source, repository=tmp_path / "models")


def test_torn_and_missing_files(tmp_path: Path) -> None:
    pytest.importorskip("onnx")
    (tmp_path / "torn.onnx").write_bytes(b"\x08\x0a\xff\xff")
    with pytest.raises(BadModel, match="cannot be read"):
        resolve(str(tmp_path / "torn.onnx"))
    with pytest.raises(UsageError, match="no such file"):
        resolve(str(tmp_path / "absent.keras"))


def test_several_sources_give_a_table_and_the_worst_exit_code(tmp_path: Path) -> None:
    from onnxpress.export.cli import export

    dense_file(tmp_path / "good.onnx")
    dense_file(tmp_path / "fixed.onnx", batch=3)
    good, fixed, models = (str(tmp_path / name) for name in ("good.onnx", "fixed.onnx", "models"))
    found = CliRunner().invoke(export, [good, fixed, "--repository", models])
    assert found.exit_code == 1
    assert found.stdout.splitlines() == [str(Path(models) / "good" / "1")]
    table = found.stderr.splitlines()[-2:]
    assert "published" in table[0]
    assert "refused" in table[1]
    assert "fixed batch" in table[1]
    usage = CliRunner().invoke(export, [good, str(tmp_path / "absent.onnx"), "--repository", models])
    assert usage.exit_code == 2
