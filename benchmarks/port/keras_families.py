"""The five families' Keras networks at small sizes, as onnxpress trains them, for the door of any model."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from benchmarks.faults.keras_families import unsettle
from onnxpress.training.tensorflow.models import autoencoder, cnn14, cnn_lstm_attention, document, tabular

_NORM = {"epsilon": 1e-3, "momentum": 0.01}


def _autoencoder() -> Any:
    return autoencoder.build(30, [16, 4, 16], 0.2)


def _cnn14() -> Any:
    filters = [8] * 4 + [12] * 6 + [16] * 4
    return cnn14.build(256, 3, filters, 3, 5, [24, 12], 0.3, 2, **_NORM)


def _cnn_lstm_attention() -> Any:
    return cnn_lstm_attention.build(
        None, 40, 24, 12, [16, 16], 3, 2, 12, 8, [24, 12], 0.2, [0.3, 0.2], 3, **_NORM, features=5
    )


def _document() -> Any:
    return document.build(24, 16, 4, 0.3, None)


def _tabular() -> Any:
    return tabular.build(4, [[5, 3], [7, 4]], [16, 8], 0.1, 3)


_BUILDERS: dict[str, Callable[[], Any]] = {
    "autoencoder": _autoencoder,
    "cnn14": _cnn14,
    "cnn-lstm-attention": _cnn_lstm_attention,
    "document": _document,
    "tabular": _tabular,
}
_IDS = {"cnn-lstm-attention": 40, "tabular": 5}
"""how many ids there are for its integer input"""


def _trained(name: str) -> tuple[Any, dict[str, Any]]:
    model = unsettle(_BUILDERS[name]())
    generator = np.random.default_rng(1)
    examples: dict[str, Any] = {}
    for value in model.inputs:
        shape = (8, *value.shape[1:])
        whole = value.dtype.startswith("int")
        drawn = generator.integers(0, _IDS[name], shape) if whole else generator.standard_normal(shape)
        examples[value.name] = drawn.astype(value.dtype)
    return model, {"example_inputs": examples}


MODELS: dict[str, Callable[[], tuple[Any, dict[str, Any]]]] = {n: lambda name=n: _trained(name) for n in _BUILDERS}
