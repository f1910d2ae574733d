"""docs/troubleshooting.md: every message that it explains is one that the code says."""

from __future__ import annotations

import ast
import re

import pytest
from tests.docs.pages import ROOT

PAGE = ROOT / "docs" / "troubleshooting.md"
MESSAGES = re.findall(r"^### `(.+)`$", PAGE.read_text(), re.MULTILINE)


@pytest.fixture(scope="module")
def said() -> set[str]:
    """Every text of the code, with `...` where a value goes in."""
    found = set()
    for root in ("core", "training", "export", "serving"):
        for path in (ROOT / root).rglob("*.py"):
            for node in ast.walk(ast.parse(path.read_text())):
                if isinstance(node, ast.JoinedStr | ast.Constant):
                    found.add(_template(node).partition("\n")[0])
    return found


def _template(node: ast.AST) -> str:
    if isinstance(node, ast.Constant):
        return node.value if isinstance(node.value, str) else ""
    if isinstance(node, ast.JoinedStr):
        parts = [part.value if isinstance(part, ast.Constant) else "..." for part in node.values]
        return "".join(map(str, parts))
    return ""


def test_the_page_explains_messages() -> None:
    assert len(MESSAGES) > 40
    assert len(MESSAGES) == len(set(MESSAGES))


@pytest.mark.parametrize("message", MESSAGES)
def test_the_code_says_it(message: str, said: set[str]) -> None:
    if message not in said:
        words = max(message.split("..."), key=len)
        near = [one for one in said if words.strip() in one]
        pytest.fail(f"no text of the code is {message!r}; near it: {near[:5]}")
