"""README and the pages of docs/ as their code blocks, each with what the comment before it says of running it.

A page is run from top to bottom in one empty folder, as a reader would. What a block is follows from its language:

    python          runs, in one interpreter for the page; with `>>>` its answers are compared
    console         the lines after `$` run; the lines below them are held against what the command says
    sh              runs
    yaml json toml  is read, and so must be well formed
    anything that begins with a comment naming a file, such as `# nets.py`, is written to that file instead

A comment in the Markdown, which no reader sees, changes that:

    <!-- docs: file NAME -->            the block is the content of NAME (for languages without comments)
    <!-- docs: figures vary -->         numbers in the output are not compared
    <!-- docs: exit N -->               the last command ends with N
    <!-- docs: not run, REASON -->      the block is skipped, and the test says why
    <!-- docs: needs torch -->          the page needs it (torch, tensorflow or sklearn)
    <!-- docs: slow -->                 the page takes over a minute
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).parents[2]

_DIRECTIVE = re.compile(r"^<!-- docs: (.+) -->$")
_FENCE = re.compile(r"^(`{3,})(.*)$")
_NAMED = re.compile(r"# ([\w./-]+\.[a-z]+)")


@dataclass(frozen=True)
class Block:
    """A fenced block: where it stands, its language, its text, and what the comments before it say."""

    page: str
    line: int
    language: str
    text: str
    said: tuple[str, ...] = ()

    @property
    def place(self) -> str:
        """`docs/serving.md:12`."""
        return f"{self.page}:{self.line}"

    @property
    def not_run(self) -> str | None:
        """Why it is not run."""
        return next((one.removeprefix("not run, ") for one in self.said if one.startswith("not run, ")), None)

    @property
    def file(self) -> str | None:
        """The file that it is the content of."""
        for one in self.said:
            if one.startswith("file "):
                return one.removeprefix("file ")
        named = _NAMED.fullmatch(self.text.partition("\n")[0]) if self.language in ("python", "yaml", "toml") else None
        return named[1] if named else None

    @property
    def exit_code(self) -> int:
        """With which its last command ends."""
        return next((int(one.removeprefix("exit ")) for one in self.said if one.startswith("exit ")), 0)

    @property
    def figures_vary(self) -> bool:
        """Whether numbers in its output are another machine's."""
        return "figures vary" in self.said


@dataclass
class Page:
    """A Markdown file: its blocks in order, the packages it needs, and whether it is slow."""

    path: Path
    blocks: list[Block] = field(default_factory=list)
    needs: list[str] = field(default_factory=list)
    slow: bool = False

    @property
    def name(self) -> str:
        """`docs/serving.md`."""
        return str(self.path.relative_to(ROOT))


def read(path: Path) -> Page:
    """The page at `path`. Raises ValueError for a comment that says nothing known, and for a block that never ends."""
    page = Page(path)
    said: list[str] = []
    lines = iter(enumerate(path.read_text().splitlines(), 1))
    for number, line in lines:
        directive, fence = _DIRECTIVE.match(line), _FENCE.match(line)
        if directive:
            _note(page, said, directive[1], number)
        elif fence:
            text = []
            for _, inside in lines:
                if inside == fence[1]:
                    break
                text.append(inside)
            else:
                raise ValueError(f"{page.name}:{number}: the block never ends")
            page.blocks.append(Block(page.name, number, fence[2].strip(), "\n".join(text) + "\n", tuple(said)))
            said.clear()
        elif line.strip() and said:
            raise ValueError(f"{page.name}:{number}: a docs comment stands before no block: {said}")
    return page


def _note(page: Page, said: list[str], words: str, number: int) -> None:
    if words.startswith("needs "):
        page.needs += words.removeprefix("needs ").split(", ")
    elif words == "slow":
        page.slow = True
    elif words == "figures vary" or re.fullmatch(r"file [\w./-]+|exit \d|not run, .{10,}", words):
        said.append(words)
    else:
        raise ValueError(f"{page.name}:{number}: no docs comment says {words!r}")


def written() -> list[Path]:
    """README, and every page of docs/ but the decisions, whose code is that of their day."""
    return [
        ROOT / "README.md",
        ROOT / "CONTRIBUTING.md",
        *sorted((ROOT / "docs").glob("*.md")),
        *sorted((ROOT / "docs" / "walkthroughs").glob("*.md")),
    ]


def all_pages() -> list[Path]:
    """Every Markdown file of the repository's documentation, the decisions too."""
    return [*written(), ROOT / "CHANGELOG.md", *sorted((ROOT / "docs" / "adr").glob("*.md"))]
