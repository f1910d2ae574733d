"""The files that a recipe names: one, several, a folder's, or those that match a pattern."""

from __future__ import annotations

import glob
from collections.abc import Sequence
from pathlib import Path

from onnxpress.core.errors import BadData

Paths = str | list[str]
"""a file, a folder, a pattern such as `logs/2026-*.csv`, or a list of such"""


def files(given: str | Sequence[str], *, suffixes: Sequence[str]) -> list[Path]:
    """The files in the order given, those of a folder or pattern by name; of a folder those that end in `suffixes`.

    A name that exists is taken as it is, also where it has a `*` in it; a file that is not there is found out when it
    is read. Raises BadData for a folder or a pattern without a file.
    """
    found: dict[Path, None] = {}
    for name in [given] if isinstance(given, str) else given:
        path = Path(name)
        if path.is_dir():
            inside = sorted(file for file in path.iterdir() if file.suffix.lower() in suffixes and file.is_file())
            if not inside:
                raise BadData(
                    "there is no such file in this folder", where=name, hint=f"looked for {', '.join(suffixes)}"
                )
        elif not path.exists() and any(sign in name for sign in "*?["):
            inside = sorted(file for file in map(Path, glob.glob(name, recursive=True)) if file.is_file())
            if not inside:
                raise BadData("no file matches this pattern", where=name)
        else:
            inside = [path]
        found |= dict.fromkeys(inside)
    if not found:
        raise BadData("no file is named", where="data.path")
    return list(found)
