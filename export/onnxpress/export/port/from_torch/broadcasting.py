"""Values that are expanded for an operation that broadcasts them anyway, as in `x * weights.expand_as(x)`."""

from __future__ import annotations

import dataclasses
import functools
from typing import Any

import numpy as np

from onnxpress.export.port.steps import Ref, Shape, Shown, Step, changed, refs

_BROADCASTS = (
    "add", "sub", "mul", "div", "floor_divide", "remainder", "pow", "maximum", "minimum", "where", "masked_fill",
    "eq", "ne", "lt", "le", "gt", "ge", "logical_and", "logical_or", "logical_xor",
)  # fmt: skip
_EXPANDS = ("expand", "expand_as", "broadcast_to")


def unexpanded(steps: list[Step]) -> list[Step]:
    """The steps, each that broadcasts its operands given them as they were before they were expanded.

    An operand stays expanded where the result would be smaller without. One without axes stays so too: torch's
    result has another dtype then.
    """
    by_number = {step.number: step for step in steps}
    before = {
        step.number: step.args[0]
        for step in steps
        if step.kind == "function" and step.name in _EXPANDS and isinstance(step.args[0], Ref)
    }
    found = []
    for step in steps:
        if step.kind == "function" and step.name in _BROADCASTS and isinstance(step.shown, Shown):
            for ref in dict.fromkeys(refs((step.args, step.kwargs))):
                step = _with(step, ref, before, by_number)
        found.append(step)
    return found


def _with(step: Step, ref: Ref, before: dict[int, Ref], by_number: dict[int, Step]) -> Step:
    """The step with what this operand was before it was expanded, if it comes to the same."""
    plain = ref
    while plain.number in before:
        plain = before[plain.number]
    shown = by_number[plain.number].shown
    if plain == ref or not isinstance(shown, Shown) or not shown.rank:
        return step
    args, kwargs = changed((step.args, step.kwargs), functools.partial(_replaced, ref, plain))
    operands = [by_number[one.number].shown for one in refs((args, kwargs))]
    tensors = [one for one in operands if isinstance(one, Shown)]
    same = all(
        _broadcast([getattr(one, side) for one in tensors]) == getattr(step.shown, side) for side in ("first", "second")
    )
    return dataclasses.replace(step, args=args, kwargs=kwargs) if same else step


def _replaced(ref: Ref, plain: Ref, value: Any) -> Any:
    return plain if value == ref else value


def _broadcast(shapes: list[Shape]) -> Shape:
    return tuple(np.broadcast_shapes(*shapes))
