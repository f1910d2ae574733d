"""Lines of Python as `ruff format` writes them: a statement that is too long is broken at its outermost brackets."""

from __future__ import annotations

import ast
import math
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


def wrapped(line: str, indent: int) -> list[str]:
    """The statement in as many lines as it needs, indented by `indent` spaces."""
    pad = " " * indent
    if len(pad + line) <= WIDTH or line.startswith("#"):
        return [pad + line]
    spans = brackets(line)
    before, expression = _halves(line)
    is_short = bool(spans) and len(pad) + spans[-1][0] < WIDTH
    if expression and (not is_short or not _breaks_at_its_end(expression)):
        inner = pad + "    " + expression
        lines = [inner] if len(inner) <= WIDTH else _by_operators(expression, indent + 4)
        if lines:
            return [f"{pad}{before}(", *lines, f"{pad})"]
    if not spans:
        return [pad + line]
    start, end = spans[-1]
    head, body, tail = line[: start + 1], line[start + 1 : end], line[end:]
    if not body or len(pad + head) > WIDTH:
        return [pad + line]
    inner = pad + "    "
    parts = parts_of(body)
    is_comprehension = " for " in body and len(parts) == 1
    is_collection = len(parts) > 1 and not re.search(r"[\w)\]]$", head[:-1])
    if len(inner + body) <= WIDTH and not (body.endswith(",") or is_collection or head.startswith("def ")):
        return [pad + head, inner + body, pad + tail]
    if is_comprehension:
        before, _, after = body.partition(" for ")
        return [pad + head, *wrapped(before, indent + 4), f"{inner}for {after}", pad + tail]
    lines = [pad + head]
    for part in parts:
        lines += wrapped(part + "," * (len(parts) > 1), indent + 4)
    return [*lines, pad + tail]


def _halves(line: str) -> tuple[str, str]:
    """`x = ` and the expression behind it, of an assignment or a return; empty ones of another line."""
    match = re.match(r"^((?:self\.)?\w+(?:, \w+)* = |return )(?![\[{(]+$)(.*)$", line)
    return (match[1], match[2]) if match else ("", "")


_BINDING: dict[type, int] = {
    ast.Pow: 2, ast.Mult: 4, ast.Div: 4, ast.MatMult: 4, ast.FloorDiv: 4, ast.Mod: 4, ast.Add: 5, ast.Sub: 5,
    ast.BitAnd: 7, ast.BitOr: 9,
}  # fmt: skip
"""how loosely an operator binds"""


def _breaks_at_its_end(expression: str) -> bool:
    """Whether a long expression is broken within its last bracket, not put into brackets of its own, as ruff does."""
    try:
        node = ast.parse(expression, mode="eval").body
    except SyntaxError:  # several values
        return True
    if isinstance(node, ast.Tuple | ast.List | ast.Dict | ast.ListComp):
        return True
    found: list[int] = []
    _operators(node, expression, found)
    if not found:
        return True
    loosest = max(found)
    if found.count(loosest) > 1:
        return False
    return loosest == 1 or expression[-1] in ")]}" or expression[0] in "([{"


def _operators(node: ast.expr, source: str, found: list[int]) -> None:
    """How loosely the operators outside of all brackets bind; 1 of a method of what a call or brackets give."""
    while isinstance(node, ast.Call | ast.Subscript | ast.Attribute):
        if isinstance(node, ast.Attribute) and (
            isinstance(node.value, ast.Call | ast.Subscript) or source[(node.value.end_col_offset or 0)] == ")"
        ):
            found.append(1)
        node = node.func if isinstance(node, ast.Call) else node.value
    if node.col_offset and source[node.col_offset - 1] == "(":
        return
    if isinstance(node, ast.BinOp):
        found.append(_BINDING.get(type(node.op), 6))
        _operators(node.left, source, found)
        _operators(node.right, source, found)
    elif isinstance(node, ast.Compare):
        found.append(10)
    elif isinstance(node, ast.UnaryOp):
        _operators(node.operand, source, found)


def _by_operators(expression: str, indent: int) -> list[str]:
    """Each operand of the loosest operator, or call of a chain, on a line of its own; empty where there is none."""
    node = ast.parse(expression, mode="eval").body
    if not isinstance(node, ast.BinOp):
        return _by_calls(node, expression, indent)
    level = _BINDING.get(type(node.op), 6)
    cuts: list[int] = []
    while isinstance(node, ast.BinOp) and _BINDING.get(type(node.op), 6) == level:
        cuts.append(node.left.end_col_offset or 0)
        if (node.left.end_col_offset or 0) < len(expression) and expression[node.left.end_col_offset or 0] == ")":
            cuts[-1] += 1
            break
        node = node.left
    pieces, end = [], len(expression)
    for cut in cuts:
        pieces.append(expression[cut:end].strip())
        end = cut
    pieces.append(expression[:end])
    return [line for piece in reversed(pieces) for line in wrapped(piece, indent)]


def _by_calls(node: ast.expr, expression: str, indent: int) -> list[str]:
    """`x.reshape(2, 3)`, `.permute(1, 0)` one below the other."""
    cuts = [len(expression)]
    while isinstance(node, ast.Call | ast.Subscript | ast.Attribute):
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Call | ast.Subscript):
            cuts.append(node.value.end_col_offset or 0)
        node = node.func if isinstance(node, ast.Call) else node.value
    if len(cuts) < 3:
        return []
    pieces = [expression[start:end] for end, start in zip(cuts, [*cuts[1:], 0], strict=True)][::-1]
    return [" " * indent + piece for piece in pieces]


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


_DROPPED = "\0dropped"


def names(code: str) -> set[str]:
    """The variables that the code reads."""
    return set(re.findall(r"(?<![\w.\"'])[A-Za-z_]\w*", code))


def brackets(line: str) -> list[tuple[int, int]]:
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


def parts_of(body: str) -> list[str]:
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
