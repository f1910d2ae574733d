"""Batches padded to few sizes, so that a GPU searches for its convolutions before anybody waits for it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.serving.onnx_models import model, node
from tests.serving.publishing import MODELS

from onnxpress.core.arrays import Array
from onnxpress.core.device import Device
from onnxpress.core.manifest import SessionSettings
from onnxpress.serving.engine import padding, sessions
from onnxpress.serving.engine.sessions import LocalSession, runtime_session


@given(st.integers(1, 4096))
def test_a_size_is_enough_and_at_most_half_more(rows: int) -> None:
    size = padding.padded(rows)
    assert rows <= size <= 1.5 * rows
    assert padding.padded(size) == size
    assert size in padding.sizes(rows)


def test_few_sizes_hold_all_batches() -> None:
    assert padding.sizes(64) == [1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64]


class _Runtime:
    """A run that answers row by row, and notes how many rows it was given."""

    def __init__(self) -> None:
        self.sizes: list[int] = []

    def __call__(self, names: list[str], feeds: Mapping[str, Array], options: object = None) -> list[Array]:
        x, word = feeds["x"], feeds["word"]
        self.sizes.append(len(x))
        answers = {"y": x * 2, "word": word}
        return [answers[name] for name in names]


@given(rows=st.integers(0, 40))
def test_rows_get_their_own_answers(rows: int) -> None:
    runtime = _Runtime()
    runs = padding.PaddedRuns(runtime, max_rows=32)
    x = np.arange(rows * 2, dtype=np.float32).reshape(rows, 2)
    words = np.array([f"w{number}" for number in range(rows)], object)
    y, word = runs.run(["y", "word"], {"x": x, "word": words})
    np.testing.assert_array_equal(y, x * 2)
    assert word.tolist() == words.tolist()
    assert runtime.sizes == [padding.padded(rows) if 0 < rows <= 32 else rows]


def test_inputs_of_different_lengths_run_as_they_come() -> None:
    runtime = _Runtime()
    padding.PaddedRuns(runtime).run(["y"], {"x": np.ones((5, 2), np.float32), "word": np.array(["a"], object)})
    assert runtime.sizes == [5]


def _convolution() -> bytes:
    weight = {"w": np.array([[[1.0, -2.0, 1.0]]], np.float32)}
    conv = node("Conv", ["x", "w"], ["y"], pads=[1, 1])
    return model([conv], ["x:float32[batch,1,8]"], ["y:float32[batch,1,8]"], weight)


@pytest.mark.parametrize(
    ("content", "rows_apart", "provider", "padded"),
    [
        (_convolution(), True, "cuda", True),
        (_convolution(), False, "cuda", False),  # its rows may look at each other
        (_convolution(), True, "cpu", False),
        ((MODELS / "tiny.onnx").read_bytes(), True, "cuda", False),  # matrix products need no search
    ],
)
def test_who_is_padded(content: bytes, rows_apart: bool, provider: Any, padded: bool) -> None:
    raw = runtime_session(content, "cpu", SessionSettings(), 1, True)
    session = LocalSession(raw, Device(provider=provider), rows_apart=rows_apart)
    assert isinstance(getattr(session.run, "__self__", None), padding.PaddedRuns) is padded
    width = raw.get_inputs()[0].shape[1:]
    x = np.random.default_rng(0).standard_normal((5, *width)).astype(np.float32)
    (answer,) = session.run(["y"], {"x": x})
    np.testing.assert_allclose(answer, raw.run(["y"], {"x": x})[0], rtol=1e-5, atol=1e-6)


def test_every_operator_of_a_session_is_seen() -> None:
    assert sessions._operators(runtime_session(_convolution(), "cpu", SessionSettings(), 1, True)) == ["Conv"]


def test_what_has_no_open_batch_is_not_padded() -> None:
    class Value:
        def __init__(self, name: str, shape: list[int | str | None]) -> None:
            self.name, self.shape = name, shape

    class Session:
        def __init__(self, *outputs: Value) -> None:
            self.outputs = outputs

        def get_inputs(self) -> list[Value]:
            return [Value("x", ["batch", "height", 3])]

        def get_outputs(self) -> list[Value]:
            return list(self.outputs)

    assert padding.obstacle(Session(Value("y", ["batch", "height"]))) == ""
    assert "no open first dimension" in padding.obstacle(Session(Value("y", [])))
    assert "do not share" in padding.obstacle(Session(Value("y", ["boxes", 4])))
