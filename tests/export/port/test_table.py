"""Every row of the table is one that can be written, and nothing is written that has no row."""

from __future__ import annotations

import pytest
from torch import nn

from onnxpress.export.port.table import LAYERS, TORCH_LAYERS
from onnxpress.export.port.to_keras import layers, making

pytestmark = pytest.mark.torch


def test_rows_and_writers_are_the_same() -> None:
    assert set(making.LAYERS) == TORCH_LAYERS
    assert {row.torch for row in LAYERS} == TORCH_LAYERS
    assert callable(layers.layer)


def test_every_row_is_a_layer_of_torch() -> None:
    assert all(hasattr(nn, name) for name in TORCH_LAYERS)
