"""ONNX Runtime's session in this process, without the Python layer around it, and what it says when it refuses."""

from __future__ import annotations

import numpy as np
import pytest
from tests.serving.publishing import MODELS

from onnxpress.core.manifest import SessionSettings
from onnxpress.serving.engine.sessions import LocalSession, plain, runtime_session


def test_the_session_below_answers_as_the_one_around_it() -> None:
    raw = runtime_session((MODELS / "tiny.onnx").read_bytes(), "cpu", SessionSettings(), 1, True)
    feeds = {"x": np.random.default_rng(0).standard_normal((3, 32), np.float32)}
    session = LocalSession(raw)
    (answer,) = session.run(["y"], feeds)
    np.testing.assert_array_equal(answer, raw.run(["y"], feeds)[0])
    assert session.placement() == {"CPUExecutionProvider": 3}
    assert (session.down, session.restarts, session.process_id) == ("", None, None)


def test_the_runtimes_words_come_without_its_source() -> None:
    session = LocalSession(runtime_session((MODELS / "table.onnx").read_bytes(), "cpu", SessionSettings(), 1, True))
    with pytest.raises(Exception, match="ONNXRuntimeError") as raised:
        session.run(["value"], {"row": np.array([99], np.int64)})
    said = plain(raised.value)
    assert "99" in said
    for inside in ("ONNXRuntimeError", "/onnxruntime", ".cc:", "\n"):
        assert inside not in said
