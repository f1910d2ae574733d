"""Steps grouped into blocks, where the graph's names say so and the data flows through them as through one.

`encoder.layer.0` is a block where its steps, and what lies between them, are no other block's.
"""

from __future__ import annotations

import dataclasses
import itertools
from typing import Any

from torch import nn

from onnxpress.export.port.from_onnx.reader import Reading
from onnxpress.export.port.steps import Block, Ref, Step, refs, renumbered


class Nesting:
    """Of one reading; `owner` holds all layers under their paths."""

    def __init__(self, reading: Reading, owner: nn.Module) -> None:
        self._scopes, self._layers = dict(reading.scopes), reading.layers
        self._owner = owner
        self._numbers = itertools.count(len(reading.steps) + reading.extra)

    def block(self, steps: list[Step], outputs: list[int], path: str = "") -> Block:
        """The block of these steps, those of the blocks in it as one each."""
        children: dict[str, Any] = {}
        for candidate in self._candidates(steps, path):
            if any(_is_below(candidate, taken) for taken in children):
                continue
            members = self._closure(steps, candidate)
            if members is None:
                continue
            inner, outer = self._apart(steps, members, outputs, candidate)
            children[candidate] = inner
            steps, outputs = outer
        cut = len(path) + 1 if path else 0
        steps = [
            dataclasses.replace(s, name=s.name[cut:]) if s.kind in ("layer", "block", "parameter") else s for s in steps
        ]
        for step in steps:
            if step.kind == "layer":
                full = f"{path}.{step.name}" if path else step.name
                children[full] = self._layers[full]
        found = tuple(Ref(number) for number in outputs)
        end = Step(next(self._numbers), "output", "", (found[0] if len(found) == 1 else found,))
        owner = self._owner.get_submodule(path) if path else self._owner
        return Block(owner, [*steps, end], {name[cut:]: child for name, child in children.items()}, path)

    def _candidates(self, steps: list[Step], path: str) -> list[str]:
        """Paths that a block could have, the shortest first."""
        found: dict[str, None] = {}
        for step in steps:
            if step.kind not in ("layer", "parameter"):
                continue
            parts = step.name.split(".")
            for count in range(1, len(parts)):
                prefix = ".".join(parts[:count])
                holder = self._owner.get_submodule(prefix)
                if _is_below(prefix, path) and not isinstance(holder, nn.ModuleList | nn.ModuleDict):
                    found[prefix] = None
        return sorted(found, key=lambda prefix: prefix.count("."))

    def _closure(self, steps: list[Step], candidate: str) -> set[int] | None:
        """The candidate's steps and what lies between them; None where that is another's, or too little."""
        mine = {s.number for s in steps if s.kind != "input" and _is_in(self._scope(s), candidate)}
        behind: set[int] = set(mine)
        for step in steps:
            if any(ref.number in behind for ref in refs((step.args, step.kwargs))):
                behind.add(step.number)
        before: set[int] = set(mine)
        for step in reversed(steps):
            if step.number in before:
                before |= {ref.number for ref in refs((step.args, step.kwargs))}
        found = behind & before
        for step in steps:
            if step.number not in found or step.number in mine:
                continue
            scope = self._scope(step)
            if step.kind != "function" or not (scope == "" or _is_below(candidate, scope)):
                return None
        layers = [s for s in steps if s.number in found and s.kind in ("layer", "block")]
        return found if layers and len(found) > 1 else None

    def _scope(self, step: Step) -> str:
        return step.name if step.kind in ("layer", "block") else self._scopes.get(step.number, "")

    def _apart(
        self, steps: list[Step], members: set[int], outputs: list[int], path: str
    ) -> tuple[Block, tuple[list[Step], list[int]]]:
        """The inner block, and the outer steps and outputs with it as one step."""
        inside = [s for s in steps if s.number in members]
        outside = [s for s in steps if s.number not in members]
        by_number = {s.number: s for s in steps}
        taken = dict.fromkeys(r.number for s in inside for r in refs((s.args, s.kwargs)) if r.number not in members)
        read = {r.number for s in outside for r in refs((s.args, s.kwargs))} | set(outputs)
        given = [s.number for s in inside if s.number in read]
        renamed: dict[int, int] = {}
        inputs = []
        for number, name in zip(taken, _names([by_number[n] for n in taken]), strict=True):
            renamed[number] = next(self._numbers)
            inputs.append(Step(renamed[number], "input", name, shown=by_number[number].shown))
        block = self.block([*inputs, *(renumbered(s, renamed) for s in inside)], given, path)
        number = next(self._numbers)
        args = tuple(Ref(n) for n in taken)
        shown = [by_number[n].shown for n in given]
        called = Step(number, "block", path, args, {}, shown[0] if len(shown) == 1 else tuple(shown))
        found = [called]
        instead: dict[int, int] = {}
        if len(given) == 1:
            instead[given[0]] = number
        for place, old in enumerate(given if len(given) > 1 else []):
            instead[old] = next(self._numbers)
            found.append(Step(instead[old], "function", "getitem", (Ref(number), place), {}, shown[place]))
        outer = _in_order([*(renumbered(s, instead) for s in outside), *found])
        return block, (outer, [instead.get(n, n) for n in outputs])


def _names(steps: list[Step]) -> list[str]:
    """What a block calls its inputs."""
    names: list[str] = []
    plain = iter([*"xyzuvw", *(f"x{n}" for n in range(2, 99))])
    for step in steps:
        name = step.name if step.kind == "input" else ""
        if step.kind == "parameter":
            name = step.name.rpartition(".")[2]
        while not name or name in names:
            name = next(plain)
        names.append(name)
    return names


def _in_order(steps: list[Step]) -> list[Step]:
    """Each behind what it reads, else as they are."""
    known = {s.number for s in steps}
    done: set[int] = set()
    found: list[Step] = []
    left = steps
    while left:
        later = []
        for step in left:
            if all(r.number in done or r.number not in known for r in refs((step.args, step.kwargs))):
                found.append(step)
                done.add(step.number)
            else:
                later.append(step)
        if len(later) == len(left):
            raise AssertionError("the steps read each other in a circle")
        left = later
    return found


def _is_in(scope: str, path: str) -> bool:
    return scope == path or scope.startswith(f"{path}.")


def _is_below(path: str, holder: str) -> bool:
    return path != holder and (not holder or path.startswith(f"{holder}."))
