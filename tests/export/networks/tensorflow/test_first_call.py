"""What a Keras layer's first call sets is no part of its export: asked as if fresh, beginning with other rows."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("tensorflow")
pytest.importorskip("tf2onnx")

import keras
import tensorflow as tf

from onnxpress.core.errors import NotEquivalent
from onnxpress.export.api import export

ROWS = np.random.default_rng(0).normal(size=(6, 4)).astype(np.float32)


class Scaled(keras.layers.Layer):
    """Divides by the largest value that it was shown first."""

    def __init__(self) -> None:
        super().__init__()
        self.scale: Any = None

    def call(self, x: Any) -> Any:
        if self.scale is None and not keras.utils.is_keras_tensor(x):
            self.scale = float(tf.reduce_max(tf.abs(x)))
        return x if self.scale is None else x / self.scale


class ScaledLater(Scaled):
    """The same, said of the class."""

    scale: Any = None

    def __init__(self) -> None:
        keras.layers.Layer.__init__(self)


class Whole(keras.Model):
    """A subclassed model around it, or around a sound layer."""

    def __init__(self, inner: Any) -> None:
        super().__init__()
        self.inner, self.last = inner, keras.layers.Dense(2)

    def call(self, x: Any, training: bool = False) -> Any:
        return self.last(self.inner(x))


class Sized(keras.layers.Layer):
    """A sound one: what it sets depends on sizes alone."""

    calls: Any = None

    def __init__(self) -> None:
        super().__init__()
        self.width: Any = None
        self.table: Any = None

    def build(self, shape: Any) -> None:
        self.width = int(shape[-1])

    def call(self, x: Any) -> Any:
        self.calls = 1
        if self.table is None:
            self.table = np.arange(self.width, dtype=np.float32)
        return x * self.table


@pytest.mark.parametrize("kind", [Scaled, ScaledLater])
def test_state_that_the_first_call_sets_is_refused(kind: Any, tmp_path: Path) -> None:
    with pytest.raises(NotEquivalent, match="what its first call was about"):
        export(Whole(kind()), name="m", repository=tmp_path, example=ROWS)


def test_what_is_built_of_sizes_alone_is_no_state(tmp_path: Path) -> None:
    assert export(Whole(Sized()), name="m", repository=tmp_path, example=ROWS).report.equivalent
