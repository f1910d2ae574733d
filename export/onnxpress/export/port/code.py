"""Lines of Python as `ruff format` writes them: a statement that is too long is broken at its outermost brackets."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

WIDTH = 88
_OPEN, _CLOSE = "([{", ")]}"


def literal(value: Any) -> str:
    """A number, text or tuple as it is written; floats as short as they can be read back in float32."""
    if isinstance(value, bool) or value is None:
        return repr(value)
    if isinstance(value, float):
        return repr(float(f"{value:.9g}")) if float(f"{value:.9g}") == value else repr(value)
    if isinstance(value, str):
        return '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"'
    if isinstance(value, tuple):
        return tuple_of(map(literal, value))
    if isinstance(value, list):
        return "[" + ", ".join(literal(item) for item in value) + "]"
    return repr(value)


def tuple_of(items: Iterable[str]) -> str:
    """`(a, b)`, `(a,)` of what is code already."""
    parts = list(items)
    return f"({', '.join(parts)}{',' * (len(parts) == 1)})"


def call(function: str, *args: Any, **kwargs: Any) -> str:
    """`function(a, b, name=c)` of what is code already."""
    return f"{function}({', '.join([*map(str, args), *(f'{key}={value}' for key, value in kwargs.items())])})"


def wrapped(line: str, indent: int) -> list[str]:
    """The statement in as many lines as it needs, indented by `indent` spaces."""
    pad = " " * indent
    if len(pad + line) <= WIDTH or line.startswith("#"):
        return [pad + line]
    spans = _brackets(line)
    if not spans:
        return [pad + line]
    start, end = spans[-1]
    head, body, tail = line[: start + 1], line[start + 1 : end], line[end:]
    if not body or len(pad + head) > WIDTH:
        return [pad + line]
    inner = pad + "    "
    parts = _parts(body)
    is_comprehension = " for " in body and len(parts) == 1
    if len(inner + body) <= WIDTH and not body.endswith(",") and not head.startswith("def "):
        return [pad + head, inner + body, pad + tail]
    if is_comprehension:
        before, _, after = body.partition(" for ")
        return [pad + head, *wrapped(before, indent + 4), f"{inner}for {after}", pad + tail]
    lines = [pad + head]
    for part in parts:
        lines += wrapped(part + "," * (len(parts) > 1), indent + 4)
    return [*lines, pad + tail]


def without_unused(lines: list[str], returned: str) -> list[str]:
    """The lines of a call without values that nothing reads; of several at once such a one is called `_`."""
    needed = _names(returned)
    kept: list[str] = []
    for line in reversed(lines):
        match = re.match(r"^((?:\w+, )*\w+) = (.*)$", line)
        if match is None:  # a comment, or a loop, which reads and writes the same
            if not line.startswith("#") or kept:
                kept.append(line)
            needed |= _names(line) if not line.startswith("#") else set()
            continue
        targets = match[1].split(", ")
        if not needed & set(targets):
            kept.append(_DROPPED)
            continue
        shown = ", ".join(name if name in needed else "_" for name in targets)
        needed = (needed - set(targets)) | _names(match[2])
        kept.append(f"{shown} = {match[2]}")
    found: list[str] = []
    for line in reversed(kept):
        if line == _DROPPED:
            while found and found[-1].startswith("#"):  # the comment was about it
                found.pop()
        else:
            found.append(line)
    return found


_DROPPED = "\0dropped"


def _names(code: str) -> set[str]:
    return set(re.findall(r"(?<![\w.\"'])[A-Za-z_]\w*", code))


def _brackets(line: str) -> list[tuple[int, int]]:
    """The outermost brackets that hold something."""
    found, depth, start, text = [], 0, 0, ""
    for place, sign in enumerate(line):
        if text:
            text = "" if sign == text and line[place - 1] != "\\" else text
        elif sign in "\"'":
            text = sign
        elif sign in _OPEN:
            if depth == 0:
                start = place
            depth += 1
        elif sign in _CLOSE:
            depth -= 1
            if depth == 0 and place > start + 1:
                found.append((start, place))
    return found


def _parts(body: str) -> list[str]:
    """What stands between the commas of one depth."""
    parts, depth, start, text = [], 0, 0, ""
    for place, sign in enumerate(body):
        if text:
            text = "" if sign == text and body[place - 1] != "\\" else text
        elif sign in "\"'":
            text = sign
        elif sign in _OPEN:
            depth += 1
        elif sign in _CLOSE:
            depth -= 1
        elif sign == "," and depth == 0:
            parts.append(body[start:place].strip())
            start = place + 1
    last = body[start:].strip()
    return [*parts, last] if last else parts


def identifier(text: str) -> str:
    """A name of Python out of a layer's path or a file's name."""
    name = re.sub(r"\W+", "_", text).strip("_") or "x"
    return f"layer_{name}" if name[0].isdigit() else name
