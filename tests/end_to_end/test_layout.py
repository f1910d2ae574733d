"""The house as it is laid out: one namespace, four source roots, arrows that only point one way, small modules."""

from __future__ import annotations

import ast
import os
import re
import statistics
import subprocess
import sys
import tomllib
from pathlib import Path

import grimp
import pytest

import onnxpress

ROOT = Path(__file__).parents[2]
PORTIONS = ["core", "training", "export", "serving"]
MODULES = sorted(path for portion in PORTIONS for path in (ROOT / portion).rglob("*.py"))
LONGEST_MODULE, LONGEST_CLASS = 400, 250
"""lines"""
LONG_CLASSES = {
    "connection.Connection": "one client's order, pressure and time hang together; some lines over",
    "request_parser.RequestParser": "both ways to a request: what they share is all of their state; some lines over",
}
"""class → why it may be longer"""


def name_of(path: Path) -> str:
    """The module's dotted name."""
    return ".".join(path.relative_to(ROOT).with_suffix("").parts[1:]).removesuffix(".__init__")


def committed() -> list[Path]:
    """Every file that git tracks or would track."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    return [ROOT / name for name in listed.stdout.split("\0") if name and (ROOT / name).is_file()]


def test_the_front_door_is_the_same_in_every_root() -> None:
    """Whichever root Python or a type checker comes to first; ADR 0006."""
    doors = [ROOT / portion / "onnxpress" / "__init__.py" for portion in PORTIONS]
    assert len({door.read_bytes() for door in doors}) == 1


@pytest.mark.parametrize("portion", PORTIONS)
def test_each_portion_is_typed_and_its_init_imports_nothing_of_ours(portion: str) -> None:
    """A docstring, and at most names that are imported on use: `from onnxpress.export import measure`."""
    folder = ROOT / portion / "onnxpress" / portion
    assert (folder / "py.typed").read_bytes() == b""
    assert ast.get_docstring(ast.parse((folder / "__init__.py").read_text())) is not None
    program = (
        f"import sys, typing; before = set(sys.modules); import onnxpress.{portion}; print(*set(sys.modules) - before)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=True)
    assert set(done.stdout.split()) <= {"onnxpress", "onnxpress._public", f"onnxpress.{portion}"}
    folders = [path.name for path in (ROOT / portion / "onnxpress").iterdir() if path.is_dir()]
    assert [name for name in folders if name != "__pycache__"] == [portion]


def test_the_portions_import_each_other_as_drawn() -> None:
    done = subprocess.run(
        [str(Path(sys.executable).with_name("lint-imports")), "--no-cache"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stdout + done.stderr


FRAMEWORKS = {"torch", "tensorflow", "keras", "sklearn", "pandas", "onnx"}


@pytest.mark.parametrize("portion", ["core", "serving"])
def test_no_module_of_the_serving_side_loads_a_framework(portion: str) -> None:
    names = [
        ".".join(path.relative_to(ROOT / portion).with_suffix("").parts).removesuffix(".__init__")
        for path in MODULES
        if path.is_relative_to(ROOT / portion)
    ]
    program = (
        "import importlib, sys\n"
        f"for name in {names!r}: importlib.import_module(name)\n"
        f"print(sorted({FRAMEWORKS!r} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    assert done.stdout == "[]\n"


def test_every_module_says_what_it_does_in_its_first_line() -> None:
    assert [path for path in MODULES if not ast.get_docstring(ast.parse(path.read_text()))] == []


def test_modules_are_small() -> None:
    lengths = {path: len(path.read_text().splitlines()) for path in MODULES}
    assert statistics.median(lengths.values()) < 200
    assert [f"{path}: {length} lines" for path, length in lengths.items() if length > LONGEST_MODULE] == []


def test_classes_are_small() -> None:
    lengths = {
        f"{path.stem}.{node.name}": (node.end_lineno or 0) - node.lineno + 1
        for path in MODULES
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.ClassDef)
    }
    long = {name: f"{length} lines" for name, length in lengths.items() if length > LONGEST_CLASS}
    assert {name: length for name, length in long.items() if name not in LONG_CLASSES} == {}
    assert [name for name in LONG_CLASSES if name not in long] == [], "short by now: take its line out"


def circles(graph: grimp.ImportGraph, inside: str) -> list[list[str]]:
    """The sets of modules below `inside` that import each other round (Tarjan 1972), imports in functions included."""
    reached: dict[str, int] = {}
    lowest: dict[str, int] = {}
    open_modules: list[str] = []
    rounds: list[list[str]] = []

    def visit(module: str) -> None:
        reached[module] = lowest[module] = len(reached)
        open_modules.append(module)
        for imported in sorted(graph.find_modules_directly_imported_by(module)):
            if not f"{imported}.".startswith(f"{inside}."):
                continue
            if imported not in reached:
                visit(imported)
            if imported in open_modules:
                lowest[module] = min(lowest[module], lowest[imported])
        if lowest[module] == reached[module]:
            place = open_modules.index(module)
            members, open_modules[place:] = open_modules[place:], []
            if len(members) > 1:
                rounds.append(sorted(members))

    for module in sorted(graph.modules):
        if f"{module}.".startswith(f"{inside}.") and module not in reached:
            visit(module)
    return rounds


def test_a_circle_is_seen() -> None:
    graph = grimp.ImportGraph()
    for importer, imported in [("p.a", "p.b"), ("p.b", "p.c"), ("p.c", "p.a"), ("p.c", "p.d"), ("p.e", "p.a")]:
        graph.add_import(importer=importer, imported=imported)
    assert circles(graph, "p") == [["p.a", "p.b", "p.c"]]
    graph.remove_import(importer="p.c", imported="p.a")
    assert circles(graph, "p") == []


def test_no_module_comes_back_to_itself_through_its_imports() -> None:
    assert len(onnxpress.__path__) == len(PORTIONS)  # imported, so that grimp knows all of its roots
    graph = grimp.build_graph("onnxpress", cache_dir=None)
    assert {name_of(path) for path in MODULES} <= graph.modules
    assert circles(graph, "onnxpress") == []


def test_compiled_modules_keep_off_what_mypyc_gets_wrong() -> None:
    """A msgspec.Struct compiles without a word and crashes when it is used; a cached_property is computed each time.

    A tuple becomes a C struct, and for one of some hundred members a C compiler takes more than ten minutes.
    """
    wheel = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["hatch"]["build"]["targets"]["wheel"]
    for module in wheel["hooks"]["custom"]["modules"]:
        text = (ROOT / module).read_text()
        classes = [node for node in ast.parse(text).body if isinstance(node, ast.ClassDef)]
        assert "cached_property" not in text, module
        assert [one.name for one in classes if any("Struct" in ast.unparse(base) for base in one.bases)] == [], module
        written = [len(node.elts) for node in ast.walk(ast.parse(text)) if isinstance(node, ast.Tuple)]
        assert max(written, default=0) <= 32, module


def test_no_committed_file_names_a_package_index_or_a_place_on_somebodys_machine() -> None:
    indexes = r"(?:extra-)?index-url|find-links|pypi\.org/simple|download\.pytorch\.org"
    places = r"(?<![\w.$}>/])/(?:root|work|home/\w+|Users/\w+|opt/wheels|opt/pypi)(?:/|\b)"
    forbidden = re.compile(f"{indexes}|{places}")
    found = []
    for path in committed():
        if path == Path(__file__) or path.suffix in {".png", ".npz", ".onnx"}:
            continue
        for number, line in enumerate(path.read_text(errors="replace").splitlines(), 1):
            if forbidden.search(line):
                found.append(f"{path.relative_to(ROOT)}:{number}: {line.strip()[:100]}")
    assert found == []


def test_what_ci_runs_can_be_run() -> None:
    assert os.access(ROOT / ".ci" / "run", os.X_OK)
    listed = subprocess.run(["make", "help"], cwd=ROOT, capture_output=True, text=True, check=True, timeout=60).stdout
    for target in re.findall(r"for target in (.+);", (ROOT / ".ci" / "run").read_text())[0].split():
        assert f"  {target} " in listed
