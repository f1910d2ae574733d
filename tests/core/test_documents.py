"""Documents of the three forms, and what is said of a bad one."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from onnxpress.core.documents import read_document
from onnxpress.core.errors import MissingExtra, UsageError


def written(folder: Path, name: str, text: str) -> Path:
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return path


def test_the_three_forms_say_the_same(tmp_path: Path) -> None:
    pytest.importorskip("yaml")
    texts = {"a.json": '{"a": {"b": [1, 0.001]}}', "a.toml": "[a]\nb = [1, 1e-3]\n", "a.yaml": "a: {b: [1, 1e-3]}\n"}
    for name, text in texts.items():
        assert read_document(written(tmp_path, name, "\ufeff" + text)) == {"a": {"b": [1, 0.001]}}


@pytest.mark.parametrize(
    ("name", "text", "where", "said"),
    [
        ("a.json", '{"a":\n ]', "a.json:2:2", "is not JSON"),
        ("a.toml", "a = 1\nb = [", "a.toml", "at end of document"),
        ("a.toml", "a = 1\nb =\n", "a.toml", "line 2, column 4"),
    ],
)
def test_a_fault_is_said_with_its_place(tmp_path: Path, name: str, text: str, where: str, said: str) -> None:
    with pytest.raises(UsageError, match=said) as caught:
        read_document(written(tmp_path, name, text))
    assert str(caught.value.where).endswith(where)


def test_a_fault_in_yaml(tmp_path: Path) -> None:
    pytest.importorskip("yaml")
    with pytest.raises(UsageError, match="is not YAML") as caught:
        read_document(written(tmp_path, "a.yaml", "a: 1\nb: [1, 2\n"))
    assert str(caught.value.where).endswith("a.yaml:3:1")


def test_a_file_that_is_not_there_or_no_text(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="cannot be read: No such file"):
        read_document(tmp_path / "none.json")
    (tmp_path / "latin.toml").write_bytes(b"a = '\xe9'")
    with pytest.raises(UsageError, match="is not UTF-8 text"):
        read_document(tmp_path / "latin.toml")


def test_without_pyyaml_the_others_are_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "yaml", None)  # what import finds where it is not installed
    with pytest.raises(MissingExtra, match="needs the package yaml") as caught:
        read_document(written(tmp_path, "a.yaml", "a: 1"))
    assert "pip install pyyaml" in str(caught.value.hint)
    assert read_document(written(tmp_path, "a.toml", "a = 1")) == {"a": 1}
    assert read_document(written(tmp_path, "a.json", "{}")) == {}
