"""A list of sources in a file: each with its options, and what is wrong with the file is said."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

onnx = pytest.importorskip("onnx")
pytest.importorskip("yaml")

from onnxpress.core.errors import UsageError  # noqa: E402
from onnxpress.export.cli import export  # noqa: E402
from onnxpress.export.pipeline.source_list import Entry, read_list  # noqa: E402
from onnxpress.export.source import SourceRef  # noqa: E402


def dense_file(path: Path) -> None:
    kernel = onnx.numpy_helper.from_array(np.ones((4, 2), np.float32), "kernel")
    graph = onnx.helper.make_graph(
        [onnx.helper.make_node("MatMul", ["x", "kernel"], ["y"])],
        "elsewhere",
        [onnx.helper.make_tensor_value_info("x", 1, ["N", 4])],
        [onnx.helper.make_tensor_value_info("y", 1, ["N", 2])],
        [kernel],
    )
    model = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 18)], ir_version=10)
    path.write_bytes(model.SerializeToString())


def test_each_is_exported_with_its_own_options(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    dense_file(tmp_path / "net.onnx")
    (tmp_path / "lists").mkdir()
    np.savez(tmp_path / "lists" / "rows.npz", x=np.ones((3, 4), np.float32))
    (tmp_path / "lists" / "models.yaml").write_text(
        "- net.onnx\n- {source: net.onnx, name: again, samples: rows.npz}\n- {source: absent.onnx}\n"
    )
    found = CliRunner().invoke(export, ["--list", "lists/models.yaml"])
    assert found.exit_code == 2
    assert found.stdout.splitlines() == ["models/net/1", "models/again/1"]
    assert "absent.onnx" in found.stderr.splitlines()[-1]


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("- {name: x}", r"\$\[0\]: object missing required field source"),
        ("- {source: x, opsett: 3}", r"(?s)\$\[0\]: unknown field 'opsett'.*did you mean 'opset'"),
        ("- x\n- {source: x, opset: many}", r"\$\[1\].opset: expected int, got str"),
        ("- {source: x, trust_pickle: true}", r"`trust_pickle` is no option of a list's - at `\$\[0\]`"),
        ("source: x", "no list of sources"),
        ("[]", "the list is empty"),
    ],
)
def test_what_is_wrong_with_the_file(text: str, says: str, tmp_path: Path) -> None:
    (tmp_path / "models.yaml").write_text(text)
    with pytest.raises(UsageError, match=says):
        read_list(tmp_path / "models.yaml")


def test_a_source_alone_has_the_defaults(tmp_path: Path) -> None:
    (tmp_path / "models.json").write_text('["nets:build"]')
    assert read_list(tmp_path / "models.json") == [Entry(ref=SourceRef(reference="nets:build"))]


def test_files_are_taken_from_the_lists_folder_and_what_the_command_says_holds_for_all(tmp_path: Path) -> None:
    (tmp_path / "models.yaml").write_text(
        "- {source: a:b, samples: rows.npz, inputs: ['x:float32[batch]'], allow_operators: [d:N], weights: /w.pt}\n"
    )
    (entry,) = read_list(tmp_path / "models.yaml", trust_pickle=True)
    assert entry.name is None
    assert entry.ref == SourceRef(
        reference="a:b",
        samples=tmp_path / "rows.npz",
        inputs=["x:float32[batch]"],
        allow_operators=["d:N"],
        weights=Path("/w.pt"),
        trust_pickle=True,
    )


def test_either_sources_or_a_list(tmp_path: Path) -> None:
    assert CliRunner().invoke(export, []).exit_code == 2
    assert CliRunner().invoke(export, ["net.onnx", "--list", "models.yaml"]).exit_code == 2
