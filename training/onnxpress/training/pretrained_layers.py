"""What BERT's relatives call their sizes and weights, and what `models.encoder` calls them.

They are the same network: words and places looked up and added, then layers of attention and two dense ones, each
normalised behind its sum (Devlin et al. 2019, Liu et al. 2019, Sanh et al. 2019). RoBERTa counts places from behind the
padding's, DistilBERT has one type of token.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from onnxpress.core.arrays import Array
from onnxpress.core.errors import BadModel

_DENSE = {"weight": "kernel", "bias": "bias"}
_NORM = {"weight": "gamma", "bias": "beta"}


@dataclass(frozen=True)
class _Kind:
    """One family of encoders: the names in `config.json`, and of the tensors."""

    sizes: Mapping[str, str]
    """ours → config's"""
    layer: str
    parts: Mapping[str, str]
    """part of a layer → ours"""
    epsilon: float | None = None
    """where the config does not say"""
    activation: str = "hidden_act"
    padded_places: bool = False
    """whether the first places up to the padding's number are nobody's"""


_BERT_SIZES = {
    "vocabulary": "vocab_size", "positions": "max_position_embeddings", "width": "hidden_size",
    "layers": "num_hidden_layers", "heads": "num_attention_heads", "inner": "intermediate_size",
}  # fmt: skip
_BERT_PARTS = {
    "attention.self.query": "query",
    "attention.self.key": "key",
    "attention.self.value": "value",
    "attention.output.dense": "attended",
    "attention.output.LayerNorm": "attended_norm",
    "intermediate.dense": "inner",
    "output.dense": "outer",
    "output.LayerNorm": "outer_norm",
}
_BERT = _Kind(_BERT_SIZES, "encoder.layer", _BERT_PARTS)
_ROBERTA = _Kind(_BERT_SIZES, "encoder.layer", _BERT_PARTS, padded_places=True)
_DISTILBERT = _Kind(
    {
        "vocabulary": "vocab_size", "positions": "max_position_embeddings", "width": "dim",
        "layers": "n_layers", "heads": "n_heads", "inner": "hidden_dim",
    },
    "transformer.layer",
    {
        "attention.q_lin": "query", "attention.k_lin": "key", "attention.v_lin": "value",
        "attention.out_lin": "attended", "sa_layer_norm": "attended_norm",
        "ffn.lin1": "inner", "ffn.lin2": "outer", "output_layer_norm": "outer_norm",
    },
    epsilon=1e-12,
    activation="activation",
)  # fmt: skip
_KINDS = {
    "bert": _BERT, "roberta": _ROBERTA, "xlm-roberta": _ROBERTA, "camembert": _ROBERTA, "distilbert": _DISTILBERT,
}  # fmt: skip


def sizes(config: Mapping[str, Any], *, where: str) -> dict[str, Any]:
    """The sizes of `models.encoder.build`, of a `config.json`. Raises BadModel for another kind of encoder."""
    kind = _kind(config, where)
    found = {ours: int(config[theirs]) for ours, theirs in kind.sizes.items()}
    if kind.padded_places:
        found["positions"] -= int(config["pad_token_id"]) + 1
    return found | {"epsilon": kind.epsilon or float(config["layer_norm_eps"])}


def renamed(tensors: Mapping[str, Array], config: Mapping[str, Any], *, where: str) -> dict[str, dict[str, Array]]:
    """Layer → role → float32 array, kernels (inputs, units). Raises BadModel where a tensor is missing."""
    kind = _kind(config, where)
    # Saved with a head, the encoder's names have its own before them.
    prefix = next((name[: -len(_WORDS)] for name in tensors if name.endswith(_WORDS)), "")
    own = {name.removeprefix(prefix): tensor.astype(np.float32) for name, tensor in tensors.items()}
    try:
        positions = own["embeddings.position_embeddings.weight"]
        if kind.padded_places:
            positions = positions[int(config["pad_token_id"]) + 1 :]
        if "embeddings.token_type_embeddings.weight" in own:
            # Every token is of type 0, so that type's vector is added to the places once and for all.
            positions = positions + own["embeddings.token_type_embeddings.weight"][0]
        layers = {
            "words": {"embeddings": own[_WORDS]},
            "positions": {"embeddings": positions},
            "embedded_norm": _roles(own, "embeddings.LayerNorm", _NORM),
        }
        for number in range(int(config[kind.sizes["layers"]])):
            for path, name in kind.parts.items():
                roles = _NORM if name.endswith("_norm") else _DENSE
                layers[f"layer_{number}_{name}"] = _roles(own, f"{kind.layer}.{number}.{path}", roles)
    except KeyError as error:
        raise BadModel(f"the weights have no tensor {error.args[0]!r}", where=where) from None
    return layers


_WORDS = "embeddings.word_embeddings.weight"


def _kind(config: Mapping[str, Any], where: str) -> _Kind:
    name = config.get("model_type")
    kind = _KINDS.get(str(name))
    if kind is None:
        raise BadModel(f"it holds a {name} encoder", where=where, hint=f"known: {', '.join(_KINDS)}")
    activation, places = config.get(kind.activation), config.get("position_embedding_type", "absolute")
    if activation != "gelu" or places != "absolute":
        raise BadModel(
            f"it holds a {name} encoder with {activation} and {places} places; only gelu and absolute are known",
            where=where,
        )
    return kind


def _roles(tensors: Mapping[str, Array], path: str, roles: Mapping[str, str]) -> dict[str, Array]:
    """Kernels are (units, inputs) in the file and (inputs, units) in Keras's form."""
    arrays = {role: tensors[f"{path}.{key}"] for key, role in roles.items()}
    return {role: np.ascontiguousarray(array.T) if role == "kernel" else array for role, array in arrays.items()}
