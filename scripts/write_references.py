"""Write the reference pages that are made of what the code says of itself: `python scripts/write_references.py`.

    docs/cli.md                the commands, from their click options
    docs/serving-options.md    the server's settings, from `onnxpress.serving.settings`
    docs/port-table.md         the correspondences that `port` writes by
    docs/recipe-reference.md   a recipe's fields, from the types of `onnxpress.training`

With --check it writes nothing and fails while a page is not what it would write; so does
tests/end_to_end/test_references.py.
"""

from __future__ import annotations

import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
if __name__ == "__main__":
    sys.path.insert(0, str(ROOT))

from scripts.references import cli, port_table, recipe, serving_options  # noqa: E402

PAGES = {
    "docs/cli.md": cli.page,
    "docs/serving-options.md": serving_options.page,
    "docs/recipe-reference.md": recipe.page,
    "docs/port-table.md": port_table.page,
}


def main() -> None:
    """Write every page that is behind, and name it; with --check, only name it, and exit with 1."""
    behind = [name for name, page in PAGES.items() if _read(ROOT / name) != page()]
    for name in behind:
        if "--check" not in sys.argv:
            (ROOT / name).write_text(PAGES[name](), encoding="utf-8")
        print(name)
    if behind and "--check" in sys.argv:
        raise SystemExit("these pages are not what the code says now; make fix writes them")


def _read(path: Path) -> str:
    return path.read_text(encoding="utf-8") if path.exists() else ""


if __name__ == "__main__":
    main()
