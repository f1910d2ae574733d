"""The five families' torch networks at small sizes, as onnxpress trains them, for the door of any module."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch

from benchmarks.faults.torch_families import unsettle
from onnxpress.training.pytorch.models import autoencoder, cnn14, cnn_lstm_attention, document, tabular

_NORM = {"epsilon": 1e-3, "momentum": 0.01}


def _autoencoder() -> tuple[Any, Any]:
    return autoencoder.build(30, [16, 4, 16], 0.2), (torch.rand(8, 30),)


def _cnn14() -> tuple[Any, Any]:
    filters = [8] * 4 + [12] * 6 + [16] * 4
    return cnn14.build(256, 3, filters, 3, 5, [24, 12], 0.3, 2, **_NORM), (torch.randn(6, 256, 3),)


def _cnn_lstm_attention() -> tuple[Any, Any]:
    network = cnn_lstm_attention.build(
        None, 40, 24, 12, [16, 16], 3, 2, 12, 8, [24, 12], 0.2, [0.3, 0.2], 3, **_NORM, features=5
    )
    return network, (torch.randint(0, 40, (6, 24)), torch.randn(6, 5))


def _document() -> tuple[Any, Any]:
    return document.build(24, 16, 4, 0.3, None), (torch.randn(6, 24),)


def _tabular() -> tuple[Any, Any]:
    return tabular.build(4, [[5, 3], [7, 4]], [16, 8], 0.1, 3), (torch.randn(6, 4), torch.randint(0, 5, (6, 2)))


MODELS: dict[str, Callable[[], tuple[Any, Any]]] = {
    name: lambda build=build: _trained(*build())
    for name, build in {
        "autoencoder": _autoencoder,
        "cnn14": _cnn14,
        "cnn-lstm-attention": _cnn_lstm_attention,
        "document": _document,
        "tabular": _tabular,
    }.items()
}


def _trained(network: Any, example: Any) -> tuple[Any, Any]:
    return unsettle(network), example
