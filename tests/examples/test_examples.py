"""Each folder of examples/ does what its README says: a reader types it from top to bottom in a copy."""

from __future__ import annotations

import importlib.util
import shutil
from pathlib import Path

import pytest
from tests.docs import pages
from tests.docs.pages import ROOT, Page
from tests.docs.reader import Reader

EXAMPLES = ROOT / "examples"
PAGES = [pages.read(path) for path in sorted(EXAMPLES.glob("*/README.md"))]
MARKS = {"torch": [pytest.mark.torch], "tensorflow": [pytest.mark.tensorflow]}


def _parameter(page: Page) -> object:
    marks = [mark for needed in page.needs for mark in MARKS.get(needed, [])]
    return pytest.param(page, id=page.path.parent.name, marks=marks)


@pytest.mark.timeout(600)
@pytest.mark.parametrize("page", [_parameter(page) for page in PAGES])
def test_an_example_runs_as_its_readme_says(page: Page, tmp_path: Path) -> None:
    for needed in page.needs:
        if importlib.util.find_spec(needed) is None:
            pytest.skip(f"the example needs {needed}, which is not installed")
    # All of them: one may begin with another's model.
    shutil.copytree(EXAMPLES, tmp_path / "examples", ignore=shutil.ignore_patterns("__pycache__", "models"))
    reader = Reader(tmp_path / "examples" / page.path.parent.name)
    try:
        for block in page.blocks:
            if not block.not_run:
                reader.read(block)
    finally:
        reader.close()


def test_every_example_is_listed_and_its_readme_short() -> None:
    listed = (EXAMPLES / "README.md").read_text()
    folders = {path.name for path in EXAMPLES.iterdir() if path.is_dir() and path.name != "__pycache__"}
    assert {page.path.parent.name for page in PAGES} == folders
    for page in PAGES:
        assert f"({page.path.parent.name}/README.md)" in listed
        assert len(page.path.read_text().splitlines()) < 45
