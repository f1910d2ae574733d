"""Where in a user's own code an error came from."""

from __future__ import annotations

import os
import traceback
from collections.abc import Callable


def own_frame(error: BaseException, is_inside: Callable[[str], bool]) -> traceback.FrameSummary | None:
    """The innermost frame that the error came through whose file is the user's; `is_inside` says which are not."""
    own = [frame for frame in traceback.extract_tb(error.__traceback__) if not is_inside(frame.filename)]
    return own[-1] if own else None


def place(frame: traceback.FrameSummary | None) -> str:
    """`nets.py:12` of a frame; empty of none."""
    return "" if frame is None else f"{os.path.basename(frame.filename)}:{frame.lineno}"
