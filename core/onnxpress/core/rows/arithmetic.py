"""Arithmetic on single sizes, as far as it is exact for every size, in whole numbers and in floats alike."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from onnxpress.core.rows.sizes import Polynomial, Size, exact, has, positive
from onnxpress.core.rows.values import Element


def fold(operator: str, arguments: Sequence[Element], batch: str) -> Any:
    """The result for one element; None where it is unknown but the same for every batch; else NotImplemented."""
    floating = any(isinstance(argument, float) for argument in arguments)
    if floating:
        arguments = [int(one) if isinstance(one, float) and one.is_integer() else one for one in arguments]
    found = FOLDED[operator](*arguments) if all(map(_number, arguments)) else _choice(operator, arguments)
    if operator == "Div" and found is NotImplemented and not floating:
        found = _rounded(*arguments)
    if found is not NotImplemented:
        return float(found) if floating and isinstance(found, int) and not isinstance(found, bool) else found
    return NotImplemented if any(_counts(argument, batch) for argument in arguments) else None


def _choice(operator: str, arguments: Sequence[Element]) -> Any:
    if operator == "Where" and isinstance(arguments[0], bool):
        return arguments[1] if arguments[0] else arguments[2]
    if operator in ("Not", "And", "Or", "Identity") and all(isinstance(argument, bool) for argument in arguments):
        return _LOGIC[operator](*arguments)
    return NotImplemented


def _number(element: Element) -> bool:
    return isinstance(element, Polynomial) or (isinstance(element, int) and not isinstance(element, bool))


def _counts(element: Element, batch: str) -> bool:
    return isinstance(element, Polynomial) and has(element, batch)


def _divided(one: Size, other: Size) -> Any:
    quotient = exact(one, other)
    return NotImplemented if quotient is None else quotient


def _rounded(one: Element, other: Element) -> Any:
    """Whole numbers are divided downwards; a number that is written as one is of a whole type."""
    plain = isinstance(one, int) and isinstance(other, int) and one >= 0 < other
    return one // other if plain and isinstance(one, int) and isinstance(other, int) else NotImplemented


def _remainder(one: Size, other: Size) -> Any:
    if isinstance(one, int) and isinstance(other, int) and one >= 0 < other:
        return one % other
    return NotImplemented if exact(one, other) is None else 0


def _sign(size: Size) -> int | None:
    """1, 0 or -1 where the difference of two sizes has that sign whatever the sizes are."""
    if isinstance(size, int):
        return (size > 0) - (size < 0)
    if positive(size):
        return 1
    return -1 if positive(-size) else None


def _compared(wanted: dict[int, bool]) -> Any:
    def compare(one: Size, other: Size) -> Any:
        sign = _sign(one - other)
        return NotImplemented if sign is None else wanted[sign]

    return compare


def _extreme(wanted: int) -> Any:
    def choose(*sizes: Size) -> Any:
        found = sizes[0]
        for size in sizes[1:]:
            sign = _sign(size - found)
            if sign is None:
                return NotImplemented
            found = size if sign == wanted else found
        return found

    return choose


def _unknown(*_: Size) -> Any:
    return NotImplemented


def _absolute(size: Size) -> Any:
    sign = _sign(size)
    return NotImplemented if sign is None else size * sign


_LOGIC: dict[str, Any] = {
    "Not": lambda one: not one,
    "And": lambda one, other: one and other,
    "Or": lambda one, other: one or other,
    "Identity": lambda one: one,
}

FOLDED: dict[str, Any] = {
    "Add": lambda one, other: one + other,
    "Sub": lambda one, other: one - other,
    "Mul": lambda one, other: one * other,
    "Div": _divided,
    "Mod": _remainder,
    "Neg": lambda one: -one,
    "Abs": _absolute,
    "Min": _extreme(-1),
    "Max": _extreme(1),
    "Floor": lambda one: one,
    "Ceil": lambda one: one,
    "Round": lambda one: one,
    "Equal": _compared({-1: False, 0: True, 1: False}),
    "Greater": _compared({-1: False, 0: False, 1: True}),
    "GreaterOrEqual": _compared({-1: False, 0: True, 1: True}),
    "Less": _compared({-1: True, 0: False, 1: False}),
    "LessOrEqual": _compared({-1: True, 0: True, 1: False}),
    "Not": _unknown,
    "And": _unknown,
    "Or": _unknown,
    "Where": _unknown,
}
"""operator → what it does with sizes; each is called with numbers only"""
