"""What a package logs at its import is kept, and the author's own words are shown."""

from __future__ import annotations

import importlib
import sys
import warnings
from pathlib import Path

import pytest

from onnxpress.export.sources.import_talk import import_talk

pytestmark = pytest.mark.filterwarnings("always")


def test_a_packages_log_and_warnings_are_kept_apart(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "loud_package.py").write_text("import os\nos.write(2, b'I0000 no card\\n')\nNUMBER = 3\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    with import_talk(["loud_package"]) as talk:
        module = importlib.import_module("loud_package")
        print("epoch 1")
        warnings.warn("nested tensors", UserWarning, stacklevel=1)
    assert module.NUMBER == 3
    assert type(module.__spec__.loader).__module__.startswith(("importlib", "_frozen"))
    assert talk == ["I0000 no card", "UserWarning: nested tensors"]
    said = capfd.readouterr()
    assert (said.out, said.err) == ("epoch 1\n", "")
    assert not any(type(finder).__name__ == "_Listening" for finder in sys.meta_path)
    del sys.modules["loud_package"]


def test_warnings_are_shown_where_the_load_fails() -> None:
    def load() -> None:
        with import_talk():
            warnings.warn("the file is old", UserWarning, stacklevel=1)
            raise ValueError("torn")

    with pytest.warns(UserWarning, match="the file is old"), pytest.raises(ValueError, match="torn"):
        load()
