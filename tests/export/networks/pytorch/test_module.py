"""What a user's torch module may be, and what is refused: through the stage, as `onnxpress export` runs it."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("onnxscript")
from torch import nn  # noqa: E402

from onnxpress.core.errors import BadModel, NotEquivalent, UsageError  # noqa: E402
from onnxpress.core.tensors import parse_spec  # noqa: E402
from onnxpress.core.version_folder import versions  # noqa: E402
from onnxpress.export.pipeline.export import export  # noqa: E402
from onnxpress.export.source import Source  # noqa: E402
from onnxpress.serving.engine import Engine  # noqa: E402

pytestmark = pytest.mark.torch


def source(module: nn.Module, *examples: Any, **settings: Any) -> Source:
    torch.manual_seed(0)
    return Source(
        reference="test", name="m", framework="pytorch", network=module, example_inputs=examples or None, **settings
    )


def mlp() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(6, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Dropout(0.5), nn.Linear(8, 3))


def refused(module: nn.Module, *examples: Any, repository: Path, error: type = NotEquivalent, says: str) -> None:
    with pytest.raises(error, match=says):
        export(source(module, *examples), repository=repository)
    assert versions(repository / "m") == {}
    assert not (repository / "m").exists()


def test_a_module_in_training_mode_is_exported_in_eval_mode_and_comes_back_as_it_was(tmp_path: Path) -> None:
    module = mlp().train()
    before = copy.deepcopy(module.state_dict())
    published = export(source(module, torch.randn(4, 6)), repository=tmp_path)
    assert published.report.equivalent
    assert any("training mode" in check.detail for check in published.report.checks)
    assert all(child.training for child in module.modules())
    after = module.state_dict()
    assert all(torch.equal(value, after[name]) for name, value in before.items())
    engine = Engine.load(published.folder / "model.onnx")
    x = np.random.default_rng(0).standard_normal((5, 6)).astype(np.float32)
    expected = module.eval()(torch.from_numpy(x)).detach().numpy()
    np.testing.assert_allclose(engine.run({"input": x})["output"], expected, rtol=1e-4, atol=1e-5)


def test_the_batch_is_dynamic_and_named(tmp_path: Path) -> None:
    published = export(source(mlp(), torch.randn(1, 6)), repository=tmp_path)
    assert str(published.manifest.inputs[0]) == "input:float32[batch,6]"
    assert str(published.manifest.outputs[0]) == "output:float32[batch,3]"
    assert published.manifest.batch_safe
    assert published.manifest.rows_together == 64


class BakedBatch(nn.Module):
    def forward(self, x):
        return x.reshape(3, -1) * 2


class BakedQuietly(nn.Module):
    """torch.export takes int() of a size as a constant without a word."""

    def forward(self, x):
        return x + torch.zeros(int(x.shape[0]), 1)


class DropsInEval(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Linear(4, 4)
        self.noise = AlwaysDropout()

    def forward(self, x):
        return self.noise(self.first(x))


class AlwaysDropout(nn.Module):
    def forward(self, x):
        return torch.nn.functional.dropout(x, 0.5)


class Counts(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("seen", torch.zeros(()))

    def forward(self, x):
        self.seen += 1
        return x * self.seen


def test_a_baked_batch_size_is_refused(tmp_path: Path) -> None:
    refused(BakedBatch(), torch.randn(3, 4), repository=tmp_path, error=Exception, says="size|shape")


def test_a_size_that_the_exporter_would_take_as_a_constant_stays_dynamic(tmp_path: Path) -> None:
    published = export(source(BakedQuietly(), torch.randn(3, 4)), repository=tmp_path)
    engine = Engine.load(published.folder / "model.onnx")
    for batch in (1, 5, 11):
        assert engine.run({"x": np.zeros((batch, 4), np.float32)})["output"].shape == (batch, 4)


def test_randomness_in_forward_is_refused_and_named(tmp_path: Path) -> None:
    refused(DropsInEval(), torch.randn(2, 4), repository=tmp_path, says=r"random.*noise \(AlwaysDropout\)")


def test_state_in_forward_is_refused(tmp_path: Path) -> None:
    refused(Counts(), torch.randn(2, 4), repository=tmp_path, says="random|state")


def test_without_examples_the_line_to_add_is_shown(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"--input 'input:float32\[batch,...\]'"):
        export(source(mlp()), repository=tmp_path)


def test_input_descriptions_stand_in_for_examples(tmp_path: Path) -> None:
    described = [parse_spec("x:float32[batch,6]")]
    published = export(source(mlp(), network_inputs=described), repository=tmp_path)
    assert [spec.name for spec in published.manifest.inputs] == ["x"]


class TwoWays(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.table = nn.Embedding(10, 4)

    def forward(self, ids, mask, scale=None):
        weighted = self.table(ids) * mask.unsqueeze(-1)
        return {"mean": weighted.mean(1), "parts": (weighted.sum(1), mask.sum(1))}


def test_dict_and_nested_outputs_get_stable_names_and_ids_stay_in_their_vocabulary(tmp_path: Path) -> None:
    ids, mask = torch.randint(0, 10, (3, 5)), torch.ones(3, 5)
    published = export(source(TwoWays(), ids, mask), repository=tmp_path)
    assert [spec.name for spec in published.manifest.inputs] == ["ids", "mask"]
    assert [spec.name for spec in published.manifest.outputs] == ["mean", "parts.0", "parts.1"]


class Sequence(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.rnn = nn.GRU(4, 5, batch_first=True)

    def forward(self, x):
        return self.rnn(x)[0].mean(1)


def test_another_named_dimension_varies_too(tmp_path: Path) -> None:
    described = [parse_spec("x:float32[batch,time,4]")]
    published = export(source(Sequence(), network_inputs=described), repository=tmp_path)
    engine = Engine.load(published.folder / "model.onnx")
    for time in (1, 3, 17):
        assert engine.run({"x": np.zeros((2, time, 4), np.float32)})["output"].shape == (2, 5)


class WrongInExport(nn.Module):
    """A stand-in for a converter's fault: what is traced is not what runs."""

    def forward(self, x):
        return x * (1.001 if torch.compiler.is_compiling() else 1.0)


def test_an_export_that_differs_is_refused_with_figures(tmp_path: Path) -> None:
    refused(WrongInExport(), torch.randn(2, 4), repository=tmp_path, says="NOT equivalent: worst [0-9,]+ of 10")


def test_a_model_that_cannot_be_converted_says_why(tmp_path: Path) -> None:
    class Impossible(nn.Module):
        def forward(self, x):
            return torch.as_tensor(np.asarray(sorted(x.flatten().tolist()), np.float32))[:, None] * x[:, :1]

    refused(Impossible(), torch.randn(4, 1), repository=tmp_path, error=BadModel, says="torch")


def test_the_same_source_gives_the_same_bytes(tmp_path: Path) -> None:
    first = export(source(mlp(), torch.randn(4, 6)), repository=tmp_path)
    second = export(source(mlp(), torch.randn(4, 6)), repository=tmp_path)
    assert (second.manifest.version, first.manifest.version) == (2, 1)
    assert (first.folder / "model.onnx").read_bytes() == (second.folder / "model.onnx").read_bytes()


def test_nothing_local_is_published(tmp_path: Path) -> None:
    published = export(source(mlp(), torch.randn(4, 6)), repository=tmp_path)
    content = (published.folder / "model.onnx").read_bytes()
    for trace in (b"site-packages", b"File ", str(Path.home()).encode() + b"/", b".py"):
        assert trace not in content
