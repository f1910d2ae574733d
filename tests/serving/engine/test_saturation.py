"""Versions in 8 bits on a processor whose quick kernels overflow: told from sound ones, mended or refused."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.serving import onnx_models

from onnxpress.core.arrays import Array
from onnxpress.core.errors import BadModel
from onnxpress.core.golden import Golden
from onnxpress.core.manifest import Derived, SessionSettings
from onnxpress.serving.engine import Engine, saturation
from onnxpress.serving.engine.sessions import LocalSession, local_session

SOUND, OVERFLOWING = 64, 70_000
"""values that are summed: 70,000 products of 255 and 127 are more than 32 bits hold, on every processor"""


def derived(**changed: Any) -> Derived:
    facts: dict[str, Any] = {
        "version": 1,
        "sha256": "0" * 64,
        "precision": "int8",
        "method": "static int8",
        "told": "not equivalent by rounding: 0 of 300 decisions differ (≤ 0.99 %)",
        "rows": 300,
        "smaller": 4.0,
        "fused": {"y": 0.3},
    }
    return Derived(**facts | changed)


def quantized(size: int) -> bytes:
    """The mean of `size` values of 0 to 1, with 8-bit inputs and weights: float32 (batch, size) → (batch, 1)."""
    constants = {
        "s": np.array(1 / 255, np.float32),
        "z": np.array(0, np.uint8),
        "w": np.full((size, 1), 127, np.int8),
        "ws": np.array(1 / 127 / size, np.float32),
        "wz": np.array(0, np.int8),
    }
    nodes = [
        onnx_models.node("QuantizeLinear", ["x", "s", "z"], ["q"]),
        onnx_models.node("DequantizeLinear", ["q", "s", "z"], ["d"]),
        onnx_models.node("DequantizeLinear", ["w", "ws", "wz"], ["e"]),
        onnx_models.node("MatMul", ["d", "e"], ["y"]),
    ]
    return onnx_models.model(nodes, [f"x:float32[batch,{size}]"], ["y:float32[batch,1]"], constants)


def published(repository: Path, size: int, **changed: Any) -> Path:
    """The model as a derived version; its golden samples are what it should answer."""
    x = np.ones((2, size), np.float32)
    case = Golden({"x": x}, {"y": np.ones((2, 1), np.float32)}, {"y": np.full((2, 1), 0.01)})
    folder = onnx_models.publish(
        repository,
        "mean",
        quantized(size),
        [f"x:float32[batch,{size}]"],
        ["y:float32[batch,1]"],
        cases=[case],
        derived=derived(**changed),
    )
    return folder / "model.onnx"


class Saturating(LocalSession):
    """A session as on a processor without VNNI: quick kernels answer too little, precise and unfused ones rightly."""

    def __init__(self, inner: LocalSession, settings: SessionSettings) -> None:
        self._inner, self.inputs, self.outputs, self.optional = inner, inner.inputs, inner.outputs, inner.optional
        quick = saturation.PRECISE not in settings.config and saturation.UNFUSED not in settings.config
        self._factor = np.float32(0.5 if quick else 1.0)
        self.closed = False
        self.run = self._answers

    def _answers(self, names: list[str], feeds: dict[str, Array], options: Any = None) -> list[Array]:
        assert not self.closed
        return [answer * self._factor for answer in self._inner.run(names, feeds)]

    def placement(self) -> dict[str, int]:
        return self._inner.placement()

    def close(self) -> None:
        self.closed = True


def opening(
    opened: list[Saturating],
    model: str,
    provider: str,
    settings: SessionSettings,
    threads: int | None,
    prepack: bool,
    custom_ops: Sequence[str],
) -> Saturating:
    opened.append(Saturating(local_session(model, provider, settings, threads, prepack), settings))
    return opened[-1]


def test_a_sound_version_is_served_with_the_quick_kernels(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    engine = Engine.load(published(tmp_path, SOUND))
    assert capsys.readouterr().err == ""
    np.testing.assert_allclose(engine.run({"x": np.ones((1, SOUND), np.float32)})["y"], 1.0, atol=0.01)


def test_products_that_overflow_in_every_kernel_are_refused(tmp_path: Path) -> None:
    """The runtime's integer sum wraps around; in float32 it is right, so the two differ on the serving machine."""
    with pytest.raises(BadModel, match="8-bit products overflow on this processor: y differs by"):
        Engine.load(published(tmp_path, OVERFLOWING))


def test_where_the_precise_kernels_are_right_they_are_used(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    opened: list[Saturating] = []
    engine = Engine.load(published(tmp_path, SOUND), open_session=partial(opening, opened))
    assert "quick 8-bit products overflow on this processor; the precise ones are used" in capsys.readouterr().err
    np.testing.assert_allclose(engine.run({"x": np.ones((1, SOUND), np.float32)})["y"], 1.0, atol=0.01)
    assert [session.closed for session in opened] == [True, True, False]  # quick, unfused; the precise one answers


def test_only_versions_that_the_runtime_fuses_are_looked_at(tmp_path: Path) -> None:
    """A version of weights alone has nothing to compare; its golden samples are replayed as any version's."""
    opened: list[Saturating] = []
    with pytest.raises(BadModel, match="self-test failed"):
        Engine.load(published(tmp_path, SOUND, precision="w8", fused={}), open_session=partial(opening, opened))
    assert len(opened) == 1


def test_more_is_accepted_where_more_was_seen_on_the_machine_that_derived_it() -> None:
    case = Golden({"x": np.zeros((4, 1))}, {"y": np.zeros((4, 1))}, {"y": np.full((4, 1), 0.1)})
    found = saturation.distances(lambda _: {"y": np.full((4, 1), 0.15)}, lambda _: {"y": np.zeros((4, 1))}, [case])
    assert found == {"y": pytest.approx(1.5)}
    assert saturation.beyond(found, {"y": 0.8}) is None
    assert saturation.beyond(found, {"y": 0.2}) is not None
    assert saturation.beyond(found, {}) is not None


def test_an_answer_that_is_no_number_or_has_another_shape_is_beyond_every_floor() -> None:
    case = Golden({"x": np.zeros(2)}, {"y": np.zeros(2)}, {"y": np.ones(2)})
    for wrong in (np.array([np.nan, 0.0]), np.zeros(3)):
        found = saturation.distances(lambda _, wrong=wrong: {"y": wrong}, lambda _: {"y": np.zeros(2)}, [case])
        assert saturation.beyond(found, {"y": 3.0}) is not None


def test_labels_may_differ_where_few_do() -> None:
    labels = np.array(["a"] * 100, object)
    case = Golden({"x": np.zeros(100)}, {"label": labels}, {"label": np.zeros(100)})
    for count, accepted in ((1, True), (30, False)):
        other = np.array(["a"] * (100 - count) + ["b"] * count, object)
        found = saturation.distances(lambda _, other=other: {"label": other}, lambda _: {"label": labels}, [case])
        assert (saturation.beyond(found, {}) is None) == accepted
