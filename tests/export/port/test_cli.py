"""The command `port`: what it asks for before it does anything."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner

from onnxpress.core import run as runs
from onnxpress.core.errors import UsageError
from onnxpress.export.port.carrying import Ported, PortReport, carry
from onnxpress.export.port.cli import port
from onnxpress.export.port.proof.rung import Rung
from onnxpress.export.source import SourceRef
from onnxpress.export.sources.resolve import from_object


def test_a_module_needs_a_name_for_its_code() -> None:
    found = CliRunner().invoke(port, ["nets:build", "--to", "tensorflow"])
    assert isinstance(found.exception, UsageError)
    assert "--output" in str(found.exception.hint)


@pytest.mark.parametrize("option", [["--input", "x:float32[batch,3]"], ["--accept-refusal", "as a test"]])
def test_a_run_takes_no_option_of_a_module(option: list[str], tmp_path: Path) -> None:
    (tmp_path / runs.FILE_NAME).write_text("{}")
    found = CliRunner().invoke(port, [str(tmp_path), "--to", "tensorflow", *option])
    assert isinstance(found.exception, UsageError)
    assert "its own inputs" in str(found.exception)


def test_a_module_that_somebody_may_have_worked_on_is_not_written_over(tmp_path: Path) -> None:
    code = tmp_path / "nets.py"
    code.write_text("mine = 1\n")
    asked = ["no_such_package:build", "--to", "tensorflow", "--output", str(code)]
    found = CliRunner().invoke(port, asked)
    assert isinstance(found.exception, UsageError)
    assert "--force" in str(found.exception.hint)
    assert code.read_text() == "mine = 1\n"
    assert "no_such_package" in str(CliRunner().invoke(port, [*asked, "--force"]).exception)


@pytest.mark.torch
@pytest.mark.parametrize(
    ("output", "words"),
    [
        ("folder.py", "this is a folder"),
        ("file/nets.py", "this is a file"),
        ("nets", "module of Python"),
        ("my-nets.py", "hint: my_nets.py"),
        ("class.py", "hint: class_.py"),
    ],
)
def test_where_nothing_can_be_written_is_said_before_the_proof(output: str, words: str, tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")
    (tmp_path / "folder.py").mkdir()
    (tmp_path / "file").write_text("")
    source = from_object(torch.nn.Linear(2, 1), "net", SourceRef(reference="nets:build"), {}, torch.ones(2, 2))
    with pytest.raises(UsageError, match=words):
        carry(source, to="tensorflow", output=tmp_path / output)


def test_what_differs_in_the_same_way_is_told_in_one_line(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    differences = [f"norm{n}.running_var: the batch's own" for n in range(18)] + ["lstm.bias: two in one"]
    rung = Rung(name="training", holds=True, detail="20 steps", differences=differences)
    report = PortReport(source="nets:build", to="tensorflow", inputs={}, outputs={}, transposes=0, rungs=[rung])
    done = Ported(tmp_path / "nets.py", tmp_path / "nets.weights.h5", report)
    monkeypatch.setattr("onnxpress.export.sources.resolve.resolve", lambda reference: reference)
    monkeypatch.setattr("onnxpress.export.port.carrying.carry", lambda source, **options: done)
    found = CliRunner().invoke(port, ["nets:build", "--to", "tensorflow", "--output", str(tmp_path / "nets.py")])
    assert found.stderr.splitlines() == [
        "training: holds (20 steps)",
        "  named difference: norm0.running_var and 17 more: the batch's own",
        "  named difference: lstm.bias: two in one",
    ]
    assert found.stdout.splitlines() == [str(done.code), str(done.weights)]
