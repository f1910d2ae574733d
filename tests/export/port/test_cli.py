"""The command `port`: what it asks for before it does anything."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner

from onnxpress.core import run as runs
from onnxpress.core.errors import UsageError
from onnxpress.export.port.cli import port


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
