"""The rungs of the ladder: the serving engine under one setting after the other."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

from onnxpress.core import memory
from onnxpress.core.arrays import Array
from onnxpress.core.errors import BadData, BadModel, NotEquivalent
from onnxpress.core.manifest import SessionSettings
from onnxpress.serving.engine import Engine

_LIGHT = 20_000_000
"""bytes of a graph of which every engine is kept"""


class EnginePool:
    """Engines of one graph under several settings. Of a large graph one at a time is loaded: its weights fit once."""

    def __init__(self, content: bytes | Path, provider: str) -> None:
        self._content, self._provider = content, provider
        self._kept = isinstance(content, bytes) and len(content) < _LIGHT
        self._engines: list[tuple[SessionSettings, Engine]] = []

    def loaded(self, settings: SessionSettings) -> Engine:
        """The engine with these settings; that of a large graph with others is let go of first."""
        for known, engine in self._engines:
            if known == settings:
                return engine
        self.release()
        engine = Engine.load(self._content, provider=self._provider, settings=settings, self_test=False)
        self._engines.append((settings, engine))
        return engine

    def release(self) -> None:
        """Let go of a large graph's engine; the next question loads it again."""
        if self._engines and not self._kept:
            self._engines.clear()
            memory.give_back()

    def rung(self, settings: SessionSettings) -> Rung:
        """A rung that loads its engine when it is asked."""
        return Rung(lambda: self.loaded(settings))


class Rung:
    """An engine to be compared; a run that fails where the original answers is a difference, not a crash."""

    def __init__(self, engine: Callable[[], Engine]) -> None:
        self._engine = engine

    def run(self, feeds: Mapping[str, Array]) -> dict[str, Array]:
        """The engine's answer; raises NotEquivalent, with the shapes, where it has none."""
        engine = self._engine()
        try:
            return engine.run(feeds)
        except (BadData, BadModel) as error:
            shapes = {name: list(value.shape) for name, value in feeds.items()}
            raise NotEquivalent(
                f"the export fails where the original answers, on inputs of shape {shapes}: {error.what}",
                hint="it stops at the operator named here; where that speaks of a size, the conversion fixed it",
            ) from error
