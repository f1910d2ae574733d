"""Code of the written modules: literals, names, calls, and the form in which ruff leaves a module."""

from __future__ import annotations

import keyword
import math
import re
import subprocess
import sys
from collections.abc import Iterable
from typing import Any

from onnxpress.core.optional import require

LOWEST = "-3.4028234663852886e38"
"""of float32; a written Keras module has it under this name"""


def literal(value: Any) -> str:
    """A number, text or tuple as it is written; floats as short as they can be read back in float32."""
    if isinstance(value, bool) or value is None:
        return repr(value)
    if isinstance(value, float):
        if not math.isfinite(value):
            return f'float("{value}")' if value > 0 or value != value else '-float("inf")'
        short = repr(float(f"{value:.9g}")) if float(f"{value:.9g}") == value else repr(value)
        return short.replace("e+", "e")
    if isinstance(value, str):
        return '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"'
    if isinstance(value, tuple):
        return tuple_of(map(literal, value))
    if isinstance(value, list):
        return "[" + ", ".join(literal(item) for item in value) + "]"
    return repr(value)


def attribute(owner: str, path: str) -> str:
    """What a dotted path is in code from `owner` on: `model.layers[0].weight`."""
    return owner + "".join(f"[{part}]" if part.isdigit() else f".{part}" for part in path.split("."))


def factor(value: Any) -> str:
    """A number in a product: `8**-0.5` of what scales one over eight features."""
    if isinstance(value, float) and 0.01 < value < 0.58 and len(repr(value)) > 8:
        whole = round(value**-2)
        if abs(value / whole**-0.5 - 1) < 1e-15:  # the same but for the last bit of a float64
            return f"{whole}**-0.5"
    return literal(value)


def short(value: tuple[int, ...]) -> Any:
    """One number where all are the same, as frameworks take sizes."""
    return value[0] if len(set(value)) == 1 else value


def tuple_of(items: Iterable[str]) -> str:
    """`(a, b)`, `(a,)` of what is code already."""
    parts = list(items)
    return f"({', '.join(parts)}{',' * (len(parts) == 1)})"


def snake(name: str) -> str:
    """`own_class` of OwnClass, as Keras calls a layer that is given no name."""
    return re.sub("([a-z])([A-Z])", r"\1_\2", re.sub("(.)([A-Z][a-z]+)", r"\1_\2", name)).lower()


def call(function: str, *args: Any, **kwargs: Any) -> str:
    """`function(a, b, name=c)` of what is code already."""
    return f"{function}({', '.join([*map(str, args), *(f'{key}={value}' for key, value in kwargs.items())])})"


def sliced(start: str, stop: str, step: str = "") -> str:
    """`1:n`, and `n + 1 :` with spaces where a bound is more than a name or a number."""
    parts = [start, stop, step] if step else [start, stop]
    if all(re.fullmatch(r"-?\w*", part) for part in parts):
        return ":".join(parts)
    return " : ".join(parts).strip().replace(":  :", "::")


def power(base: str, exponent: str) -> str:
    """`x**2`, with spaces where an operand is more than a name or a number."""
    is_simple = all(re.fullmatch(r"-?[\w.]+", part) for part in (base, exponent))
    return f"{base}**{exponent}" if is_simple else f"{base} ** {exponent}"


def formatted(module: str) -> str:
    """The module as `ruff format` writes it with its defaults. Raises MissingExtra where ruff is not installed."""
    require("ruff", needed_by="port")
    command = [sys.executable, "-m", "ruff", "format", "--isolated", "--no-cache", "--quiet", "-"]
    return subprocess.run(command, input=module, capture_output=True, text=True, encoding="utf-8", check=True).stdout


def without_unused(lines: list[str], returned: str) -> list[str]:
    """The lines of a call without values that nothing reads; of several at once such a one is called `_`."""
    needed = names(returned)
    kept: list[str] = []
    for line in reversed(lines):
        match = re.match(r"^((?:\w+, )*\w+) = (.*)$", line)
        if match is None:  # a comment, or a loop, which reads and writes the same
            if not line.startswith("#") or kept:
                kept.append(line)
            needed |= names(line) if not line.startswith("#") else set()
            continue
        targets = match[1].split(", ")
        if not needed & set(targets):
            kept.append(_DROPPED)
            continue
        shown = ", ".join(name if name in needed else "_" for name in targets)
        needed = (needed - set(targets)) | names(match[2])
        kept.append(f"{shown} = {match[2]}")
    found: list[str] = []
    for line in reversed(kept):
        if line == _DROPPED:
            while found and found[-1].startswith("#"):  # the comment was about it
                found.pop()
        else:
            found.append(line)
    return found


def without_unread(lines: list[str], returned: str) -> list[str]:
    """The lines of a call, in which of several values at once one that nothing reads is called `_` in loops too."""
    found = []
    for place, line in enumerate(lines):
        match = re.match(r"^( +)((?:\w+, )+\w+) = (.*)$", line)
        if match is not None:
            read = names(returned) | names(match[3])
            read = read.union(*(names(_read_part(other)) for n, other in enumerate(lines) if n != place))
            shown = ", ".join(name if name in read else "_" for name in match[2].split(", "))
            line = f"{match[1]}{shown} = {match[3]}"
        found.append(line)
    return found


def _read_part(line: str) -> str:
    """What a line reads: all of it, but for the names that it gives to values."""
    match = re.match(r"^ *(?:\w+, )*\w+ = (.*)$", line)
    return match[1] if match is not None else line


_DROPPED = "\0dropped"


def names(code: str) -> set[str]:
    """The variables that the code reads."""
    return set(re.findall(r"(?<![\w.\"'])[A-Za-z_]\w*", code))


def identifier(text: str) -> str:
    """A name of Python out of a layer's path or a file's name."""
    name = re.sub(r"\W+", "_", text).strip("_") or "x"
    name = f"{name}_" if keyword.iskeyword(name) else name
    return f"layer_{name}" if name[0].isdigit() else name
