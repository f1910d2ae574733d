"""Lines that a person would not write out: one for each item of a list, or for each number, become a loop."""

from __future__ import annotations

import keyword
import re

from onnxpress.export.port.code import identifier, names


def folded(lines: list[str], counts: dict[str, int]) -> list[str]:
    """The same lines for one item of a list after the other → a loop; `counts` says how many each list has.

    `x = self.convs[0](x)`, `x = self.norms[0](x)` and the same of 1 become `for conv, norm in zip(...)`, lines that
    differ in a number that counts up `for i in range(...)`, and so does what stands in a list.
    """
    found: list[str] = []
    place = 0
    while place < len(lines):
        for period in range(1, 1 + (len(lines) - place) // 2):
            loop = _loop(lines[place:], period, counts)
            taken = period * counts[_ITEM.findall(lines[place])[0]] if loop else 0
            if not loop:
                loop, taken = _counted(lines[place:], period, counts)
            if loop:
                found += loop
                place += taken
                break
        else:
            found.append(lines[place])
            place += 1
    return [listed(line, counts) for line in found]


_ITEM = re.compile(r"self\.(\w+)\[0\]")


def _loop(lines: list[str], period: int, counts: dict[str, int]) -> list[str]:
    """The loop that the first lines are, `period` of them for each item; empty where they are none."""
    begun, lines = _begun(lines, period)
    if not _ITEM.search(lines[0]) or lines[period] != _ITEM.sub(r"self.\1[1]", lines[0]):
        return []
    body = lines[:period]
    groups = list(dict.fromkeys(group for line in body for group in _ITEM.findall(line)))
    sizes = {counts.get(group, 0) for group in groups}
    if len(sizes) != 1 or (count := sizes.pop()) < 2:
        return []
    for number in range(count):
        wanted = [_ITEM.sub(rf"self.\1[{number}]", line) for line in body]
        if lines[number * period : (number + 1) * period] != wanted:
            return []
    taken = set().union(*map(names, body))
    singles = _singles(groups, taken)
    over = [f"self.{group}" for group in groups]
    items = over[0] if len(over) == 1 else f"zip({', '.join(over)})"
    return [
        *begun,
        f"for {', '.join(singles.values())} in {items}:",
        *("    " + _ITEM.sub(lambda match: singles[match[1]], line) for line in body),
    ]


def _begun(lines: list[str], period: int) -> tuple[list[str], list[str]]:
    """A sum that begins with a number has it before the loop: `total = 0`, where the first line is `total = 0 + x`."""
    begun, found = [], list(lines)
    for place in range(period):
        match = _FROM_A_NUMBER.match(lines[place])
        line = f"{match[1]} = {match[1]}{match[3]}" if match else ""
        if match and lines[place + period] == _ITEM.sub(r"self.\1[1]", line):
            begun.append(f"{match[1]} = {match[2]}")
            found[place] = line
    return begun, found


_FROM_A_NUMBER = re.compile(r"(\w+) = ([\d.]+)( [-+*/@].*)")


_WHOLE = re.compile(r"(?<![\w.\"'-])\d+(?![\w.\"'])")
"""a number that may be counted: none of a name, of a fraction or below zero"""
_FEWEST = 3
"""times that lines are written out before they are counted; of a list's own items two are enough"""


def _counted(lines: list[str], period: int, counts: dict[str, int]) -> tuple[list[str], int]:
    """The loop over numbers that the first lines are, and how many lines it takes the place of."""
    body = lines[:period]
    masks = [_masked(line) for line in body]
    if not any("#" in mask for mask in masks):
        return [], 0
    times = 1
    while _alike(masks, lines[times * period : (times + 1) * period]):
        times += 1
    while times >= _FEWEST:
        each = [lines[n * period : (n + 1) * period] for n in range(times)]
        if (found := _over(each, counts)) is not None:
            head, inner = found
            return [f"for {head}:", *("    " + line for line in inner)], times * period
        times -= 1
    return [], 0


def _alike(masks: list[str], lines: list[str]) -> bool:
    """Whether the lines are these, but for values that are called `_` as nothing reads those of the last turn."""
    if len(lines) < len(masks):
        return False
    for mask, line in zip(masks, lines, strict=True):
        targets, equals, rest = _masked(line).partition(" = ")
        wanted, _, wanted_rest = mask.partition(" = ")
        pairs = list(zip(targets.split(", "), wanted.split(", "), strict=False))
        same = targets.count(", ") == wanted.count(", ") and all(a in ("_", b) for a, b in pairs)
        if _masked(line) != mask and not (equals and same and rest == wanted_rest):
            return False
    return True


def listed(line: str, counts: dict[str, int]) -> str:
    """The line, what is written out in a list as a comprehension."""
    for place, sign in enumerate(line):
        if sign != "[" or (place and re.match(r"[\w)\]]", line[place - 1])):
            continue
        end = next((end for start, end in _brackets(line[place:]) if start == 0), 0) + place
        parts = _parts_of(line[place + 1 : end])
        of_list = any(counts.get(group) == len(parts) > 1 for group in _ITEM.findall(parts[0] if parts else ""))
        if len(parts) < (2 if of_list else _FEWEST) or " for " in parts[0]:
            continue
        if len({_masked(part) for part in parts}) > 1 or not re.search(r"[A-Za-z_]", parts[0]):
            continue
        found = _over([[part] for part in parts], counts)
        if found is not None:
            head, inner = found
            return f"{line[:place]}[{inner[0]} for {head}]{listed(line[end + 1 :], counts)}"
    return line


def _masked(line: str) -> str:
    return line if line.startswith("#") or '"' in line else _WHOLE.sub("#", line)


def _over(each: list[list[str]], counts: dict[str, int]) -> tuple[str, list[str]] | None:
    """`i in range(3)` and the lines of one turn; None where their numbers do not count up."""
    first, times = each[0], len(each)
    columns = list(zip(*([int(v) for line in turn for v in _numbers(line)] for turn in each), strict=True))
    counting = [column for column in columns if len(set(column)) > 1]
    if not counting or any(column != tuple(range(column[0], column[0] + times)) for column in counting):
        return None
    start = min(column[0] for column in counting)
    taken = set().union(*map(names, first))
    index = next((name for name in ("i", "n", "step", "place") if name not in taken), None)
    if index is None:
        return None
    inner, number = [], 0
    for line in first:
        text, last = "", 0
        for match in _WHOLE.finditer(line) if _masked(line) != line or "#" in line else ():
            column = columns[number]
            number += 1
            text += line[last : match.start()]
            last = match.end()
            if len(set(column)) == 1:
                text += match[0]
                continue
            further = column[0] - start
            alone = line[: match.start()].rstrip()[-1:] in "([,=" and line[match.end() :].lstrip()[:1] in ")],"
            if further and not alone:
                return None
            text += f"{index} + {further}" if further else index
        inner.append(text + line[last:])
    return _with_items(inner, index, start, times, counts, taken)


def _numbers(line: str) -> list[str]:
    return [] if _masked(line) == line else _WHOLE.findall(line)


def _with_items(
    inner: list[str], index: str, start: int, times: int, counts: dict[str, int], taken: set[str]
) -> tuple[str, list[str]]:
    """Over the lists themselves, where they are gone through from the first item to the last."""
    item = re.compile(rf"self\.(\w+)\[{index}\]")
    groups = list(dict.fromkeys(group for line in inner for group in item.findall(line)))
    if start or not groups or any(counts.get(group) != times for group in groups):
        bounds = f"{start}, {start + times}" if start else f"{times}"
        return f"{index} in range({bounds})", inner
    singles = _singles(groups, taken | {index})
    inner = [item.sub(lambda match: singles[match[1]], line) for line in inner]
    over = ", ".join(f"self.{group}" for group in groups)
    items = over if len(groups) == 1 else f"zip({over})"
    every = ", ".join(singles.values())
    if not any(index in names(line) for line in inner):
        return f"{every} in {items}", inner
    return f"{index}, {every if len(groups) == 1 else f'({every})'} in enumerate({items})", inner


def _singles(groups: list[str], taken: set[str]) -> dict[str, str]:
    """What one item of each list is called."""
    singles: dict[str, str] = {}
    for group in groups:
        stem = group.rstrip("_")
        single = identifier(stem[:-1]) if stem.endswith("s") and len(stem) > 2 else "layer"
        while single in taken or single in singles.values() or keyword.iskeyword(single):
            single += "_"
        singles[group] = single
    return singles


def said_once(lines: list[str]) -> list[str]:
    """The lines of one call without comments that stand in it already."""
    known: set[str] = set()
    found = []
    for line in lines:
        text = line.strip()
        if text.startswith("#") and text in known:
            continue
        known.add(text)
        found.append(line)
    return found


def without_aliases(lines: list[str], returned: str) -> list[str]:
    """`x_2, scores = f(x)`, `pooled = x_2` → `pooled, scores = f(x)`, where nothing else reads x_2."""
    found: list[str] = []
    for place, line in enumerate(lines):
        match = re.fullmatch(r"([A-Za-z_]\w*) = ([A-Za-z_]\w*)", line)
        before = re.match(r"((?:\w+, )*\w+) = ", found[-1]) if match and found else None
        if match and before:
            targets = before[1].split(", ")
            later = set().union(names(returned), *map(names, lines[place + 1 :]))
            if match[2] in targets and match[1] not in targets and match[2] not in later:
                renamed = ", ".join(match[1] if name == match[2] else name for name in targets)
                found[-1] = f"{renamed} = {found[-1][before.end() :]}"
                continue
        found.append(line)
    return found


_OPEN, _CLOSE = "([{", ")]}"


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


def _parts_of(body: str) -> list[str]:
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
