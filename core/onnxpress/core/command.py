"""What the console script `onnxpress` calls: the command line, imported without looking for garbage.

What modules define stays. Looking through it again and again meanwhile was a thirtieth of a server's start.
"""

from __future__ import annotations

import gc
import sys
from typing import NoReturn


def main() -> NoReturn:
    """Run the command line and exit; see `cli.main`. The garbage collector is on again when the command begins."""
    gc.disable()
    if sys.argv[1:2] == ["serve"]:
        _import_msgspec()
    from onnxpress.core import cli

    cli.main()


def _import_msgspec() -> None:
    """Without typing_extensions, where that is installed: 10 ms for three names that `typing` has as well."""
    if "typing_extensions" not in sys.modules:
        sys.modules["typing_extensions"] = None  # type: ignore[assignment]
        try:
            import msgspec  # noqa: F401
        finally:
            del sys.modules["typing_extensions"]
