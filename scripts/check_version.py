"""Holds the version in pyproject.toml and the newest heading of CHANGELOG.md together; exit 1 where they differ."""

from __future__ import annotations

import re
import sys
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


def main() -> int:
    """Compare the two; prints what differs and where."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    newest = re.search(r"^## \[([^\]]+)\]", (ROOT / "CHANGELOG.md").read_text(), flags=re.MULTILINE)
    if newest is None:
        print("CHANGELOG.md: no heading of the form `## [1.2.3] - date`", file=sys.stderr)
        return 1
    if newest[1] != project:
        print(f"pyproject.toml says {project}, the newest entry of CHANGELOG.md {newest[1]}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
