"""A corpus entry: a small awkward model, and what should happen to it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, kw_only=True)
class Entry:
    """`build` gives the model and the keywords of its Source; `refused` is what the refusal must say."""

    name: str
    build: Callable[[], tuple[Any, dict[str, Any]]]
    refused: str | None = None
    converter: str = ""
    """what the manifest's converter must contain"""
    disabled: list[str] = field(default_factory=list)
    """the runtime's optimisers that must have been found guilty"""
    batch_safe: bool = True


class Corpus:
    """Entries in the order they are written, one decorator for each thing that may happen."""

    def __init__(self) -> None:
        self.entries: list[Entry] = []

    def exported(self, **expected: Any) -> Callable[[Callable[[], Any]], Callable[[], Any]]:
        """The model must be published, equal to its original."""

        def add(build: Callable[[], Any]) -> Callable[[], Any]:
            self.entries.append(Entry(name=build.__name__, build=build, **expected))
            return build

        return add

    def refused(self, says: str) -> Callable[[Callable[[], Any]], Callable[[], Any]]:
        """Nothing may be published, and the error must say why."""
        return self.exported(refused=says)
