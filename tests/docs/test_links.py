"""Every link of the documentation leads somewhere: to a file of the repository, and to a heading that is there."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from tests.docs import pages

LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
CODE = re.compile(r"^(```+).*?^\1$|`[^`\n]*`", re.MULTILINE | re.DOTALL)


def anchors(page: Path) -> set[str]:
    """The names that GitHub and the site give to the page's headings."""
    text = re.sub(r"^(```+).*?^\1$", "", page.read_text(), flags=re.MULTILINE | re.DOTALL)
    found: set[str] = set()
    for heading in re.findall(r"^#+ (.+)$", text, re.MULTILINE):
        plain = re.sub(r"[`*]|\[([^\]]*)\]\([^)]*\)", r"\1", heading).strip().lower()
        name = re.sub(r"[^\w\- ]", "", plain).replace(" ", "-")
        number = 0
        while (numbered := f"{name}-{number}" if number else name) in found:
            number += 1
        found.add(numbered)
    return found


def links(page: Path) -> list[str]:
    """The targets of the page's links, pictures among them."""
    return LINK.findall(CODE.sub("", page.read_text()))


@pytest.mark.parametrize(
    "page", [pytest.param(path, id=str(path.relative_to(pages.ROOT))) for path in pages.all_pages()]
)
def test_every_link_leads_somewhere(page: Path) -> None:
    for link in links(page):
        if re.match(r"[a-z]+:", link):
            continue  # no test reaches beyond loopback
        path, _, anchor = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        assert target.is_file(), f"{link} leads to no file"
        assert target.is_relative_to(pages.ROOT), f"{link} leads out of the repository"
        if anchor:
            assert anchor in anchors(target), f"{link}: there is no such heading; there are {sorted(anchors(target))}"


def test_every_page_is_within_reach_of_the_readme() -> None:
    seen: set[Path] = set()
    left = [pages.ROOT / "README.md"]
    while left:
        page = left.pop()
        seen.add(page)
        for link in links(page):
            target = (page.parent / link.partition("#")[0]).resolve()
            if target.suffix == ".md" and target.is_file() and target not in seen:
                left.append(target)
    assert {path.relative_to(pages.ROOT) for path in {*pages.all_pages()} - seen} == set()


def test_a_heading_is_named_as_github_names_it(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("# Words, and `code`\n\n## A\n\n```sh\n# no heading\n```\n\n## A\n")
    assert anchors(page) == {"words-and-code", "a", "a-1"}
