"""The engines of a small graph are loaded once each; of a large one, one at a time."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("onnx")
from tests.export.graph.chain import write

from onnxpress.core.manifest import SessionSettings
from onnxpress.export.equivalence.runtime import rungs
from onnxpress.export.equivalence.runtime.rungs import EnginePool
from onnxpress.serving.engine import Engine

PLAIN, SERVED = SessionSettings(optimization="none"), SessionSettings()


@pytest.fixture
def loaded(monkeypatch: pytest.MonkeyPatch) -> list[SessionSettings]:
    """The settings of every engine that is loaded, in order."""
    seen: list[SessionSettings] = []
    load = Engine.load

    def watched(content: bytes | Path, *, settings: SessionSettings, **known: object) -> Engine:
        seen.append(settings)
        return load(content, settings=settings, **known)

    monkeypatch.setattr(rungs.Engine, "load", watched)
    return seen


def ask(content: bytes | Path) -> None:
    """Two rungs in turn, released between, as two measurements of one graph do."""
    pool = EnginePool(content, "cpu")
    for _ in range(2):
        for settings in (PLAIN, SERVED):
            answer = pool.rung(settings).run({"x": -np.ones((1, 16, 4, 4), np.float32)})
            assert not answer["y"].any()
        pool.release()


def test_engines_of_a_small_graph_are_kept(tmp_path: Path, loaded: list[SessionSettings]) -> None:
    write(tmp_path / "net.onnx", [("", "Relu", {})])
    ask((tmp_path / "net.onnx").read_bytes())
    assert loaded == [PLAIN, SERVED]


def test_of_a_large_graph_one_is_held_at_a_time(tmp_path: Path, loaded: list[SessionSettings]) -> None:
    write(tmp_path / "net.onnx", [("", "Relu", {})])
    ask(tmp_path / "net.onnx")
    assert loaded == [PLAIN, SERVED, PLAIN, SERVED]
