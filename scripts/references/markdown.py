"""Pieces of a page that the references share: tables, and a default as a reader would write it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import msgspec

_SIZES = {1 << 30: "GiB", 1 << 20: "MiB", 1 << 10: "KiB"}

MADE = "<!-- Made by scripts/write_references.py. Change the {what} instead. -->"


def table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A Markdown table; columns without a value in any row are left out."""
    rows = [[cell.replace("|", "\\|").replace("\n", " ") for cell in row] for row in rows]
    kept = [place for place in range(len(header)) if place == 0 or any(row[place] for row in rows)]
    lines = [[header[place] for place in kept], ["---"] * len(kept), *([row[place] for place in kept] for row in rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def value(found: Any, unit: str | None = None) -> str:
    """`64 MiB`, `30 s`, `adam`, `[64, 32]`; "none" for None and what is empty."""
    if found is None or found in ((), [], {}, ""):
        return "none"
    if unit == "bytes":
        size, name = next(((size, name) for size, name in _SIZES.items() if not found % size), (1, "bytes"))
        return f"{found // size:,} {name} (`{found}`)"
    if unit == "seconds":
        return f"{found:g} s"
    if isinstance(found, msgspec.Struct):
        return "as there"
    return f"`{_plain(found)}`"


def _plain(found: Any) -> str:
    if isinstance(found, tuple | list):
        return f"[{', '.join(map(_plain, found))}]"
    if isinstance(found, bool):
        return str(found).lower()
    return f"{found:g}" if isinstance(found, float) else str(found)
