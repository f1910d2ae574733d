"""Whether a device really runs a model."""

from __future__ import annotations

import pytest

from onnxpress.core.errors import BadModel
from onnxpress.serving.engine import probe, sessions


def test_a_device_that_runs_says_so() -> None:
    assert probe.ran("cpu").startswith("a tiny model ran in")


def test_a_device_that_cannot_says_why() -> None:
    assert "cuda" in probe.ran("cuda:99")


def test_wrong_answers_are_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(probe, "_MODEL", probe._MODEL.replace(b"\x00\x00\x80@", b"\x00\x00\x80?"))
    assert probe.ran("cpu") == "a tiny model answers wrongly: [[1.0, 2.0], [3.0, 1.0]]"


def test_a_graph_of_which_nothing_runs_on_the_gpu_is_refused() -> None:
    cuda, cpu = "CUDAExecutionProvider", "CPUExecutionProvider"
    with pytest.raises(BadModel, match="none of its 7 nodes runs on CUDAExecutionProvider"):
        sessions.require_placed({cpu: 7}, cuda)
    sessions.require_placed({cpu: 7, cuda: 1}, cuda)
    sessions.require_placed({}, cuda)
