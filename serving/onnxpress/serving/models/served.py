"""What is served: a loaded version, its queue, and what is still to be done for it."""

from __future__ import annotations

from pathlib import Path

import msgspec

from onnxpress.serving.batching.batcher import Batcher
from onnxpress.serving.engine import Engine
from onnxpress.serving.models.folder import Signature


class Served:
    """One loaded version: its engine and the queue in front of it."""

    def __init__(
        self,
        name: str,
        version: int,
        engine: Engine,
        batcher: Batcher,
        *,
        path: Path,
        load_seconds: float,
        signature: Signature,
    ) -> None:
        """`path` is that of its model file."""
        self.name, self.version, self.engine, self.batcher = name, version, engine, batcher
        self.path, self.load_seconds, self.signature = path, load_seconds, signature

        self.note = ""
        """what callers of the version before should know of this one"""
        self.closed = False

    def differs_from(self, other: Served) -> str:
        """How its inputs and outputs differ from another version's; empty where they are the same."""
        before = {str(spec) for spec in (*other.engine.inputs, *other.engine.outputs)}
        now = {str(spec) for spec in (*self.engine.inputs, *self.engine.outputs)}
        if before == now:
            return ""
        parts = [
            f"{word} {', '.join(sorted(specs))}"
            for word, specs in (("with", now - before), ("without", before - now))
            if specs
        ]
        return f"other inputs or outputs than version {other.version}: {', '.join(parts)}"

    def close(self) -> None:
        """End its thread and its process; a run under way is finished first."""
        self.closed = True
        self.batcher.close()
        self.engine.close()


class Incomplete(msgspec.Struct, frozen=True):
    """A version that answers from external data as it lies: its model file, and those whose digests were put off."""

    served: Served
    path: Path
    later: list[str]
