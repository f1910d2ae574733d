"""Classes of which some have parts, or a sum with what they are given, that others have not, laid side by side."""

from __future__ import annotations

import itertools
import re
from collections import Counter
from dataclasses import dataclass, field

NUMBER = re.compile(r"(?<![\w.\"])(?:\d+(?:\.\d+)?(?:e-?\d+)?|\x01)(?![\w.])")
UNTOLD = "\x01"
"""stands for a number of a part that a class has not"""
_UNSAID = {"strides": "1", "dilation_rate": "1", "stride": "1", "padding": "0", "dilation": "1"}
"""what a constructor leaves out where it is this, in the order in which it is said"""
_SAID = re.compile(rf", ({'|'.join(_UNSAID)})=(\d+|\x01)(?=[,)])")
_TOKEN = re.compile(rf"{_SAID.pattern}|({NUMBER.pattern})|.")
_MADE = re.compile(r"        self\.(\w+) = ")
_SUM = re.compile(r"(        return )(\w+) \+ (.+)")
_MARK = re.compile(r"\x02(\d+)\x03")
"""the place of a number of the whole's call"""


@dataclass
class Alike:
    """The same lines of several classes, but for their numbers, and what only some have."""

    rows: list[list[str]]
    """each class's lines, with those of all parts; the numbers of a part that it has not are `UNTOLD`"""
    flags: dict[str, tuple[bool, ...]] = field(default_factory=dict)
    """an argument that says whether there are these parts → what it is in each class"""
    parts: dict[str, list[str]] = field(default_factory=dict)
    """such an argument → the attributes that are an identity without it"""
    adds: str = ""
    """the argument that says whether the last line adds what the block is given"""


_CALLS = ("    def call(", "    def forward(")


def halves(lines: list[str]) -> tuple[list[str], list[str]]:
    """What stands before the call, and the call."""
    cut = next(n for n, line in enumerate(lines) if line.startswith(_CALLS))
    return lines[:cut], lines[cut:]


def numbers(lines: list[str]) -> list[str]:
    """All numbers behind the first line."""
    return [found for line in lines[1:] for found in NUMBER.findall(line)]


def alike(classes: list[list[str]]) -> Alike | None:
    """The classes side by side; None where they differ in more than numbers and parts."""
    if not all(any(line.startswith(_CALLS) for line in one) for one in classes):
        return None  # one that only holds layers and weights
    longest = max(map(len, classes))
    for whole in (one for one in classes if len(one) == longest):
        found = _beside(whole, classes)
        if found is not None:
            return found
    return None


def _beside(whole: list[str], classes: list[list[str]]) -> Alike | None:
    """All classes as lines of the one that has all parts."""
    init, call = halves(whole)
    found = Alike([])
    inits, calls = [], []
    missing: list[frozenset[str]] = []
    for one in classes:
        mine = _laid(init, halves(one)[0])
        if mine is None:
            return None
        lines, left_out = mine
        inits.append(lines)
        missing.append(left_out)
    adding = []
    for one, left_out in zip(classes, missing, strict=True):
        compared = _compared(call, halves(one)[1], left_out)
        if compared is None:
            return None
        calls.append(compared[0])
        adding.append(compared[1])
    _flag(found, init, missing, adding)
    found.rows = [[*a, *b] for a, b in zip(_with_said(inits), _with_said(calls), strict=True)]
    return found


def _flag(found: Alike, init: list[str], missing: list[frozenset[str]], adding: list[bool]) -> None:
    """Name the arguments that say what there is; parts that go together have one."""
    by_rows: dict[tuple[bool, ...], list[str]] = {}
    for line in init:
        match = _MADE.match(line)
        rows = tuple(match[1] not in left_out for left_out in missing) if match else ()
        if match is not None and not all(rows):
            by_rows.setdefault(rows, []).append(match[1])
    for rows, parts in by_rows.items():
        name = parts[0] if len(parts) == 1 else f"with_{parts[0]}"
        found.flags[name], found.parts[name] = rows, parts
    if not all(adding):
        known = next((name for name, mine in found.flags.items() if mine == tuple(adding)), None)
        found.adds = known or ("adds_input" if any("self.residual = " in line for line in init) else "residual")
        found.flags[found.adds] = tuple(adding)


def _laid(whole: list[str], init: list[str]) -> tuple[list[str], frozenset[str]] | None:
    """The lines as those of the whole, and the attributes that they have not."""
    lines, left_out = [], set()
    mine = iter(init)
    line = next(mine, None)
    for wanted in whole:
        if line is not None and masked(line)[0] == masked(wanted)[0]:
            lines.append(line)
            line = next(mine, None)
        elif (match := _MADE.match(wanted)) is not None:
            lines.append(NUMBER.sub(UNTOLD, wanted))
            left_out.add(match[1])
        else:
            return None
    return None if line is not None else (lines, frozenset(left_out))


def _compared(whole: list[str], call: list[str], left_out: frozenset[str]) -> tuple[list[str], bool] | None:
    """The whole's call with the numbers of this one, which has not these parts; and whether it adds as the whole."""
    places = itertools.count()
    marked = [whole[0], *(NUMBER.sub(lambda _: f"\x02{next(places)}\x03", line) for line in whole[1:])]
    less = _without(marked, left_out)
    if less is None:
        return None
    mine = canonical(call)
    ways = [(less, True)]
    if match := _SUM.fullmatch(less[-1]):
        ways.append(([*less[:-1], f"{match[1]}{match[3]}"], False))
    for lines, adds in ways:
        theirs = canonical(lines)
        if [_MARK.sub("0", line) for line in theirs] != [NUMBER.sub("0", line) for line in mine]:
            continue
        marks = [int(mark) for line in theirs for mark in _MARK.findall(line)]
        values = dict(zip(marks, (value for line in mine for value in NUMBER.findall(line)), strict=True))
        if len(values) == next(places):
            return [_MARK.sub(lambda match: values[int(match[1])], line) for line in marked], adds  # noqa: B023
        return None
    return None


def _without(call: list[str], parts: frozenset[str]) -> list[str] | None:
    """The call with each part's argument in its place; None where one is called in another way than once, with one."""
    if not parts:
        return call
    text = "\n".join(call)
    for _ in parts:
        text, count = re.subn(rf"self\.({'|'.join(parts)})\((\w+)\)", r"\2", text)
        if not count:
            break
    left = re.search(rf"self\.({'|'.join(parts)})\b", text)
    each = all(len(re.findall(rf"self\.{part}\b", "\n".join(call))) == 1 for part in parts)
    return text.split("\n") if left is None and each else None


def canonical(call: list[str]) -> list[str]:
    """The call without the names that its author chose: what is read once stands where it is read.

    Of a call with a loop or a branch the lines as they are.
    """
    head, lines = call[0], [line.strip() for line in call[1:] if not line.strip().startswith("#")]
    if any(line.endswith(":") for line in lines):
        return call
    found: list[tuple[list[str], str]] = []
    now: dict[str, str] = {}
    for number, line in enumerate(lines):
        match = _ASSIGNED.fullmatch(line)
        targets, value = (match[1].split(", "), match[2]) if match else ([], line)
        value = _VARIABLE.sub(lambda name: now.get(name[0], name[0]), value)  # noqa: B023
        if match and len(targets) == 1 and _VARIABLE.fullmatch(value):
            now[targets[0]] = value  # a second name of the same
            continue
        fresh = [f"v{number}_{place}" for place in range(len(targets))]
        now |= dict(zip(targets, fresh, strict=True))
        found.append((fresh, value))
    uses = Counter(name for _, value in found for name in _VARIABLE.findall(value))
    inlined: dict[str, str] = {}
    kept, order = [], dict[str, str]()
    for targets, value in found:
        value = _VARIABLE.sub(lambda name: inlined.get(name[0], name[0]), value)
        if len(targets) == 1 and uses[targets[0]] == 1:
            inlined[targets[0]] = value if _is_atom(value) else f"({value})"
            continue
        order |= {name: f"v{len(order) + place}" for place, name in enumerate(targets)}
        kept.append(f"{', '.join(targets)} = {value}" if targets else value)
    return [head, *(_VARIABLE.sub(lambda name: order.get(name[0], name[0]), line) for line in kept)]


_ASSIGNED = re.compile(r"(\w+(?:, \w+)*) = (.*)")
_VARIABLE = re.compile(r"(?<![\w.\"'])[A-Za-z_]\w*(?!\w|=[^=])")


def _is_atom(code: str) -> bool:
    """Whether it is a name, or one call and nothing behind it."""
    name = re.match(r"[\w.]+", code)
    rest = code[name.end() :] if name else code
    if name is None or not rest:
        return name is not None
    depth = 0
    for place, sign in enumerate(rest):
        depth += (sign in "([{") - (sign in ")]}")
        if depth == 0:
            return rest[0] == "(" and place == len(rest) - 1
    return False


def _with_said(rows: list[list[str]]) -> list[list[str]]:
    """Each line with what is left out in it and said in another class's."""
    found = []
    for lines in zip(*rows, strict=True):
        said = {place for line in lines for place in masked(line)[1]}
        found.append([_said(line, said) for line in lines])
    return [list(row) for row in zip(*found, strict=True)]


def masked(line: str) -> tuple[str, set[tuple[int, str]]]:
    """The line without what could be left out, its numbers as 0; and where something stands that could be."""
    text, said = "", set()
    for match in _TOKEN.finditer(line):
        if match[1]:
            said.add((len(text), match[1]))
        else:
            text += "0" if match[3] else match[0]
    return text, said


def _said(line: str, said: set[tuple[int, str]]) -> str:
    """The line, at each of these places what is left out there."""
    default = {name: UNTOLD if UNTOLD in line else value for name, value in _UNSAID.items()}
    text, place, given = "", 0, dict[str, str]()
    for match in [*_TOKEN.finditer(line), None]:
        if match is not None and match[1]:
            given[match[1]] = match[2]
            continue
        wanted = [name for name in _UNSAID if (place, name) in said]
        text += "".join(f", {name}={given.get(name, default[name])}" for name in wanted)
        given = {}
        if match is not None:
            text += match[0]
            place += 1
    return text
