"""The wheel holds the four portions and nothing else of the repository; a C compiler adds its hot path compiled.

That the compiled one works is `make wheel-smoke`'s matter, which runs the serving side's tests against it.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tarfile
import zipfile
from email.parser import HeaderParser
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


def build(folder: Path, *what: str, **settings: str) -> subprocess.CompletedProcess[str]:
    """`python -m build` with what is installed here; by default the sdist, and from that the wheel."""
    command = [sys.executable, "-m", "build", *what, "--no-isolation", "--outdir", str(folder), str(ROOT)]
    return subprocess.run(command, env=os.environ | settings, capture_output=True, text=True, timeout=240, check=False)


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> zipfile.ZipFile:
    folder = tmp_path_factory.mktemp("wheel")
    done = build(folder, "--wheel", ONNXPRESS_COMPILE="0")
    assert done.returncode == 0, done.stderr
    (path,) = folder.glob("onnxpress-*-py3-none-any.whl")
    return zipfile.ZipFile(path)


def test_it_holds_every_module_of_the_four_portions_and_their_types(wheel: zipfile.ZipFile) -> None:
    held = sorted(name for name in wheel.namelist() if ".dist-info/" not in name)
    wanted = {
        path.relative_to(ROOT / portion).as_posix()
        for portion in ("core", "training", "export", "serving")
        for path in (ROOT / portion / "onnxpress").rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    wanted |= {f"onnxpress/training/recipes/{path.name}" for path in (ROOT / "recipes").iterdir()}
    assert held == sorted(wanted)  # the front door, which lies in each root, is there once


def test_its_front_door_opens_and_reaches_every_portion(wheel: zipfile.ZipFile, tmp_path: Path) -> None:
    wheel.extractall(tmp_path)
    program = (
        f"import sys; sys.path.insert(0, {str(tmp_path)!r}); import onnxpress, onnxpress.export, onnxpress.serving, "
        "onnxpress.training; print(onnxpress.BadData.__name__, onnxpress.__path__)"
    )
    # -S: what is installed here, the checkout among it, is not on the path.
    done = subprocess.run([sys.executable, "-S", "-c", program], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout == f"BadData {[str(tmp_path / 'onnxpress')]}\n"


def test_its_metadata_names_the_command_the_licence_and_the_extras(wheel: zipfile.ZipFile) -> None:
    (info,) = {name.partition("/")[0] for name in wheel.namelist() if ".dist-info/" in name}
    metadata = HeaderParser().parsestr(wheel.read(f"{info}/METADATA").decode())
    assert metadata["Requires-Python"] == ">=3.11"
    assert metadata["License-Expression"] == "Apache-2.0"
    assert f"{info}/licenses/LICENSE" in wheel.namelist()
    extras = {"cpu", "cuda", "simd", "otel", "pytorch", "tensorflow", "sklearn", "boosting", "docs", "dev"}
    assert set(metadata.get_all("Provides-Extra", [])) == extras
    assert "Project-URL" not in metadata
    assert b"onnxpress = onnxpress.core.command:main" in wheel.read(f"{info}/entry_points.txt")


def test_a_release_says_where_the_project_lives(tmp_path: Path) -> None:
    done = build(tmp_path, "--sdist", ONNXPRESS_REPOSITORY="https://example.org/owner/name/")
    assert done.returncode == 0, done.stderr
    (path,) = tmp_path.glob("*.tar.gz")
    with tarfile.open(path) as archive:
        information = archive.extractfile(f"{path.name.removesuffix('.tar.gz')}/PKG-INFO")
        assert information is not None
        urls = HeaderParser().parsestr(information.read().decode()).get_all("Project-URL", [])
    assert "Source, https://example.org/owner/name" in urls
    assert "Issues, https://example.org/owner/name/issues" in urls


def test_a_plain_install_brings_no_framework_and_no_runtime(wheel: zipfile.ZipFile) -> None:
    (info,) = {name.partition("/")[0] for name in wheel.namelist() if ".dist-info/" in name}
    metadata = HeaderParser().parsestr(wheel.read(f"{info}/METADATA").decode())
    plain = [line for line in metadata.get_all("Requires-Dist", []) if "extra ==" not in line]
    assert sorted(line.partition(">")[0] for line in plain) == ["click", "httptools", "msgspec", "numpy", "uvloop"]


def test_without_a_compiler_it_holds_the_sources_alone(tmp_path: Path) -> None:
    done = build(tmp_path, CC="false")
    assert done.returncode == 0, done.stderr
    assert "the server's hot path cannot be compiled" in done.stdout + done.stderr
    (path,) = tmp_path.glob("*.whl")
    assert path.name.endswith("-py3-none-any.whl")
    assert [name for name in zipfile.ZipFile(path).namelist() if name.endswith((".so", ".pyd"))] == []


def test_a_compiler_that_is_missing_is_an_error_where_it_is_wanted(tmp_path: Path) -> None:
    done = build(tmp_path, ONNXPRESS_COMPILE="1", CC="false")
    assert done.returncode != 0
    assert "the server's hot path cannot be compiled" in done.stdout + done.stderr
    assert list(tmp_path.glob("*.whl")) == []
