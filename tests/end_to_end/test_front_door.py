"""`import onnxpress`: every public name, none of them paid for before it is used; ADR 0006."""

from __future__ import annotations

import ast
import importlib
import subprocess
import sys
from pathlib import Path

import pytest

import onnxpress
from onnxpress import _public

ROOT = Path(__file__).parents[2]
FAST = 0.005
"""seconds of processor time that `import onnxpress` may take; a test's machine does other work too"""


def python(program: str, *flags: str, cwd: Path | None = None) -> str:
    """What a fresh interpreter prints."""
    done = subprocess.run(
        [sys.executable, *flags, "-c", program], cwd=cwd, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_it_imports_nothing_but_itself() -> None:
    program = "import sys; before = set(sys.modules); import onnxpress; print(*sorted(set(sys.modules) - before))"
    assert set(python(program).split()) <= {"onnxpress", "onnxpress._public"}


def test_it_takes_less_than_five_milliseconds() -> None:
    program = "import time; t = time.process_time(); import onnxpress; print(time.process_time() - t)"
    assert min(float(python(program)) for _ in range(5)) < FAST


def test_every_name_is_there_and_shown() -> None:
    for name, place in _public.NAMES.items():
        value = getattr(onnxpress, name)
        if place:
            module, _, attribute = place.partition(":")
            assert value is (getattr(importlib.import_module(module), attribute) if attribute else sys.modules[module])
    assert set(onnxpress.__all__) == set(_public.NAMES)
    assert set(dir(onnxpress)) >= set(_public.NAMES)
    assert [name for name in _public.NAMES if name.startswith("_")] == ["__version__"]


def test_a_name_that_is_not_there_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="has no attribute 'nothing'"):
        _ = onnxpress.nothing  # type: ignore[attr-defined]
    with pytest.raises(ImportError):
        from onnxpress import nothing  # type: ignore[attr-defined]  # noqa: F401


def test_type_checkers_are_told_the_same() -> None:
    tree = ast.parse((ROOT / "core/onnxpress/__init__.pyi").read_text())
    told = {}
    for node in tree.body:
        if isinstance(node, ast.ImportFrom):
            for name in node.names:
                told[name.asname or name.name] = f"{node.module}:{name.name}"
    assert told == {
        name: place if ":" in place else f"{place}.api:{name}"
        for name, place in _public.NAMES.items()
        if name != "__version__"
    }
    stated = next(node for node in tree.body if isinstance(node, ast.Assign))
    assert ast.literal_eval(stated.value) == sorted(onnxpress.__all__)


def test_mypy_sees_types_through_the_door_and_finds_a_wrong_name(tmp_path: Path) -> None:
    good = tmp_path / "good.py"
    good.write_text(
        "from typing import assert_type\n"
        "import onnxpress\n"
        "from onnxpress.serving.engine import Engine\n"
        'assert_type(onnxpress.load("models"), Engine)\n'
        "assert_type(onnxpress.__version__, str)\n"
    )
    bad = tmp_path / "bad.py"
    bad.write_text('import onnxpress\nonnxpress.nothing\nonnxpress.load("models", threads="one")\n')
    # As in pyproject.toml: a framework is not followed, which would take minutes.
    skipped = ["torch", "keras", "tensorflow", "sklearn", "onnx", "onnx_ir", "onnxscript", "tf2onnx", "skl2onnx"]
    config = tmp_path / "mypy.ini"
    config.write_text("[mypy]\n" + "".join(f"[mypy-{name}.*]\nfollow_imports = skip\n" for name in skipped))
    command = [sys.executable, "-m", "mypy", "--follow-imports=silent", "--cache-dir", str(tmp_path / "cache")]
    done = subprocess.run(
        [*command, "--config-file", str(config), str(good), str(bad)],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=280,
        check=False,
    )
    lines = [line.partition("error: ")[2] for line in done.stdout.splitlines() if "error:" in line]
    assert [line.split(";")[0] for line in lines] == [
        'Module has no attribute "nothing"  [attr-defined]',
        'Argument "threads" to "load" has incompatible type "str"',
    ], done.stdout + done.stderr


def test_a_users_own_folders_are_not_in_the_way(tmp_path: Path) -> None:
    """A folder called onnxpress, with models, say; and a package with the name of one of our roots."""
    (tmp_path / "onnxpress" / "serving").mkdir(parents=True)
    (tmp_path / "training").mkdir()
    (tmp_path / "training" / "__init__.py").write_text("mine = 1\n")
    program = "import onnxpress.serving, onnxpress.training, training; print(onnxpress.__version__, training.mine)"
    assert python(program, cwd=tmp_path).split() == [onnxpress.__version__, "1"]


@pytest.mark.parametrize("root", ["core", "training", "export", "serving"])
def test_any_root_that_python_comes_to_first_finds_the_others(root: str) -> None:
    program = (
        f"import sys; sys.path.insert(0, {str(ROOT / root)!r}); import onnxpress, onnxpress.export, onnxpress.serving, "
        "onnxpress.training, onnxpress.core; print(onnxpress.BadData.__name__, onnxpress.__path__[0])"
    )
    assert python(program).split() == ["BadData", str(ROOT / root / "onnxpress")]
