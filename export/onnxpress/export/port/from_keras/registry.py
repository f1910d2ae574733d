"""Which function writes which layer and which operation of Keras."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from onnxpress.export.port.registry import registering

LAYERS: dict[str, Callable[..., Any]] = {}
OPERATIONS: dict[str, Callable[..., Any]] = {}


def layer(*names: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Register how Keras's layers of these names are written: (builder, layer, *what it is called with)."""
    return registering(LAYERS, names)


def operation(*names: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Register how the operations of these names are written; an operation holds its settings as attributes."""
    return registering(OPERATIONS, names)
