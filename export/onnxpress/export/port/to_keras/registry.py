"""Which function writes which of torch's functions."""

from __future__ import annotations

from collections.abc import Callable

from onnxpress.export.port.layout import Value
from onnxpress.export.port.registry import registering

FUNCTIONS: dict[str, Callable[..., Value]] = {}


def function(name: str) -> Callable[[Callable[..., Value]], Callable[..., Value]]:
    """Register how the function of this name is written; its arguments are named as torch names them."""
    return registering(FUNCTIONS, (name,))
