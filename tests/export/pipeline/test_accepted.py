"""A refused version published knowingly says so everywhere, and is not served where equivalence is required."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

torch = pytest.importorskip("torch")
pytest.importorskip("onnxscript")
from torch import nn  # noqa: E402

from onnxpress.core.errors import BadModel, UsageError  # noqa: E402
from onnxpress.core.version_folder import read_manifest  # noqa: E402
from onnxpress.export.cli import verify  # noqa: E402
from onnxpress.export.pipeline.export import export  # noqa: E402
from onnxpress.export.source import Source  # noqa: E402
from onnxpress.serving.cli.inspect import inspect  # noqa: E402
from onnxpress.serving.engine import Engine  # noqa: E402
from onnxpress.serving.metrics.collected import families  # noqa: E402
from onnxpress.serving.models.repository import Repository  # noqa: E402
from onnxpress.serving.routes import metadata  # noqa: E402
from onnxpress.serving.service import Service  # noqa: E402
from onnxpress.serving.settings import ModelSettings  # noqa: E402

pytestmark = pytest.mark.torch
REASON = "the slope is retrained next week"


class Lies(nn.Module):
    """Exports otherwise than it answers."""

    def __init__(self) -> None:
        super().__init__()
        self.only = nn.Linear(6, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(batch, 6) → (batch, 3)."""
        return nn.functional.leaky_relu(self.only(x), 0.1 if torch.compiler.is_exporting() else 0.2)


def source() -> Source:
    torch.manual_seed(0)
    return Source(reference="lies", name="m", framework="pytorch", network=Lies(), example_inputs=torch.randn(5, 6))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return export(source(), repository=tmp_path_factory.mktemp("knowingly"), accept_refusal=f" {REASON}\n").folder


def test_manifest_report_and_page_begin_with_it(folder: Path) -> None:
    manifest = read_manifest(folder)
    assert manifest is not None
    assert (manifest.equivalence.equivalent, manifest.equivalence.accepted) == (False, REASON)
    report = json.loads((folder / "equivalence.json").read_text())
    assert (report["equivalent"], report["accepted"]) == (False, REASON)
    page = (folder / "equivalence.html").read_text()
    assert page.index(REASON) < page.index("Not equivalent.")


def test_the_reports_first_line_is_told(tmp_path: Path) -> None:
    published = export(source(), repository=tmp_path, accept_refusal=REASON)
    assert str(published.report).splitlines()[0].startswith(f"NOT equivalent, published knowingly ({REASON}): worst ")
    assert not (tmp_path / ".refused").exists()


def test_inspect_and_verify_tell_it(folder: Path) -> None:
    assert REASON in CliRunner().invoke(inspect, [str(folder)]).stdout
    done = CliRunner().invoke(verify, [str(folder)])
    assert done.exit_code == 0
    assert done.stdout.startswith(f"NOT equivalent, published knowingly ({REASON}): m version 1: ")


def test_it_is_served_and_told_by_metadata_and_metrics(folder: Path) -> None:
    repository = Repository(folder.parent)
    repository.load()
    served = repository.find("m", None)
    told = json.loads(metadata.model("m", [1], served.engine))["parameters"]
    assert (told["verified"], told["accepted_refusal"]) == (False, REASON)
    assert served.engine.self_test is not None
    metrics = {family.name: family for family in families(Service(repository))}
    assert metrics["onnxpress_verified"].get({"model": "m", "version": "1"}) == 0
    assert metrics["onnxpress_accepted_refusal"].get({"model": "m", "version": "1", "reason": REASON}) == 1


def test_its_samples_still_find_another_answer(folder: Path, tmp_path: Path) -> None:
    """The replay holds what was accepted: not every answer is good because one was."""
    onnx = pytest.importorskip("onnx")
    for file in folder.iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    proto = onnx.load(tmp_path / "model.onnx")
    slope = next(node for node in proto.graph.node if node.op_type == "LeakyRelu").attribute[0]
    slope.f = 0.2  # what the original has
    onnx.save(proto, tmp_path / "model.onnx")
    with pytest.raises(BadModel, match="self-test failed"):
        Engine.load(tmp_path / "model.onnx")


def test_a_server_that_requires_equivalence_refuses_it(folder: Path) -> None:
    with pytest.raises(BadModel, match="published knowingly"):
        Repository(folder.parent, ModelSettings(require_equivalence=True)).load()


def test_a_reason_must_be_given(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="wants the reason"):
        export(source(), repository=tmp_path, accept_refusal="  ")
    assert list(tmp_path.iterdir()) == []


def test_a_sound_version_is_not_marked(tmp_path: Path) -> None:
    sound = Source(
        reference="x", name="m", framework="pytorch", network=nn.Linear(6, 3), example_inputs=torch.ones(5, 6)
    )
    published = export(sound, repository=tmp_path, accept_refusal=REASON)
    assert published.report.equivalent
    assert (published.report.accepted, published.manifest.equivalence.accepted) == ("", "")


@pytest.mark.parametrize("what", ["name", "file", "disk"])
def test_what_is_cheap_to_know_is_told_before_anything_is_asked(
    what: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    repository, name = tmp_path / "models", "m"
    if what == "name":
        name = "../m"
    elif what == "file":
        repository.write_text("a file")
    else:
        monkeypatch.setattr("shutil.disk_usage", lambda _: type("usage", (), {"free": 1000}))
    with pytest.raises(UsageError, match={"name": "model name", "file": "is a file", "disk": "GB left"}[what]):
        export(source(), repository=repository, name=name)
    assert "asking the original" not in capsys.readouterr().err
