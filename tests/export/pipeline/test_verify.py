"""`verify`: a plain exporter's file against its source, whatever its tensors are called, and a whole repository."""

from __future__ import annotations

import json
import shutil
import warnings
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

torch = pytest.importorskip("torch")
onnx = pytest.importorskip("onnx")
pytest.importorskip("onnxscript")

from onnxpress.core.errors import NotEquivalent  # noqa: E402
from onnxpress.export.cli import verify  # noqa: E402
from onnxpress.export.pipeline.export import export  # noqa: E402
from onnxpress.export.sources.resolve import resolve  # noqa: E402

pytestmark = pytest.mark.torch

NETS = """
import torch
from torch import nn

class Two(nn.Module):
    def __init__(self):
        super().__init__()
        self.first, self.second = nn.Linear(4, 3), nn.Linear(4, 2)

    def forward(self, features, scale):
        return {"wide": self.first(features) * scale, "narrow": self.second(features)}

def build():
    torch.manual_seed(0)
    return Two().eval(), (torch.randn(8, 4), torch.rand(8, 1))
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """`nets.py`, its published version in `models`, and `plain.onnx` as torch's own exporter writes it."""
    folder = tmp_path_factory.mktemp("verify")
    (folder / "verified_nets.py").write_text(NETS)
    source = resolve(f"{folder / 'verified_nets.py'}:build")
    export(source, repository=folder / "models")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the older exporter says that it is the older one
        torch.onnx.export(
            source.network,
            source.example_inputs,
            folder / "plain.onnx",
            dynamo=False,
            input_names=["input_0", "input_1"],
            output_names=["output_0", "output_1"],
            dynamic_axes={"input_0": {0: "n"}, "input_1": {0: "n"}},
        )
    return folder


def against(folder: Path, file: Path, *options: str) -> Result:
    source = f"{folder / 'verified_nets.py'}:build"
    return CliRunner().invoke(verify, [str(file), "--against", source, *options])


def test_a_plain_exporters_names_are_paired_by_place_and_told(folder: Path) -> None:
    done = against(folder, folder / "plain.onnx")
    assert done.exit_code == 0, (done.output, done.exception)
    assert "inputs paired by place, as their names differ: input_0 with the source's features" in done.stdout
    assert "output_0 with the source's wide, output_1 with the source's narrow" in done.stdout
    assert "the source's" not in against(folder, folder / "models").stdout


def rename(folder: Path, name: str, **names: str) -> Path:
    """`plain.onnx` with other names of its outputs, in another order where the names say so."""
    proto = onnx.load(folder / "plain.onnx")
    for node in proto.graph.node:
        node.output[:] = [names.get(one, one) for one in node.output]
    for value in proto.graph.output:
        value.name = names.get(value.name, value.name)
    onnx.save(proto, folder / name)
    return folder / name


def test_what_has_its_name_is_paired_by_it(folder: Path) -> None:
    """The second place is not the second output's: the name goes first."""
    file = rename(folder, "half.onnx", output_1="narrow")
    proto = onnx.load(file)
    swapped = list(proto.graph.output)[::-1]
    del proto.graph.output[:]
    proto.graph.output.extend(swapped)
    onnx.save(proto, file)
    done = against(folder, file)
    assert done.exit_code == 0, (done.output, done.exception)
    assert "outputs paired by place, as their names differ: output_0 with the source's wide" in done.stdout


def test_two_that_do_not_fit_are_no_pair(folder: Path) -> None:
    proto = onnx.load(folder / "plain.onnx")
    swapped = list(proto.graph.output)[::-1]
    del proto.graph.output[:]
    proto.graph.output.extend(swapped)
    onnx.save(proto, folder / "swapped.onnx")
    done = against(folder, folder / "swapped.onnx")
    assert isinstance(done.exception, NotEquivalent)
    assert "the source's are wide:float32[1,3], narrow:float32[1,2]" in str(done.exception)


def test_a_fault_is_found_under_other_names_too(folder: Path) -> None:
    proto = onnx.load(folder / "plain.onnx")
    value = next(value for value in proto.graph.initializer if value.name == "first.bias")
    array = onnx.numpy_helper.to_array(value) * 1.01
    value.CopyFrom(onnx.numpy_helper.from_array(array, value.name))
    onnx.save(proto, folder / "broken.onnx")
    done = against(folder, folder / "broken.onnx", "--explain")
    assert done.exit_code == 1
    assert done.stdout.startswith("NOT equivalent")
    assert "first" in done.stdout


def test_a_repository_is_verified_version_by_version(folder: Path, tmp_path: Path) -> None:
    models = tmp_path / "models"
    for name, version in (("a", "1"), ("a", "2"), ("b", "1")):
        shutil.copytree(folder / "models" / "verified_nets" / "1", models / name / version)
    done = CliRunner().invoke(verify, [str(models)])
    assert done.exit_code == 0, done.output
    assert len(done.stdout.splitlines()) == 3
    (models / "a" / "2" / "golden.npz").write_bytes(b"torn")
    done = CliRunner().invoke(verify, [str(models)])
    assert done.exit_code == 1
    assert [("FAILED" in line) for line in done.stdout.splitlines()] == [False, True, False]
    assert "a version 2: FAILED" in done.stdout
    told = json.loads(CliRunner().invoke(verify, [str(models), "--json"]).stdout)
    assert [(one["model"], one["version"], one["error"] is None) for one in told] == [
        ("a", 1, True), ("a", 2, False), ("b", 1, True),
    ]  # fmt: skip
