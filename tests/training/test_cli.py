"""`onnxpress train` as a person or a script meets it: the folder on stdout, talk on stderr, exit codes, quick help."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from onnxpress.core import run as runs
from onnxpress.core.cli import main


def called(*arguments: str) -> int:
    with pytest.raises(SystemExit) as caught:
        main(["train", *arguments])
    code = caught.value.code
    assert isinstance(code, int)
    return code


def test_stdout_is_the_folder_and_nothing_else(framework: str, anomaly_recipe: Path, tmp_path: Path) -> None:
    # A process of its own: TensorFlow's import writes to the descriptors, below what Python can see.
    done = subprocess.run(
        [
            sys.executable, "-c", "from onnxpress.core.cli import main; main()", "train", str(anomaly_recipe),
            "--framework", framework, "--set", "training.epochs=2", "--set", "name=quick", "--output", str(tmp_path),
        ],
        capture_output=True, text=True, timeout=120,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    folder = tmp_path / f"quick-{framework}"
    assert done.stdout == f"{folder}\n"
    assert runs.read(folder).name == f"quick-{framework}"
    lines = done.stderr.splitlines()
    assert lines[0].startswith(f"training quick in {framework}, epoch 0/2")
    table = [line for line in lines if not line.startswith("training quick")]
    assert all(line.startswith("  ") or not line for line in table)
    assert any(line.split()[:1] == ["roc_auc"] for line in table)
    assert not any("e+" in line or "e-0" in line for line in table)  # plain numbers


def test_a_wrong_recipe_exits_2_and_bad_rows_1(
    anomaly_recipe: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    output = ("--output", str(tmp_path / "runs"))
    assert called(str(anomaly_recipe), "--set", "training.epochs=x", *output) == 2
    assert f"{anomaly_recipe}: $.training.epochs: expected int, got str" in capsys.readouterr().err
    assert called(str(tmp_path / "none.yaml"), *output) == 2
    assert called(str(anomaly_recipe), "--framework", "jax", *output) == 2
    capsys.readouterr()
    pytest.importorskip("torch")
    assert called(str(anomaly_recipe), "--set", "model.normal=healthy", *output) == 1
    captured = capsys.readouterr()
    assert "the rows are labelled benign, malignant" in captured.err
    assert captured.out == ""


def test_help_imports_nothing_heavy() -> None:
    program = (
        "import sys\nfrom onnxpress.core.cli import main\n"
        "try: main(['train', '--help'])\n"
        "except SystemExit: pass\n"
        "heavy = {'numpy', 'torch', 'tensorflow', 'keras', 'sklearn', 'matplotlib', 'yaml', 'msgspec'}\n"
        "sys.exit(', '.join(sorted(heavy & set(sys.modules))) or 0)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert "--framework [pytorch|tensorflow]" in done.stdout


def test_reading_a_recipe_imports_no_framework(anomaly_recipe: Path) -> None:
    program = (
        "import sys, pathlib\nfrom onnxpress.training import recipe\nfrom onnxpress.training.pipeline import stage\n"
        "recipe.load(pathlib.Path(sys.argv[1]))\n"
        "heavy = {'torch', 'tensorflow', 'keras', 'sklearn', 'matplotlib', 'accelerate'}\n"
        "sys.exit(', '.join(sorted(heavy & set(sys.modules))) or 0)"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, str(anomaly_recipe)], capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stderr
