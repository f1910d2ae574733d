"""The rungs of the ladder: the serving engine under one setting after the other."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

from onnxpress.core import memory
from onnxpress.core.arrays import Array
from onnxpress.core.errors import BadData, BadModel, NotEquivalent
from onnxpress.core.manifest import SessionSettings
from onnxpress.serving.engine import Engine


class EnginePool:
    """Engines of one graph under several settings, of which one at a time is loaded: large weights fit once."""

    def __init__(self, content: bytes | Path, provider: str) -> None:
        self._content, self._provider = content, provider
        self._settings: SessionSettings | None = None
        self._engine: Engine | None = None

    def loaded(self, settings: SessionSettings) -> Engine:
        """The engine with these settings; another one is let go of first."""
        if self._engine is None or self._settings is not settings:
            self.release()
            self._engine = Engine.load(self._content, provider=self._provider, settings=settings, self_test=False)
            self._settings = settings
        return self._engine

    def release(self) -> None:
        """Let go of the engine; the next question loads it again."""
        if self._engine is not None:
            self._engine = None
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
