"""Write the reference pages that are made of what the code says of itself: `python scripts/write_references.py`.

    docs/cli.md                the commands, from their click options
    docs/serving-options.md    the server's settings, from `onnxpress.serving.settings`
    docs/recipe-reference.md   a recipe's fields, from the types of `onnxpress.training`

tests/end_to_end/test_references.py fails while a page is not what this would write.
"""

from __future__ import annotations

import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
if __name__ == "__main__":
    sys.path.insert(0, str(ROOT))

from scripts.references import cli, recipe, serving_options  # noqa: E402

PAGES = {
    "docs/cli.md": cli.page,
    "docs/serving-options.md": serving_options.page,
    "docs/recipe-reference.md": recipe.page,
}


def main() -> None:
    """Write every page, and name those that changed."""
    for name, page in PAGES.items():
        path, text = ROOT / name, page()
        if not path.exists() or path.read_text(encoding="utf-8") != text:
            path.write_text(text, encoding="utf-8")
            print(name)


if __name__ == "__main__":
    main()
