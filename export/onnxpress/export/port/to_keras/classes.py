"""Classes that differ in their sizes alone, written once, with the sizes as arguments."""

from __future__ import annotations

import re
from collections.abc import Sequence
from fractions import Fraction

_NUMBER = re.compile(r"(?<![\w.\"])\d+(?:\.\d+)?(?:e-?\d+)?(?![\w.])")
_MOST = 4
"""arguments; of classes that differ in more each is written"""
_NAMES = (
    (r"Dense\($|LSTM\($|GRU\($|RNN\($|Cell\($", "units"),
    (r"Conv\dD(Transpose)?\($", "filters"),
    (r"Dropout\($", "rate"),
    (r"like_torch\($", "fan_in"),
    (r"MultiHeadAttention\($", "heads"),
    (r"strides=$", "stride"),
    (r"dilation_rate=$", "dilation"),
    (r"(Conv\dD|MultiHeadAttention)\(\d+, $|Pooling\dD\($", "size"),
)


def merged(classes: dict[str, list[str]], others: Sequence[list[str]]) -> None:
    """Let one class take the place of several, in place. `others` hold calls of them too, and are changed likewise."""
    for name in list(classes):
        if name not in classes:
            continue
        alike = [other for other in classes if other != name and _alike(classes, name, other)]
        if not alike:
            continue
        every = [name, *alike]
        columns = list(zip(*(_numbers(classes[one]) for one in every), strict=True))
        arguments = _arguments(classes[name], columns)
        if arguments is None:
            continue
        names, written = arguments
        given = {one: ", ".join(values[row] for values in names.values()) for row, one in enumerate(every)}
        classes[name] = _with_arguments(classes[name], list(names), written)
        for other in alike:
            del classes[other]
        for lines in (*classes.values(), *others):
            lines[:] = [_called(line, name, given) for line in lines]


def _alike(classes: dict[str, list[str]], name: str, other: str) -> bool:
    """Whether `other` is `name` with another number behind it, and the same but for numbers of its `__init__`."""
    if re.fullmatch(re.escape(name) + r"\d+", other) is None:
        return False
    (init, call), (other_init, other_call) = _halves(classes[name]), _halves(classes[other])
    renamed = [line.replace(f"class {other}(", f"class {name}(") for line in other_init]
    return call == other_call and [_NUMBER.sub("0", x) for x in init] == [_NUMBER.sub("0", x) for x in renamed]


def _halves(lines: list[str]) -> tuple[list[str], list[str]]:
    cut = next(n for n, line in enumerate(lines) if line.startswith("    def call("))
    return lines[:cut], lines[cut:]


def _numbers(lines: list[str]) -> list[str]:
    return [found for line in _halves(lines)[0][1:] for found in _NUMBER.findall(line)]


def _arguments(
    lines: list[str], columns: list[tuple[str, ...]]
) -> tuple[dict[str, tuple[str, ...]], dict[int, str]] | None:
    """The arguments with their values in each class, and what is written in the place of each number that differs."""
    names: dict[str, tuple[str, ...]] = {}
    written: dict[int, str] = {}
    places = [(line, match) for line in _halves(lines)[0][1:] for match in _NUMBER.finditer(line)]
    differing = [n for n, values in enumerate(columns) if len(set(values)) > 1]
    # The initialisers' sizes follow from others, where they do.
    for number in sorted(differing, key=lambda n: places[n][0][: places[n][1].start()].endswith("like_torch(")):
        values = columns[number]
        known = next((_expression(name, other, values) for name, other in names.items() if _ratio(other, values)), None)
        if known is None:
            line, match = places[number]
            known = base = _named(line[: match.start()])
            count = 2
            while known in names:
                known, count = f"{base}_{count}", count + 1
            names[known] = values
        written[number] = known
    return (names, written) if len(names) <= _MOST else None


def _named(before: str) -> str:
    return next((name for pattern, name in _NAMES if re.search(pattern, before)), "size")


def _ratio(known: tuple[str, ...], values: tuple[str, ...]) -> Fraction | None:
    """The whole number that each value is of the known one, or a half and so on; None where there is no one such."""
    if any("." in value or "e" in value for value in (*known, *values)) or "0" in known:
        return Fraction(1) if known == values else None
    ratios = {Fraction(int(value), int(other)) for value, other in zip(values, known, strict=True)}
    only = ratios.pop()
    return only if not ratios and only and 1 in (only.numerator, only.denominator) else None


def _expression(name: str, known: tuple[str, ...], values: tuple[str, ...]) -> str:
    ratio = _ratio(known, values)
    assert ratio is not None
    if ratio == 1:
        return name
    return f"{ratio} * {name}" if ratio > 1 else f"{name} // {ratio.denominator}"


def _with_arguments(lines: list[str], names: list[str], written: dict[int, str]) -> list[str]:
    init, call = _halves(lines)
    number = -1

    def replaced(match: re.Match[str]) -> str:
        nonlocal number
        number += 1
        return written.get(number, match[0])

    found = [init[0], *(_NUMBER.sub(replaced, line) for line in init[1:])]
    head = next(n for n, line in enumerate(found) if line.startswith("    def __init__(self"))
    found[head] = f"    def __init__(self, {', '.join(names)}, **options):"
    return [*found, *call]


def _called(line: str, name: str, given: dict[str, str]) -> str:
    """The line with every call of one of the classes as a call of `name` with its arguments."""

    def call(match: re.Match[str]) -> str:
        arguments = given[match[1]]
        return f"{name}({arguments}" + ("" if match[2] else ", ") + match[2]

    pattern = rf"(?<!class )\b({'|'.join(map(re.escape, given))})\((\)?)"
    return re.sub(pattern, call, line)
