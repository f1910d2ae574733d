"""Small settings of every family's network in its different forms, and random inputs for them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from onnxpress.core.arrays import Array
from onnxpress.core.dotted import load
from onnxpress.core.tensors import Domain, TensorSpec

_NORM = {"epsilon": 1e-3, "momentum": 0.9}
_LSTM = {
    "embedding": 16,
    "convolutions": [8, 6],
    "kernel": 3,
    "pool": 2,
    "lstm": 5,
    "attention": 4,
    "dense": [9, 7],
    "dropout": 0.3,
    "dense_dropouts": [0.3, 0.2],
    "classes": 3,
    **_NORM,
}
_FOURTEEN = {
    "length": 150,
    "channels": 3,
    "filters": [16, *[32] * 11, 64, 64],
    "kernel": 5,
    "stride_every": 5,
    "dense": [64, 64, 32, 16],
    "dropout": 0.5,
    "classes": 2,
    **_NORM,
}
ENCODER = {"vocabulary": 50, "positions": 32, "width": 24, "layers": 2, "heads": 3, "inner": 40, "epsilon": 1e-12}
"""a small BERT, its weights random"""


def _floats(name: str, *shape: int | str) -> TensorSpec:
    return TensorSpec(name=name, dtype="float32", shape=("batch", *shape))


def _ids(name: str, size: int, *shape: int | str, low: int = 0) -> TensorSpec:
    return TensorSpec(name=name, dtype="int64", shape=("batch", *shape), domain=Domain(low=low, high=size - 1))


@dataclass(frozen=True)
class Case:
    """A network in one of its forms."""

    module: str
    settings: dict[str, Any]
    inputs: list[TensorSpec]
    parameters: int
    """trained ones, counted by hand"""

    def build(self, framework: str) -> Any:
        """A fresh network of `pytorch` or `tensorflow`."""
        return load(f"onnxpress.training.{framework}.models.{self.module}:build")(**self.settings)

    def samples(self, rows: int) -> dict[str, Array]:
        """Random inputs by name."""
        generator = np.random.default_rng(0)
        found: dict[str, Array] = {}
        for spec in self.inputs:
            shape = (rows, *(size if isinstance(size, int) else 11 for size in spec.shape[1:]))
            if spec.dtype == "float32":
                found[spec.name] = generator.standard_normal(shape, dtype=np.float32)
                if spec.domain is not None:  # what is never negative
                    found[spec.name] = np.abs(found[spec.name])
            else:
                assert spec.domain is not None
                found[spec.name] = generator.integers(0, int(spec.domain.high or 0) + 1, shape)
        return found


_convolutions = (5 * 3 + 1) * 16 + (5 * 16 + 1) * 32 + 10 * (5 * 32 + 1) * 32 + (5 * 32 + 1) * 64 + (5 * 64 + 1) * 64
_norms = 2 * (16 + 11 * 32 + 64 + 64) + 2 * (64 + 64 + 32 + 16)
_dense = 65 * 64 + 65 * 64 + 65 * 32 + 33 * 16 + 17 * 2
_recurrent = 2 * 4 * 5 * (6 + 5 + 1)
_head = 11 * 9 + 10 * 7 + 8 * 3
_of_channels = (3 * 16 + 1) * 8 + 2 * 8 + (3 * 8 + 1) * 6 + 2 * 6
_of_one = (3 * 1 + 1) * 8 + 2 * 8 + (3 * 8 + 1) * 6 + 2 * 6
_attention = 11 * 4 + 4

CASES = {
    "fourteen": Case("cnn14", _FOURTEEN, [_floats("windows", 150, 3)], _convolutions + _norms + _dense),
    "three": Case(
        "cnn14",
        _FOURTEEN | {"length": 40, "channels": 1, "filters": [4, 5, 6], "stride_every": 0, "dense": [7], "classes": 4},
        [_floats("windows", 40, 1)],
        6 * 4 + 21 * 5 + 26 * 6 + 2 * (4 + 5 + 6 + 7) + 7 * 7 + 8 * 4,
    ),
    "strides": Case(
        "cnn14",
        _FOURTEEN
        | {"length": 60, "channels": 2, "filters": [4, 5], "dense": [7], "strides": [3, 2], "dropouts": [0.1, 0.0]},
        [_floats("windows", 60, 2)],
        11 * 4 + 21 * 5 + 2 * (4 + 5 + 7) + 6 * 7 + 8 * 2,
    ),
    "spectrogram": Case(
        "spec_cnn",
        {"length": 9, "axes": 2, "bins": 7, "filters": [4, 5], "kernel": 3, "dense": [6], "dropout": 0.1, "classes": 3}
        | _NORM,
        [TensorSpec(name="spectrogram", dtype="float32", shape=("batch", 9, 14), domain=Domain(low=0, high=50))],
        (9 * 2 + 1) * 4 + (9 * 4 + 1) * 5 + 2 * (4 + 5) + 6 * 6 + 7 * 3,
    ),
    "multi-head": Case(
        "cnn_lstm_multihead",
        {"length": 20, "channels": 3, "convolutions": [4, 6], "kernel": 3, "pool": 2, "lstm": 4, "heads": 2}
        | {"dense": [5], "dropout": 0.1, "classes": 2}
        | _NORM,
        [_floats("windows", 20, 3)],
        (3 * 3 + 1) * 4 + (3 * 4 + 1) * 6 + 2 * (4 + 6) + 2 * 4 * 4 * (6 + 4 + 1) + 4 * 9 * 8 + 16 + 9 * 5 + 6 * 2,
    ),
    "mixed": Case(
        "tabular",
        {"width": 4, "embeddings": [[5, 2], [9, 3]], "hidden": [8, 6], "dropout": 0.1, "outputs": 1},
        [_floats("numbers", 4), _ids("categories", 5, 2)],
        5 * 2 + 9 * 3 + 10 * 8 + 9 * 6 + 7,
    ),
    "numbers": Case(
        "tabular",
        {"width": 4, "embeddings": [], "hidden": [8], "dropout": 0.1, "outputs": 3},
        [_floats("numbers", 4)],
        5 * 8 + 9 * 3,
    ),
    "categories": Case(
        "tabular",
        {"width": 0, "embeddings": [[5, 2]], "hidden": [8], "dropout": 0.1, "outputs": 1},
        [_ids("categories", 5, 1)],
        5 * 2 + 3 * 8 + 9,
    ),
    "vectors": Case(
        "cnn_lstm_attention",
        {"width": 7, "vocabulary": None, "length": None, **_LSTM},
        [_floats("scaled", 7)],
        8 * 16 + 2 * 16 + _of_one + _recurrent + _attention + _head,
    ),
    "characters": Case(
        "cnn_lstm_attention",
        {"width": None, "vocabulary": 30, "length": 12, **_LSTM},
        [_ids("characters", 30, 12)],
        30 * 16 + 2 * 16 + _of_channels + _recurrent + _attention + _head,
    ),
    "characters and figures": Case(
        "cnn_lstm_attention",
        {"width": None, "vocabulary": 30, "length": 12, "features": 6, **_LSTM},
        [_ids("characters", 30, 12), _floats("figures", 6)],
        30 * 16 + 2 * 16 + _of_channels + _recurrent + _attention + _head + 6 * 9,
    ),
    "mean": Case(
        "cnn_lstm_attention",
        {"width": None, "vocabulary": 30, "length": 12, **_LSTM, "attention": 0},
        [_ids("characters", 30, 12)],
        30 * 16 + 2 * 16 + _of_channels + _recurrent + _head,
    ),
    "embedded": Case(
        "autoencoder",
        {"width": 12, "hidden": [6, 3, 6], "dropout": 0.2, "embedded": [[2, 4, 2], [6, 6, 3]]},
        [_floats("scaled", 12)],
        4 * 2 + 6 * 3 + 8 * 6 + 7 * 3 + 4 * 6 + 7 * 12,
    ),
    "embedded alone": Case(
        "autoencoder",
        {"width": 5, "hidden": [2], "dropout": 0.2, "embedded": [[0, 5, 3]]},
        [_floats("scaled", 5)],
        5 * 3 + 4 * 2 + 3 * 5,
    ),
    "document": Case(
        "document",
        {"width": 10, "hidden": 8, "classes": 3, "dropout": 0.1, "encoder": None},
        [_floats("vectors", 10)],
        11 * 8 + 9 * 3,
    ),
    "encoder": Case(
        "encoder",
        ENCODER,
        [_ids("input_ids", 50, "sequence"), _ids("attention_mask", 2, "sequence")],
        (50 + 32) * 24 + 48 + 2 * (4 * 25 * 24 + 48 + 25 * 40 + 41 * 24 + 48),
    ),
}
