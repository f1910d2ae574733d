"""The names that a graph sees."""

from __future__ import annotations

from onnxpress.core.rows.values import Taint, Value

NOWHERE = Value(taint=Taint("", "", "nothing computes it", False))
"""what is known of a name that no input, constant or earlier node has"""


class Scope:
    """The values of a graph by name, and those of the graphs around it; None for an optional input left out."""

    __slots__ = ("_outer", "_values")

    def __init__(self, outer: Scope | None = None) -> None:
        self._outer = outer
        self._values: dict[str, Value | None] = {}

    def __contains__(self, name: str) -> bool:
        return name in self._values or (self._outer is not None and name in self._outer)

    def __setitem__(self, name: str, value: Value | None) -> None:
        # A runtime that sorts the nodes itself could take either of two values of one name.
        if name in self:
            value = Value(taint=Taint(name, "", "two values have this name", False))
        self._values[name] = value

    def get(self, name: str) -> Value | None:
        """The value, NOWHERE where there is none of this name."""
        scope: Scope | None = self
        while scope is not None:
            if name in scope._values:
                return scope._values[name]
            scope = scope._outer
        return NOWHERE
