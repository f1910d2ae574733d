"""The generated pages are what the code says now, and say something of everything."""

from __future__ import annotations

import re
from pathlib import Path

import msgspec
import pytest
from scripts.references import recipe
from scripts.write_references import PAGES

from onnxpress.core.fields import fields_of
from onnxpress.serving.settings import GROUPS

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("name", PAGES)
def test_a_page_is_what_the_types_say(name: str) -> None:
    assert (ROOT / name).read_text(encoding="utf-8") == PAGES[name](), "run: python scripts/write_references.py"


def described(page: str) -> dict[str, str]:
    """What stands in a row's first cell → what it is or does, of the tables that have such a column."""
    found: dict[str, str] = {}
    place = None
    for line in page.splitlines():
        cells = [cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]]
        if not cells:
            place = None
        elif place is None:
            place = next((number for number, cell in enumerate(cells) if cell.startswith("what it ")), -1)
        elif place >= 0 and set(cells) != {"---"}:
            found[cells[0]] = cells[place]
    return found


@pytest.mark.parametrize("name", sorted(PAGES.keys() - {"docs/port-table.md"}))  # its rows are pairs
def test_every_row_says_what_it_is(name: str) -> None:
    page = PAGES[name]()
    assert len(described(page)) > 25
    assert [cell for cell, words in described(page).items() if len(words) < 5] == []
    for python in ("<class", "typing.", "Annotated", "Sentinel", "None"):
        assert python not in page


def test_every_field_of_a_recipe_has_words_below_it() -> None:
    bare = [
        f"{struct.__name__}.{field.name}"
        for struct in recipe.structs()
        for field in fields_of(struct)
        if not recipe.described(struct).get(field.name)
    ]
    assert bare == []


def test_every_setting_is_on_the_page_with_its_option_and_variable() -> None:
    page = PAGES["docs/serving-options.md"]()
    for group, struct in GROUPS.items():
        assert f"the table `{group}`" in page
        for field in fields_of(struct):
            assert f"| `{field.name}` |" in page
            if field.extra.get("option", True):
                assert f"`--{field.name.replace('_', '-')}`" in page
                assert f"| `ONNXPRESS_{field.name.upper()}` |" in page


def test_a_new_field_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """The check would see it: a page made of other types is another page."""

    class More(msgspec.Struct, frozen=True):
        """Limits: what a caller may ask of it."""

        max_patience: int = 5

    before = PAGES["docs/serving-options.md"]()
    monkeypatch.setitem(GROUPS, "limits", More)
    assert "| `max_patience` |" in PAGES["docs/serving-options.md"]()
    assert PAGES["docs/serving-options.md"]() != before
