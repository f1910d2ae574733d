"""Which function writes which layer and which operation of Keras."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

LAYERS: dict[str, Callable[..., Any]] = {}
OPERATIONS: dict[str, Callable[..., Any]] = {}


def layer(*names: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Register how Keras's layers of these names are written: (builder, layer, *what it is called with)."""
    return _registered(LAYERS, names)


def operation(*names: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Register how the operations of these names are written; an operation holds its settings as attributes."""
    return _registered(OPERATIONS, names)


def _registered(
    into: dict[str, Callable[..., Any]], names: tuple[str, ...]
) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    def registered(write: Callable[..., Any]) -> Callable[..., Any]:
        for name in names:
            into[name] = write
        return write

    return registered
