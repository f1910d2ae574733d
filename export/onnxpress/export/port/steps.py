"""A traced model between the frameworks: a block for each class, and what its call does, step by step."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from onnxpress.core.tensors import TensorSpec

Shape = tuple[int, ...]


@dataclass(frozen=True)
class Ref:
    """The value that a step of the same block computes, by the step's number."""

    number: int


@dataclass(frozen=True)
class Shown:
    """What a value looked like at two sizes of every dimension that varies: where they differ, it varies."""

    first: Shape
    second: Shape
    dtype: str
    hides: bool = False
    """whether every value is 0 or −∞, as of a mask that is added to scores"""

    @property
    def sizes(self) -> tuple[int | None, ...]:
        """Each axis's size, None where it varies."""
        return tuple(a if a == b else None for a, b in zip(self.first, self.second, strict=True))

    @property
    def rank(self) -> int:
        """How many axes."""
        return len(self.first)


@dataclass
class Step:
    """One computation. `kind`: input, layer, block, function, parameter or output.

    `name` is the layer's path within the block, the parameter's, or the function's name in the table. `args` and
    `kwargs` hold Refs, numbers, texts, slices and tuples of these.
    """

    number: int
    kind: str
    name: str
    args: tuple[Any, ...] = ()
    kwargs: dict[str, Any] = field(default_factory=dict)
    shown: Any = None
    """Shown, or a tuple of them where it computes several"""
    variables: tuple[str, ...] = ()
    """what the source's code calls it"""
    where: str = ""
    """`nets.py:12`"""
    comment: str = ""
    """what the written code says above it"""


@dataclass
class Block:
    """The call of one module or layer that is made of others."""

    owner: Any
    """the framework's own object"""
    steps: list[Step]
    children: dict[str, Any]
    """path → Block, or the framework's known layer"""
    where: str = ""
    constants: dict[str, Any] = field(default_factory=dict)
    """arrays that the owner holds beside its parameters, by name"""
    trained_at: str = ""
    """the line from which on it computes something else in training mode; such code is not carried"""
    own_gradients: list[str] = field(default_factory=list)
    """functions with a backward of their own, which is not carried, and their lines"""

    def all_own_gradients(self) -> list[str]:
        """The same of the blocks within."""
        inner = [
            one for child in self.children.values() if isinstance(child, Block) for one in child.all_own_gradients()
        ]
        return list(dict.fromkeys([*self.own_gradients, *inner]))

    draws: list[Any] = field(default_factory=list)
    """of each random number that it draws in training mode what it is for; see from_torch.drawing"""

    def all_draws(self, path: str = "") -> dict[str, list[Any]]:
        """Those of all blocks in it too, by the path of the one that draws."""
        found = {path: self.draws} if self.draws else {}
        for name, child in self.children.items():
            if isinstance(child, Block):
                found |= child.all_draws(f"{path}.{name}" if path else name)
        return found

    def all_trained_at(self) -> list[str]:
        """Those of all blocks in it too."""
        inner = [one for child in self.children.values() if isinstance(child, Block) for one in child.all_trained_at()]
        return [*([self.trained_at] if self.trained_at else []), *inner]

    def all_constants(self, path: str = "") -> dict[str, Any]:
        """Those of all blocks in it too, by their names from here on."""
        found = {f"{path}{name}": value for name, value in self.constants.items()}
        for name, child in self.children.items():
            if isinstance(child, Block):
                found |= child.all_constants(f"{path}{name}.")
        return found


def changed(value: Any, change: Callable[[Any], Any]) -> Any:
    """A step's arguments, what stands within tuples, dicts and slices changed; a list becomes a tuple."""
    if isinstance(value, tuple | list):
        return tuple(changed(item, change) for item in value)
    if isinstance(value, dict):
        return {key: changed(item, change) for key, item in value.items()}
    if isinstance(value, slice):
        return slice(*(changed(item, change) for item in (value.start, value.stop, value.step)))
    return change(value)


def renumbered(step: Step, numbers: dict[int, int]) -> Step:
    """The step reading other steps in the place of these."""
    args, kwargs = (
        changed(part, lambda v: Ref(numbers.get(v.number, v.number)) if isinstance(v, Ref) else v)
        for part in (step.args, step.kwargs)
    )
    return replace(step, args=args, kwargs=kwargs)


def refs(value: Any) -> Iterator[Ref]:
    """All Refs within a step's arguments."""
    if isinstance(value, Ref):
        yield value
    elif isinstance(value, tuple | list):
        for item in value:
            yield from refs(item)
    elif isinstance(value, dict):
        for item in value.values():
            yield from refs(item)
    elif isinstance(value, slice):
        yield from refs((value.start, value.stop, value.step))


def uses(steps: list[Step]) -> dict[int, int]:
    """How often each step's value is used."""
    found: dict[int, int] = {}
    for step in steps:
        for ref in refs((step.args, step.kwargs)):
            found[ref.number] = found.get(ref.number, 0) + 1
    return found


def without_dead(steps: list[Step], answers: Iterable[int] = ()) -> list[Step]:
    """The steps that the output step, or one of these numbers, depends on; inputs always."""
    wanted = set(answers)
    kept = []
    for step in reversed(steps):
        if step.kind in ("input", "output") or step.number in wanted:
            kept.append(step)
            wanted |= {ref.number for ref in refs((step.args, step.kwargs))}
    return kept[::-1]


def shown_of(first: Any, second: Any) -> Any:
    """Shown of a tensor, a tuple of them of several, the two numbers themselves of a size."""
    if hasattr(first, "dtype"):
        dtype = str(first.dtype).removeprefix("torch.")
        is_float = hasattr(first, "is_floating_point") and first.is_floating_point()  # of torch
        hides = is_float and all(bool(((v == 0) | (v == -math.inf)).all()) for v in (first, second))
        return Shown(tuple(first.shape), tuple(second.shape), dtype, hides)
    if isinstance(first, tuple | list):
        return tuple(shown_of(a, b) for a, b in zip(first, second, strict=True))
    return (first, second)


def size_name(pair: tuple[int, int], specs: Sequence[TensorSpec], shown: Sequence[Shown]) -> str:
    """What a size that was `pair` at the two sizes is called among the inputs; `…` of one that follows from them."""
    for spec, one in zip(specs, shown, strict=True):
        for name, both in zip(spec.shape, zip(one.first, one.second, strict=True), strict=True):
            if isinstance(name, str) and both == pair:
                return name
    return "…"
