"""`make wheel-smoke`: the wheel, installed with [cpu] alone, serves the demo's versions and gets the same numbers."""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
from serving import infer, served

from onnxpress.core import golden
from onnxpress.core.version_folder import locate, read_manifest

ROOT = Path(__file__).parent.parent
FORBIDDEN = ("torch", "tensorflow", "keras", "sklearn", "pandas", "onnx")
LIMIT_MB = 150


def main() -> None:
    """Fails with a sentence where anything is not as it should be."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repository", type=Path, required=True, help="published versions to serve")
    models = parser.parse_args().repository.resolve()
    published = {name: max(paths.items())[1].parent for name, paths in locate(models).models.items()}
    with tempfile.TemporaryDirectory() as scratch:
        work = Path(scratch)
        # The sources' absence is part of the test, so nothing below runs in the checkout or with its path.
        environment = {name: value for name, value in os.environ.items() if name not in {"PYTHONPATH", "VIRTUAL_ENV"}}
        # Where there is a compiler, a hot path that cannot be compiled is a fault, and not a plain wheel.
        wanted = {"ONNXPRESS_COMPILE": "1"} if shutil.which(os.environ.get("CC", "gcc")) else {}
        build = [sys.executable, "-m", "build", "--wheel", "--outdir", str(work / "dist"), str(ROOT)]
        call(*build, env=os.environ | wanted, quiet=True)
        (wheel,) = (work / "dist").glob("*.whl")
        print(f"built {wheel.name}, {wheel.stat().st_size / 1e3:.0f} kB")
        call(sys.executable, "-m", "venv", "--without-pip", str(work / "venv"))
        python = work / "venv" / "bin" / "python"
        # --no-compile: pip would byte-compile numpy's tests and the like, 28 MB that nothing runs; Python compiles what
        # it imports by itself, at the first start.
        install = ["-m", "pip", "--python", str(python), "install", "--quiet", "--no-compile"]
        constraints = ["--constraint", str(ROOT / "constraints.txt")]
        call(sys.executable, *install, *constraints, f"{wheel}[cpu]", env=environment)
        absent(python, environment)
        command = [str(python.with_name("onnxpress"))]
        for name in published:
            call(*command, "verify", str(models / name), cwd=work, env=environment)
            predict(command, published[name], work, environment)
        with served(command, models, cwd=work, env=environment) as url:
            for name, folder in published.items():
                replay(url, name, folder)
        measure_size(python)
        # The serving side's own tests need no framework either. Their tools come after the environment was measured.
        tools = ["pytest", "pytest-timeout", "hypothesis", "httpx", "jsonschema"]
        call(sys.executable, *install, *constraints, *tools, env=environment)
        tests = ["tests/core", "tests/serving"]
        call(str(python), "-P", "-m", "pytest", "-q", "-p", "no:cacheprovider", *tests, cwd=ROOT, env=environment)
    print("wheel-smoke: ok")


def call(*command: str, quiet: bool = False, **settings: object) -> None:
    """Run a command that must succeed."""
    done = subprocess.run(command, capture_output=quiet, text=True, check=False, **settings)  # type: ignore[call-overload]
    if done.returncode != 0:
        raise SystemExit(f"{' '.join(command)} failed with exit code {done.returncode}\n{done.stderr or ''}")


def measure_size(python: Path) -> None:
    """Print the size of the environment, after it has served, and hold it to the limit."""
    sizes: dict[str, int] = {}
    (packages,) = (python.parent.parent / "lib").glob("python*/site-packages")
    for path in packages.rglob("*"):
        if path.is_file() and not path.is_symlink():
            top = path.relative_to(packages).parts[0]
            sizes[top] = sizes.get(top, 0) + path.stat().st_size
    total = sum(sizes.values()) / 1e6
    call(str(python), "-m", "compileall", "-q", str(packages))
    compiled = sum(path.stat().st_size for path in packages.rglob("*") if path.is_file()) / 1e6
    largest = sorted(((size, name) for name, size in sizes.items()), reverse=True)[:4]
    shown = ", ".join(f"{name} {size / 1e6:.0f} MB" for size, name in largest)
    print(f"the serving environment has {total:.0f} MB: {shown}")
    print(f"(with every module byte-compiled, as pip does without --no-compile: {compiled:.0f} MB)")
    if total >= LIMIT_MB:
        raise SystemExit(f"that is not under {LIMIT_MB} MB")


def absent(python: Path, environment: dict[str, str]) -> None:
    """No framework, and none of its company, can be found there."""
    program = f"import importlib.util as u; print([n for n in {FORBIDDEN!r} if u.find_spec(n)])"
    done = subprocess.run(
        [str(python), "-I", "-c", program], capture_output=True, text=True, check=True, env=environment
    )
    if done.stdout.strip() != "[]":
        raise SystemExit(f"the serving environment holds {done.stdout.strip()}")
    print(f"absent there: {', '.join(FORBIDDEN)}")


def predict(command: list[str], folder: Path, work: Path, environment: dict[str, str]) -> None:
    """The golden samples by `onnxpress predict`, without a server, within the limit that the manifest says."""
    for case in golden.read(folder / golden.FILE_NAME):
        np.savez(work / "rows.npz", allow_pickle=False, **case.inputs)
        asked = [*command, "predict", str(folder), "rows.npz", "--output", "answers.npz"]
        call(*asked, cwd=work, env=environment)
        with np.load(work / "answers.npz") as answers:
            compare(f"{folder.parent.name}: predicted", folder, case, dict(answers))


def replay(url: str, name: str, folder: Path) -> None:
    """The golden samples over HTTP, within the limit that the manifest says."""
    for case in golden.read(folder / golden.FILE_NAME):
        compare(f"{name}: served", folder, case, infer(url, name, case.inputs))


def compare(who: str, folder: Path, case: golden.Golden, answers: dict[str, golden.Array]) -> None:
    """Print how far the answers are from the reference; exit 1 past the limit under which the version was published."""
    manifest = read_manifest(folder)
    assert manifest is not None
    limit = manifest.equivalence.limit
    worst = max(golden.worst_multiple(case, answers).values())
    print(f"{who} answers within {worst:.2g} of {limit:g} noise floors", flush=True)
    if not worst <= limit:
        raise SystemExit("these are not the answers that were measured")


if __name__ == "__main__":
    main()
