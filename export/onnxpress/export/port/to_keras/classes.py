"""Classes that differ in their sizes alone, written once, with the sizes as arguments."""

from __future__ import annotations

import itertools
import re
from collections import Counter
from collections.abc import Sequence
from fractions import Fraction

_NUMBER = re.compile(r"(?<![\w.\"])\d+(?:\.\d+)?(?:e-?\d+)?(?![\w.])")
_UNSAID = {"strides": "1", "dilation_rate": "1"}
"""what a constructor leaves out where it is one"""
_SAID = re.compile(rf", ({'|'.join(_UNSAID)})=(\d+)")
_TOKEN = re.compile(rf"{_SAID.pattern}|({_NUMBER.pattern})|.")
_MOST = 4
"""arguments; of classes that differ in more each is written"""
_NAMES = (
    (r"Dense\($|LSTM\($|GRU\($|RNN\($|Cell\($", "units"),
    (r"\bConv\dD(Transpose)?\($", "filters"),
    (r"Dropout\($", "rate"),
    (r"MultiHeadAttention\($", "heads"),
    (r"strides=$", "stride"),
    (r"dilation_rate=$", "dilation"),
    (r"Padding\dD\($", "padding"),
    (r"MultiHeadAttention\(\d+, $", "key_dim"),
    (r"Conv\dD(Transpose)?\(\d+, $|DepthwiseConv\dD\($", "kernel_size"),
    (r"Pooling\dD\($", "pool_size"),
)
_LATE = ("padding",)
"""this follows from others, where it does"""


def merged(classes: dict[str, list[str]], others: Sequence[list[str]], bases: dict[str, str]) -> None:
    """Let one class take the place of several, in place. `others` hold calls of them too, and are changed likewise.

    `bases` says what each class is called without a number behind it: only those of one name become one.
    """
    for name in list(classes):
        for other in list(classes):
            both = name != other and bases[name] == bases[other] and name in classes and other in classes
            if both and _fits(classes, [name, other]):
                _merge(classes, others, _with_more(classes, bases, name, other))
    _number_anew(classes, others, bases)


def _with_more(classes: dict[str, list[str]], bases: dict[str, str], name: str, other: str) -> list[str]:
    """Both, and all others that can be one class with them."""
    every = [name, other]
    for third in (one for one in classes if one not in (name, other) and bases[one] == bases[name]):
        if _fits(classes, [*every, third]):
            every.append(third)
    return every


def _fits(classes: dict[str, list[str]], every: list[str]) -> bool:
    """Whether one class with a few arguments can be all of these."""
    spelled = _spelled(classes, every)
    return spelled is not None and _arguments(spelled[0], _columns(spelled)) is not None


def _columns(spelled: list[list[str]]) -> list[tuple[str, ...]]:
    """Each number of the classes' lines as it is in each of them."""
    return list(zip(*map(_numbers, spelled), strict=True))


def _merge(classes: dict[str, list[str]], others: Sequence[list[str]], every: list[str]) -> None:
    spelled = _spelled(classes, every)
    assert spelled is not None
    arguments = _arguments(spelled[0], _columns(spelled))
    assert arguments is not None
    names, written = arguments
    given = {one: ", ".join(values[row] for values in names.values()) for row, one in enumerate(every)}
    classes[every[0]] = _with_arguments(spelled[0], list(names), written)
    for other in every[1:]:
        del classes[other]
    for lines in (*classes.values(), *others):
        lines[:] = [_called(line, every[0], given) for line in lines]


def _number_anew(classes: dict[str, list[str]], others: Sequence[list[str]], bases: dict[str, str]) -> None:
    """Numbers without a gap behind the names of those that are left."""
    counts: Counter[str] = Counter()
    new: dict[str, str] = {}
    for name in classes:
        counts[bases[name]] += 1
        new[name] = bases[name] + (str(counts[bases[name]]) if counts[bases[name]] > 1 else "")
    if set(new.values()) & (set(bases.values()) - set(new.values())) or len(set(new.values())) < len(new):
        return
    renamed = {old: name for old, name in new.items() if old != name}
    if not renamed:
        return
    word = re.compile(rf"(?<![\w.\"])({'|'.join(renamed)})(?=\()")
    for lines in (*classes.values(), *others):
        lines[:] = [word.sub(lambda match: renamed[match[1]], line) for line in lines]
    left = [(new[name], lines) for name, lines in classes.items()]
    classes.clear()
    classes.update(left)


def _spelled(classes: dict[str, list[str]], every: list[str]) -> list[list[str]] | None:
    """The lines of the classes, which differ in numbers alone once what is left out is said; None where they do not."""
    found = [[lines[0].replace(f"class {one}(", "class \0("), *lines[1:]] for one in every for lines in [classes[one]]]
    if len({len(lines) for lines in found}) > 1:
        return None
    rows = []
    for row in zip(*found, strict=True):
        masked = [_masked(line) for line in row]
        if len({text for text, _ in masked}) > 1:
            return None
        said = {place for _, places in masked for place in places}
        rows.append([_with_said(line, said) for line in row])
    columns = [list(lines) for lines in zip(*rows, strict=True)]
    return [[lines[0].replace("\0", every[0]), *lines[1:]] for lines in columns]


def _masked(line: str) -> tuple[str, set[tuple[int, str]]]:
    """The line without what could be left out, its numbers as 0; and where something stands that could be."""
    text, said = "", set()
    for match in _TOKEN.finditer(line):
        if match[1]:
            said.add((len(text), match[1]))
        else:
            text += "0" if match[3] else match[0]
    return text, said


def _with_said(line: str, said: set[tuple[int, str]]) -> str:
    """The line, at each of these places what is left out there."""
    mine = _masked(line)[1]
    text, place = "", 0
    for match in _TOKEN.finditer(line):
        if not match[1]:
            text += "".join(f", {name}={_UNSAID[name]}" for at, name in sorted(said - mine) if at == place)
            place += 1
        text += match[0]
    return text


def _halves(lines: list[str]) -> tuple[list[str], list[str]]:
    cut = next(n for n, line in enumerate(lines) if line.startswith("    def call("))
    return lines[:cut], lines[cut:]


def _numbers(lines: list[str]) -> list[str]:
    return [found for line in lines[1:] for found in _NUMBER.findall(line)]


def _arguments(
    lines: list[str], columns: list[tuple[str, ...]]
) -> tuple[dict[str, tuple[str, ...]], dict[int, str]] | None:
    """The arguments with their values in each class, and what is written in the place of each number that differs."""
    names: dict[str, tuple[str, ...]] = {}
    written: dict[int, str] = {}
    init = _halves(lines)[0]
    places = [(n, line[: match.start()]) for n, line in enumerate(lines[1:], 1) for match in _NUMBER.finditer(line)]
    differing = [n for n, values in enumerate(columns) if len(set(values)) > 1]
    of_call = 0
    for number in sorted(differing, key=lambda n: (places[n][0] >= len(init), _named(places[n][1]) in _LATE)):
        values, (line, before) = columns[number], places[number]
        known = _known(names, values)
        if known is None:
            of_call += line >= len(init)
            known = base = _named(before)
            count = 2
            while known in names:
                known, count = f"{base}_{count}", count + 1
            names[known] = values
        written[number] = known
    return (names, written) if len(names) <= _MOST and of_call <= 1 else None


def _known(names: dict[str, tuple[str, ...]], values: tuple[str, ...]) -> str | None:
    """The values as they follow from one argument, or from two that are multiplied."""
    for name, other in names.items():
        if _ratio(other, values):
            return _expression(name, other, values)
    for (name, one), (second, other) in itertools.combinations(names.items(), 2):
        whole = all(v.isdigit() for v in (*one, *other, *values))
        if whole and [int(a) * int(b) for a, b in zip(one, other, strict=True)] == [int(v) for v in values]:
            return f"{name} * {second}"
    return None


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
    """The class with its arguments; those that its `call` reads become attributes."""
    if not names:  # it is the other's very code, once what both call is one class
        return lines
    init, call = _halves(lines)
    number = -1
    kept: set[str] = set()

    def replaced(match: re.Match[str]) -> str:
        nonlocal number
        number += 1
        return written.get(number, match[0])

    def read(match: re.Match[str]) -> str:
        found = replaced(match)
        if found == match[0]:
            return found
        kept.update(set(re.findall(r"[a-z_]\w*", found)))
        return re.sub(r"([a-z_]\w*)", r"self.\1", found)

    found = [init[0], *(_NUMBER.sub(replaced, line) for line in init[1:])]
    call = [_SLICE.sub(_spaced, _NUMBER.sub(read, line)) for line in call]
    head = next((n for n, line in enumerate(found) if line.startswith("    def __init__(self")), len(found))
    if head == len(found):  # a class without layers
        found += ["", "        super().__init__(**options)", ""]
    found[head] = f"    def __init__(self, {', '.join(names)}, **options):"
    found[head + 2 : head + 2] = [f"        self.{name} = {name}" for name in names if name in kept]
    return [*found, *call]


_SLICE = re.compile(r"(?<=[\[ ])([^\[\],: ]*):([^\[\],:]*)(?=[,\]])")


def _spaced(match: re.Match[str]) -> str:
    """A slice by more than plain numbers, spaced as a formatter does."""
    if "self." not in match[0]:
        return match[0]
    return f"{match[1]} : {match[2]}".strip()


def _called(line: str, name: str, given: dict[str, str]) -> str:
    """The line with every call of one of the classes as a call of `name` with its arguments."""

    def call(match: re.Match[str]) -> str:
        arguments = given[match[1]]
        return f"{name}({arguments}" + (", " if arguments and not match[2] else "") + match[2]

    pattern = rf"(?<!class )\b({'|'.join(map(re.escape, given))})\((\)?)"
    return re.sub(pattern, call, line)
