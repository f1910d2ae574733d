"""The page of limits and the command's options say the same."""

from __future__ import annotations

import re
from pathlib import Path

import click
import pytest

from onnxpress.serving.cli.serve import serve
from onnxpress.serving.transports.limits import Limits

PAGE = (Path(__file__).parents[2] / "docs" / "serving.md").read_text()
TABLE = PAGE.partition("## Limits")[2].partition("\n\nRefused")[0]
UNITS = {"": 1, "KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30, "s": 1, "per": 1}
FIELDS = {
    "max_body": "max_body", "max_held": "max_held", "max_head": "max_head", "max_connections": "max_connections",
    "request_timeout": "request_seconds", "idle_timeout": "idle_seconds", "grace": "grace_seconds",
}  # fmt: skip
"""option → field of the transport's limits"""


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


def test_every_limit_of_the_page_is_an_option_with_that_default() -> None:
    options = {one.name: one.default for one in serve.params if isinstance(one, click.Option)}
    (said,) = (str(one.help) for one in serve.params if isinstance(one, click.Option) and one.name == "max_batch")
    options["max_batch"] = int(said.partition("the profile's, or ")[2].rstrip("]"))  # a profile's goes before it
    assert {name: options[name] for name in documented()} == documented()


def test_every_option_that_is_a_limit_is_on_the_page() -> None:
    limits = {one.name for one in serve.params if one.name and one.name.startswith("max_")}
    assert limits | set(FIELDS) == set(documented())


@pytest.mark.parametrize("option", FIELDS)
def test_the_transport_has_the_same_defaults(option: str) -> None:
    assert getattr(Limits(), FIELDS[option]) == documented()[option]
