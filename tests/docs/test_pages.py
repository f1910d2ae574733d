"""README and the pages of docs/: what they say to type is typed, and what they say comes out does."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest
from tests.docs import pages
from tests.docs.pages import Block, Page
from tests.docs.reader import Reader

PAGES = [pages.read(path) for path in pages.written()]
MARKS = {"torch": [pytest.mark.torch], "tensorflow": [pytest.mark.tensorflow]}
NOT_RUN = [block for page in PAGES for block in page.blocks if block.not_run]


def _parameters() -> list[object]:
    found = []
    for page in PAGES:
        if any(not block.not_run for block in page.blocks):
            marks = [mark for needed in page.needs for mark in MARKS.get(needed, [])]
            found.append(pytest.param(page, id=page.name, marks=[*marks, *([pytest.mark.slow] if page.slow else [])]))
    return found


@pytest.mark.timeout(600)
@pytest.mark.parametrize("page", _parameters())
def test_a_page_runs_from_top_to_bottom(page: Page, tmp_path: Path) -> None:
    for needed in page.needs:
        if importlib.util.find_spec(needed) is None:
            pytest.skip(f"the page needs {needed}, which is not installed")
    reader = Reader(tmp_path)
    try:
        for block in page.blocks:
            if not block.not_run:
                reader.read(block)
    finally:
        reader.close()


@pytest.mark.parametrize("block", [pytest.param(block, id=block.place) for block in NOT_RUN])
def test_a_block_that_is_not_run_says_why(block: Block) -> None:
    pytest.skip(f"{block.not_run}")


@pytest.mark.parametrize("page", [pytest.param(page, id=page.name) for page in PAGES])
def test_every_block_is_fenced_and_names_its_language(page: Page) -> None:
    for block in page.blocks:
        assert block.language, f"{block.place}: the block names no language"
        if block.language == "text":
            assert block.not_run, f"{block.place}: a block of text is not run; say why"
    fenced = {number for block in page.blocks for number in range(block.line, block.line + block.text.count("\n") + 2)}
    before = ""
    for number, line in enumerate(page.path.read_text().splitlines(), 1):
        if number not in fenced and line.startswith("    ") and not before.strip():
            raise AssertionError(f"{page.name}:{number}: an indented block is not run; fence it")
        before = line


@pytest.mark.parametrize("page", [pytest.param(page, id=page.name) for page in PAGES])
def test_a_file_that_a_page_writes_is_used_by_a_later_block(page: Page) -> None:
    for at, block in enumerate(page.blocks):
        if block.file and "/" not in block.file:  # one inside a folder is for whatever uses the folder
            stem = Path(block.file).stem
            later = "".join(other.text for other in page.blocks[at + 1 :])
            assert stem in later, f"{block.place}: nothing uses {block.file}"
