"""JSON documents for people as well as programs: indented, with a newline at the end."""

from __future__ import annotations

from typing import Any

import msgspec


def indented(value: Any) -> bytes:
    """`value`, a Struct or what JSON knows, as UTF-8: `indented({"a": 1})` is `b'{\\n  "a": 1\\n}\\n'`.

    Raises TypeError for what JSON has no form for. NaN and infinities become null.
    """
    return msgspec.json.format(msgspec.json.encode(value), indent=2) + b"\n"
