"""A missing package names who needs it and the pip line that brings it; an installed one's own error is shown."""

from __future__ import annotations

import sys
import tomllib
from pathlib import Path

import pytest

from onnxpress.core.errors import MissingExtra
from onnxpress.core.optional import EXTRA_OF, is_installed, missing, require


def test_an_installed_module_is_returned() -> None:
    assert require("numpy.linalg", needed_by="testing") is sys.modules["numpy.linalg"]


def test_a_missing_package_names_who_needs_it_and_what_to_install() -> None:
    with pytest.raises(MissingExtra) as refusal:
        require("no_such_package.part", needed_by="drawing a picture")
    assert str(refusal.value) == (
        "drawing a picture needs the package no_such_package, which is not installed\n"
        "  hint: pip install no_such_package"
    )


@pytest.mark.parametrize(
    ("package", "said"),
    [
        ("torch.nn", '"onnxpress[pytorch]"'),
        ("keras", '"onnxpress[tensorflow]"'),
        ("skl2onnx", '"onnxpress[sklearn]"'),
        ("onnxruntime", '"onnxpress[cpu]", or "onnxpress[cuda]"'),
        ("onnx", '"onnxpress[pytorch]" or "onnxpress[tensorflow]"'),
    ],
)
def test_the_hint_names_the_extra(package: str, said: str) -> None:
    assert said in str(missing(package, "exporting"))


def test_a_package_that_fails_to_import_shows_its_own_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "broken_package.py").write_text("raise OSError('libgomp.so.1: cannot open')")
    monkeypatch.syspath_prepend(tmp_path)
    assert is_installed("broken_package")
    with pytest.raises(OSError, match="libgomp"):
        require("broken_package", needed_by="testing")


def test_a_bare_folder_of_that_name_is_no_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "no_such_package").mkdir()
    monkeypatch.syspath_prepend(tmp_path)
    assert not is_installed("no_such_package")


def test_every_extra_in_the_table_exists_and_holds_its_package() -> None:
    project = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text())["project"]
    distribution = {"sklearn": "scikit-learn", "yaml": "pyyaml", "onnx_ir": "onnx-ir"}
    for package, extra in EXTRA_OF.items():
        lines = project["optional-dependencies"][extra]
        assert any(line.startswith(distribution.get(package, package)) for line in lines), (package, extra)
