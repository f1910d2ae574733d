"""A user's factory that fails is the user's own, and is told with its line."""

from __future__ import annotations

from pathlib import Path

import pytest

from onnxpress.core.errors import UsageError
from onnxpress.export.sources.resolve import resolve

CODE = """
def raises():
    open("/absent/of/course")


def adds():
    return 1 + "a"


def digs():
    import json

    return json.loads("{")


def wants(width):
    return width
"""


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("raises", r"it failed: FileNotFoundError: .*absent.* \(broken_nets.py:3\)"),
        ("adds", r"it failed: TypeError: .* \(broken_nets.py:7\)"),
        ("digs", r"it failed: JSONDecodeError: .* \(broken_nets.py:13\)"),
        ("wants", r"calling it without arguments failed: .*\n  hint: name a factory that takes no arguments"),
    ],
)
def test_what_it_raised_and_where(name: str, said: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "broken_nets.py").write_text(CODE)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UsageError) as caught:
        resolve(f"broken_nets:{name}")
    assert str(caught.value).startswith(f"broken_nets:{name}: ")
    caught.match(said)
