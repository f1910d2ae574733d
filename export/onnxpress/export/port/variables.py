"""Which variable of a written call holds what, and when its name is free again."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator

from onnxpress.export.port.code import identifier
from onnxpress.export.port.layout import Value
from onnxpress.export.port.steps import Block, Ref, Shown, Step, refs, uses

_SHORT = 52
_UNTOLD = re.compile(
    r"\d$|(^|[._])(dense|conv\dd(_transpose)?|depthwise|pointwise|depthwise_conv\dd|(batch|layer|group|unit)_normalization"
    r"|(global_)?(max|average)_pooling\dd|(spatial_)?dropout(\dd)?|embedding|lstm|gru|bidirectional|activation)$"
)
"""layers whose names tell what they are and nothing of their answers, which are not called by them"""
_JOINING = (
    "add", "sub", "mul", "floor_divide", "remainder", "mod", "lt", "le", "gt", "ge", "eq", "ne", "where", "maximum",
    "minimum", "cat", "stack",
)  # fmt: skip


class Variables:
    """The variables of one block's call, and its lines so far."""

    def __init__(self, block: Block) -> None:
        self.block = block
        self.step: Step = block.steps[0]
        self.values: dict[int, Value] = {}
        self.lines: list[str] = []
        self.left = uses(block.steps)
        """step → how often its value is still to be read"""
        self.names: dict[str, int] = {}
        """variable → the step whose value it holds"""
        self._held: dict[int, set[int]] = {}
        """a step whose value is an expression still to be placed → the steps that are read where it is placed"""
        self._read_now: set[int] = set()
        self._is_writing = False

    def reads(self, step: Step) -> None:
        """The values that the step takes are read once more, with what stands in those that are expressions."""
        self._read_now, self._is_writing = set(), True
        for ref in refs((step.args, step.kwargs)):
            self._let_go(ref.number)

    def _let_go(self, number: int) -> None:
        self.left[number] -= 1
        self._read_now.add(number)
        if not self.left[number]:
            for inner in self._held.pop(number, ()):
                self._let_go(inner)

    def fresh(self, name: str) -> str:
        """A variable that holds nothing any more that is needed."""
        return self._first_free(
            name, lambda wanted: self._is_left(wanted) or (self._is_writing and self._readings(wanted) > 0)
        )

    def _first_free(self, name: str, is_taken: Callable[[str], bool]) -> str:
        """`name`, or it with a number: `x_2` is followed by `x_3`, not by `x_2_2`."""
        stem, _, tail = name.rpartition("_")
        stem, number = (stem, int(tail)) if stem in self.names and tail.isdigit() and int(tail) > 1 else (name, 1)
        wanted = name
        while wanted in self.names and is_taken(wanted):
            number += 1
            wanted = f"{stem}_{number}"
        self.names[wanted] = self.step.number
        return wanted

    def _is_left(self, name: str) -> bool:
        return self.left.get(self.names[name], 0) > 0

    def target(self, name: str) -> str:
        """A variable of the line that reads what the step takes: what is read there for the last time may go."""
        self._is_writing = False
        return self.fresh(name)

    def beside(self, name: str) -> str:
        """The same for a line before the step's own: `name` itself may be a variable that the step reads once."""
        return self._first_free(name, lambda wanted: self._is_left(wanted) or self._readings(wanted) > (wanted == name))

    def _readings(self, name: str) -> int:
        """How many of the values that the step takes are written with this variable."""
        word = re.compile(rf"\b{name}\b")
        taken = [self.values.get(ref.number) for ref in refs((self.step.args, self.step.kwargs))]
        return sum(any(word.search(code) for code in _codes(value)) for value in taken)

    def is_second_read(self) -> bool:
        """Whether something reads the second of what the step computes: the state, the scores."""
        ref = Ref(self.step.number)
        return any(
            ref in refs((s.args, s.kwargs)) and not (s.name == "getitem" and s.args == (ref, 0))
            for s in self.block.steps
        )

    def meets_tensors(self) -> bool:
        """Whether what the step computes, or one item of it, is joined or compared with other tensors."""
        mine = {self.step.number}
        for step in self.block.steps:
            if step.name in ("getitem", "reshape", "unsqueeze", "squeeze", "transpose", "expand") and mine & {
                ref.number for ref in refs(step.args[:1])
            }:
                mine.add(step.number)
        return any(
            step.kind == "function" and step.name in _JOINING and mine & numbers and numbers - mine
            for step in self.block.steps
            for numbers in [{ref.number for ref in refs((step.args, step.kwargs))}]
        )

    def bind(self, value: Value, step: Step) -> Value:
        """The value under a variable, or as an expression where it is used once and short.

        What an expression reads keeps its variables until the expression is placed.
        """
        self._is_writing = False
        found = self._bound(value, step)
        if self.names.get(found.code) != step.number:
            self._held[step.number] = self._read_now
            for number in self._read_now:
                self.left[number] += 1
        return found

    def _bound(self, value: Value, step: Step) -> Value:
        used = self.left.get(step.number, 0)
        trivial = value.code.isidentifier() or (value.code.startswith("self.") and "(" not in value.code)
        several = value.parts is not None or value.items is not None
        if several or value.number is not None or used == 0 or (trivial and value.parameter):
            return value
        if (trivial and not step.variables) or self._is_held(value, step):
            return value
        if used == 1 and type(self.block.owner).__name__ == "Sequential" and "ops." not in value.code:
            return value
        if used == 1 and not step.variables and len(value.code) <= _SHORT and value.code.count("(") <= 3:
            return value
        name = self._variable(step)
        if trivial and value.code == name:
            self.names[name] = step.number
            return value
        self.lines.append(f"{name} = {value.code}")
        value.code, value.bare = name, True
        return value

    def _is_held(self, value: Value, step: Step) -> bool:
        """Whether a variable holds just this already: its own, or that of what it alone takes this part of."""
        holder = self.names.get(value.code)
        if holder == step.number:
            return True
        same = [s for s in self.block.steps if s.name == "getitem" and s.args == step.args]
        if holder is None or same != [step] or step.args[0] != Ref(holder) or value.code != step.variables[0]:
            return False
        self.names[value.code] = step.number
        return True

    def _variable(self, step: Step) -> str:
        if step.variables:
            name = step.variables[0]
        else:
            mine = {ref.number for ref in refs((step.args, step.kwargs))}
            held = [name for name, number in self.names.items() if number in mine and self._is_alike(number, step)]
            name = next((n for n in held if not self.left.get(self.names[n])), None) or (
                step.name.split(".")[-1] if step.kind != "function" and not _UNTOLD.search(step.name) else "x"
            )
        name = identifier(name)
        holder = self.names.get(name)
        if holder is not None and self.left.get(holder, 0) > 0:
            other = next((s for s in self.block.steps if s.number == holder), None)
            alias = next((v for v in (other.variables if other else ()) if v != name and v not in self.names), None)
            value = self.values.get(holder)
            pending = any(holder in numbers for numbers in self._held.values())  # an expression has the old name in it
            if alias is not None and not pending and value is not None and value.code == name:
                self.lines.append(f"{alias} = {name}")
                value.code = alias
                self.names[alias] = holder
                del self.names[name]
        return self.fresh(name)

    def _is_alike(self, number: int, step: Step) -> bool:
        """Whether the value is a tensor of the step's kind: numbers of words are not called as their vectors."""
        value = self.values.get(number)
        if value is None or not isinstance(value.shown, Shown):
            return False
        return not isinstance(step.shown, Shown) or value.shown.dtype == step.shown.dtype


def _codes(value: Value | None) -> Iterator[str]:
    """All code that reads the value."""
    if value is not None:
        yield from (value.code, value.mask, *(value.items or ()))
        for part in value.parts or ():
            yield from _codes(part)
