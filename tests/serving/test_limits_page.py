"""The page of limits and the command's options say the same."""

from __future__ import annotations

import re
from pathlib import Path

import click

from onnxpress.serving.cli.options import SettingOption
from onnxpress.serving.cli.serve import serve

PAGE = (Path(__file__).parents[2] / "docs" / "serving-reference.md").read_text()
TABLE = PAGE.partition("## Limits")[2].partition("\n\nAn accepted")[0]
UNITS = {"": 1, "KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30, "s": 1, "per": 1}
OTHERS = {"request_timeout", "idle_timeout", "drain_delay", "grace"}
"""options that are limits by another name"""


def documented() -> dict[str, float]:
    """Option → default, as the table says."""
    found = {}
    for line in TABLE.splitlines():
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        option = re.fullmatch(r"`--([a-z-]+)`", cells[2]) if len(cells) == 4 else None
        if option:
            number, _, rest = cells[1].partition(" ")
            unit, _, _ = rest.partition(" ")
            found[option[1].replace("-", "_")] = float(number.replace(",", "")) * UNITS[unit]
    return found


def options() -> dict[str, float]:
    """Option → default, of the command."""
    found = {one.name: one.default for one in serve.params if isinstance(one, click.Option) and one.name}
    (said,) = (one.default_words for one in serve.params if isinstance(one, SettingOption) and one.name == "max_batch")
    return found | {"max_batch": int(str(said).partition("the profile's, or ")[2])}  # a profile's goes before it


def test_every_limit_of_the_page_is_an_option_with_that_default() -> None:
    assert {name: options()[name] for name in documented()} == documented()


def test_every_option_that_is_a_limit_is_on_the_page() -> None:
    assert {name for name in options() if name.startswith("max_")} | OTHERS == set(documented())
