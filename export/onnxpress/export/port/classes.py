"""Classes that differ in their sizes alone, or in a part that some have not, written once with arguments."""

from __future__ import annotations

import itertools
import re
from collections import Counter
from collections.abc import Sequence
from fractions import Fraction

from onnxpress.export.port.alike import NUMBER, UNTOLD, Alike, alike, halves, numbers

_MOST, _MOST_OF_MANY = 4, 6
"""arguments of what is two classes, and of more; of classes that differ in more each is written"""
_NAMES = (
    (r"Linear\($", "in_features"),
    (r"Linear\(\d+, $", "out_features"),
    (r"nn\.Conv(Transpose)?\dd\($", "in_channels"),
    (r"nn\.Conv(Transpose)?\dd\(\d+, $", "out_channels"),
    (r"nn\.Conv(Transpose)?\dd\(\d+, \d+, $", "kernel_size"),
    (r"nn\.(BatchNorm|InstanceNorm)\dd\($", "channels"),
    (r"nn\.(LSTM|GRU|RNN)(Cell)?\($", "input_size"),
    (r"nn\.(LSTM|GRU|RNN)(Cell)?\(\d+, $", "hidden_size"),
    (r"Dense\($|LSTM\($|GRU\($|RNN\($|Cell\($", "units"),
    (r"\bConv\dD(Transpose)?\($", "filters"),
    (r"Dropout(\dd)?\($", "rate"),
    (r"MultiHeadAttention\($", "heads"),
    (r"strides?=$", "stride"),
    (r"dilation(_rate)?=$", "dilation"),
    (r"groups=$", "groups"),
    (r"Padding\dD\($|padding=$", "padding"),
    (r"MultiHeadAttention\(\d+, $", "key_dim"),
    (r"Conv\dD(Transpose)?\(\d+, $|DepthwiseConv\dD\($", "kernel_size"),
    (r"Pool(ing)?\d[Dd]\($", "pool_size"),
)
_LATE = ("padding", "groups", "channels")
"""these follow from others, where they do"""
_ALONE = ("stride", "dilation", "kernel_size", "pool_size", "rate", "heads")
"""these follow from nothing"""
_BY_PLACE = 2
_DEFAULTS = {"stride": "1", "dilation": "1"}


def merged(classes: dict[str, list[str]], others: Sequence[list[str]], bases: dict[str, str]) -> dict[str, str]:
    """Let one class take the place of several, in place. `others` hold calls of them too, and are changed likewise.

    `bases` says what each class is called without a number behind it: only those of one name become one. Returns what
    each class is called now.
    """
    now = {name: name for name in classes}
    for name in list(classes):
        for other in list(classes):
            both = name != other and bases[name] == bases[other] and name in classes and other in classes
            if both and _fits(classes, [name, other]):
                every = _with_more(classes, bases, name, other)
                _merge(classes, others, every)
                now |= {old: name for old, new in now.items() if new in every}
    renamed = _number_anew(classes, others, bases)
    return {old: renamed.get(new, new) for old, new in now.items()}


def _with_more(classes: dict[str, list[str]], bases: dict[str, str], name: str, other: str) -> list[str]:
    """Both, and all others that can be one class with them."""
    every = [name, other]
    for third in (one for one in classes if one not in (name, other) and bases[one] == bases[name]):
        if _fits(classes, [*every, third]):
            every.append(third)
    return every


def _fits(classes: dict[str, list[str]], every: list[str]) -> bool:
    """Whether one class with a few arguments can be all of these."""
    found = _beside(classes, every)
    return found is not None and _arguments(found) is not None


def _beside(classes: dict[str, list[str]], every: list[str]) -> Alike | None:
    return alike([[classes[one][0].replace(f"class {one}(", f"class {every[0]}("), *classes[one][1:]] for one in every])


def _merge(classes: dict[str, list[str]], others: Sequence[list[str]], every: list[str]) -> None:
    found = _beside(classes, every)
    assert found is not None
    arguments = _arguments(found)
    assert arguments is not None
    names, written = arguments
    given = {one: _given(names, row) for row, one in enumerate(every)}
    classes[every[0]] = _with_arguments(found, names, written)
    for other in every[1:]:
        del classes[other]
    for lines in (*classes.values(), *others):
        lines[:] = [_called(line, every[0], given) for line in lines]


def _default(names: dict[str, tuple[str, ...]], name: str) -> str | None:
    """What a class that is called without the argument takes for it; of a first size there is no such."""
    values = names[name]
    if set(values) <= {"True", "False"}:
        return "False"
    default = _DEFAULTS.get(name)
    return default if default in values and name != next(iter(names)) else None


def _given(names: dict[str, tuple[str, ...]], row: int) -> str:
    """What a call gives: two that must be given by their places, the others by name, and none that is the default."""
    found = []
    for place, (name, values) in enumerate(names.items()):
        default = _default(names, name)
        if values[row] != default:
            found.append(values[row] if place < _BY_PLACE and default is None else f"{name}={values[row]}")
    return ", ".join(found)


def _number_anew(classes: dict[str, list[str]], others: Sequence[list[str]], bases: dict[str, str]) -> dict[str, str]:
    """Numbers without a gap behind the names of those that are left; the names that this changes."""
    counts: Counter[str] = Counter()
    new: dict[str, str] = {}
    for name in classes:
        counts[bases[name]] += 1
        new[name] = bases[name] + (str(counts[bases[name]]) if counts[bases[name]] > 1 else "")
    if set(new.values()) & (set(bases.values()) - set(new.values())) or len(set(new.values())) < len(new):
        return {}
    renamed = {old: name for old, name in new.items() if old != name}
    if not renamed:
        return {}
    word = re.compile(rf"(?<![\w.\"])({'|'.join(renamed)})(?=\()")
    for lines in (*classes.values(), *others):
        lines[:] = [word.sub(lambda match: renamed[match[1]], line) for line in lines]
    left = [(new[name], lines) for name, lines in classes.items()]
    classes.clear()
    classes.update(left)
    return renamed


def _arguments(found: Alike) -> tuple[dict[str, tuple[str, ...]], dict[int, str]] | None:
    """The arguments with their values in each class, and what is written in the place of each number that differs."""
    names: dict[str, tuple[str, ...]] = {}
    written: dict[int, str] = {}
    lines = found.rows[0]
    begins = len(halves(lines)[0])
    columns = list(zip(*map(numbers, found.rows), strict=True))
    places = [(n, line[: match.start()]) for n, line in enumerate(lines[1:], 1) for match in NUMBER.finditer(line)]
    spelled = [next(row for row in found.rows if UNTOLD not in row[n])[n] for n in range(len(lines))]
    told = [m for n, line in enumerate(spelled[1:], 1) for m in [line[: k.start()] for k in NUMBER.finditer(line)]]
    differing = [n for n, values in enumerate(columns) if len(set(values)) > 1]
    of_call = 0
    order = sorted(differing, key=lambda n: (UNTOLD in columns[n], places[n][0] >= begins, _named(told[n]) in _LATE))
    for number in order:
        values = columns[number]
        base = _named(told[number])
        known = _of_part(names, values, base) if UNTOLD in values else _known(names, values, base)
        if base == "channels" and UNTOLD in values:  # of what the convolution before answers
            before = [n for n in range(number) if _named(told[n]) == "out_channels" and columns[n] == values]
            known = written.get(before[-1], known) if before else known
        if known is None:
            if UNTOLD in values:
                return None
            of_call += places[number][0] >= begins
            known, count = base, 2
            while known in names:
                known, count = f"{base}_{count}", count + 1
            names[known] = values
        written[number] = known
    if set(names) & set(found.flags):
        return None
    names |= {name: tuple(str(one) for one in mine) for name, mine in found.flags.items()}
    most = _MOST if len(found.rows) < 3 else _MOST_OF_MANY
    if len(names) > most or of_call > 1:
        return None
    names = dict(sorted(names.items(), key=lambda item: (item[0] in found.flags, item[0] in _DEFAULTS)))
    late = {name: values for name, values in names.items() if _default(names, name) is not None}
    return {**{name: values for name, values in names.items() if name not in late}, **late}, written


def _of_part(names: dict[str, tuple[str, ...]], values: tuple[str, ...], base: str) -> str | None:
    """The number of a part that some have not: as an argument of its kind says, the same always, or as another says."""
    rows = [n for n, value in enumerate(values) if value != UNTOLD]
    mine = tuple(values[n] for n in rows)
    less = {name: tuple(given[n] for n in rows) for name, given in names.items()}
    of_kind = {name: given for name, given in less.items() if name.startswith(base)}
    if (same := next((name for name, given in of_kind.items() if given == mine), None)) is not None:
        return same
    if len(set(mine)) == 1:
        return mine[0]
    return _known(less, mine, base)


def _known(names: dict[str, tuple[str, ...]], values: tuple[str, ...], base: str) -> str | None:
    """The values as they follow from one argument, or from two that are multiplied."""
    names = {name: given for name, given in names.items() if _may_follow(base, name)}
    for name, other in names.items():
        if _ratio(other, values):
            return _expression(name, other, values)
    kernels = names.get("kernel_size", ())
    if base == "padding" and kernels and [str(int(k) // 2) for k in kernels if k.isdigit()] == list(values):
        return "kernel_size // 2"
    for (name, one), (second, other) in itertools.combinations(names.items(), 2):
        whole = all(v.isdigit() for v in (*one, *other, *values))
        if whole and [int(a) * int(b) for a, b in zip(one, other, strict=True)] == [int(v) for v in values]:
            return f"{name} * {second}"
    return None


def _may_follow(base: str, name: str) -> bool:
    """Whether a person would say the one by the other: a stride is no part of a number of features."""
    alone = next((kind for kind in _ALONE if name.startswith(kind)), None)
    return base in ("size", "padding") or (base if base in _ALONE else None) == alone


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


_HEAD = re.compile(r"    def __init__\(self(, \*\*options)?\):")


def _with_arguments(found: Alike, names: dict[str, tuple[str, ...]], written: dict[int, str]) -> list[str]:
    """The class with its arguments; those that its `call` reads become attributes."""
    lines = next(row for row in found.rows if not any(UNTOLD in line for line in row))
    if not names:  # it is the other's very code, once what both call is one class
        return lines
    init, call = halves(lines)
    number = -1
    kept: set[str] = set()

    def replaced(match: re.Match[str]) -> str:
        nonlocal number
        number += 1
        return written.get(number, match[0])

    def read(match: re.Match[str]) -> str:
        new = replaced(match)
        if new == match[0]:
            return new
        kept.update(set(re.findall(r"[a-z_]\w*", new)))
        return re.sub(r"([a-z_]\w*)", r"self.\1", new)

    init = [init[0], *(NUMBER.sub(replaced, line) for line in init[1:])]
    call = [_SLICE.sub(_spaced, NUMBER.sub(read, line)) for line in call]
    if found.adds:
        kept.add(found.adds)
        call[-1:] = _in_two_ways(call[-1], found.adds)
    is_keras = "nn.Module" not in init[0]
    head = next((n for n, line in enumerate(init) if _HEAD.match(line)), len(init))
    if head == len(init):  # a class without layers
        init += ["", f"        super().__init__({'**options' if is_keras else ''})", ""]
    given = [f"{name}={default}" if (default := _default(names, name)) else name for name in names]
    init[head] = f"    def __init__({', '.join(['self', *given, *(['**options'] if is_keras else [])])}):"
    init = _with_identities(init, found.parts, "layers.Identity()" if is_keras else "nn.Identity()")
    init[head + 2 : head + 2] = [f"        self.{name} = {name}" for name in names if name in kept]
    return [*init, *call]


def _in_two_ways(line: str, flag: str) -> list[str]:
    """`return x + y` where the flag says so, and else `return y`."""
    return [f"        if self.{flag}:", f"    {line}", f"        return {line.partition(' + ')[2]}"]


def _with_identities(init: list[str], parts: dict[str, list[str]], identity: str) -> list[str]:
    """Each argument's parts under an `if`, with what stands in their place else."""
    found: list[str] = []
    by_part = {part: flag for flag, mine in parts.items() for part in mine}
    flags = [by_part.get(match[1]) if (match := re.match(r"        self\.(\w+) = ", line)) else None for line in init]
    for flag, lines in itertools.groupby(zip(flags, init, strict=True), key=lambda pair: pair[0]):
        mine = [line for _, line in lines]
        if flag is None:
            found += mine
            continue
        found += [f"        if {flag}:", *(f"    {line}" for line in mine), "        else:"]
        found += [f"    {line.partition(' = ')[0]} = {identity}" for line in mine]
    return found


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
