"""What the console script `onnxpress` calls: the command line, imported without looking for garbage.

What modules define stays. Looking through it again and again meanwhile was a thirtieth of a server's start.
"""

from __future__ import annotations

import gc
from typing import NoReturn


def main() -> NoReturn:
    """Run the command line and exit; see `cli.main`. The garbage collector is on again when the command begins."""
    gc.disable()
    from onnxpress.core import cli

    cli.main()
