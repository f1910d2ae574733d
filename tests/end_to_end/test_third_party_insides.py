"""docs/third_party_insides.md names every private name that `export` and `serving` use; its files and tests exist."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
HOUSES = [ROOT / portion / "onnxpress" / portion for portion in ("export", "serving")]
PAGE = (ROOT / "docs" / "third_party_insides.md").read_text()
PUBLIC = {"_asdict", "_exit"}
"""Names that their package documents though they begin with an underscore."""


def private(name: str) -> bool:
    return name.startswith("_") and not name.startswith("__") and name.isidentifier() and name != "_"


def touched(path: Path) -> set[str]:
    """Private attributes of what is not self, private names given to getattr and hasattr, private modules."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Attribute):
            if ast.unparse(node.value) not in {"self", "cls", "super()"}:
                names.add(node.attr)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.module.startswith("onnxpress"):
            names |= {*node.module.split("."), *(alias.name for alias in node.names)}
        elif isinstance(node, ast.Call) and ast.unparse(node.func) in {"getattr", "hasattr", "setattr"}:
            names |= {argument.value for argument in node.args[1:2] if isinstance(argument, ast.Constant)}
    return {name for name in names if private(name)}


def replaced(path: Path) -> set[str]:
    """`Class.method` for every assignment to an attribute of a class: a patch."""
    targets = (
        target
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Assign)
        for target in node.targets
    )
    return {
        f"{ast.unparse(target.value).rpartition('.')[2]}.{target.attr}"
        for target in targets
        if isinstance(target, ast.Attribute) and ast.unparse(target.value).rpartition(".")[2][:1].isupper()
    }


MODULES = sorted(path for house in HOUSES for path in house.rglob("*.py"))


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_touch_is_on_the_page(path: Path) -> None:
    ours = {node.name for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.FunctionDef)}
    assert {name for name in touched(path) - PUBLIC - ours if name not in PAGE} == set()
    assert {name for name in replaced(path) if name not in PAGE} == set()


def test_the_search_finds_what_is_there() -> None:
    seen = set().union(*map(touched, MODULES))
    assert {
        "_orig_mod",
        "_inputs_struct",
        "_flatten_layers",
        "_convert_common",
        "_container",
        "_getframe",
        "_sess",
    } <= seen
    assert set().union(*map(replaced, MODULES)) == {
        "Operation.__call__",
        "ModelComponentContainer.add_node",
        "TimeDistributed.call",
    }


def rows() -> list[list[str]]:
    cells = [line.strip("|").split(" | ") for line in PAGE.splitlines() if line.startswith("| ")]
    return [row for row in cells if "held by" not in row[-1] and "---" not in row[0]]


@pytest.mark.parametrize("row", rows(), ids=lambda row: row[0][:40])
def test_files_and_tests_exist(row: list[str]) -> None:
    where, held = (re.findall(r"`([^`]+)`", cell) for cell in (row[1], row[3]))
    assert where
    assert held
    for file in where:
        assert any((house / file).is_file() for house in HOUSES), file
    for test in held:
        file, _, name = test.partition("::")
        assert re.search(rf"^ *def {name}\(", (ROOT / "tests" / file).read_text(), re.MULTILINE), test
