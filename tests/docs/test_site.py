"""The site: no page is forgotten in its navigation, and it is built without a warning."""

from __future__ import annotations

import subprocess
import sys
import tomllib
from collections.abc import Iterator
from typing import Any

import pytest
from tests.docs import pages


def named(entries: list[Any]) -> Iterator[str]:
    """The pages of a part of the navigation."""
    for entry in entries:
        for value in entry.values():
            yield from [value] if isinstance(value, str) else named(value)


def test_every_page_stands_in_the_navigation_once() -> None:
    navigation = list(named(tomllib.loads((pages.ROOT / "zensical.toml").read_text())["project"]["nav"]))
    written = {str(path.relative_to(pages.ROOT)) for path in pages.all_pages() if path.parent.name != "adr"}
    assert len(navigation) == len(set(navigation))
    assert written <= set(navigation)
    assert all((pages.ROOT / name).is_file() for name in navigation)


def test_the_site_is_built_without_a_warning() -> None:
    pytest.importorskip("zensical")
    command = [sys.executable, str(pages.ROOT / "scripts" / "build_site.py")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
