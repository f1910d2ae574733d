"""Names → the function that reads or writes what they name, put together by decorators."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

Function = TypeVar("Function", bound=Callable[..., object])


def registering(into: dict[str, Function], names: tuple[str, ...]) -> Callable[[Function], Function]:
    """A decorator that keeps its function in `into`, under each of the names."""

    def registered(function: Function) -> Function:
        for name in names:
            into[name] = function
        return function

    return registered
