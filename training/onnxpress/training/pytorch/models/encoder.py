"""A BERT encoder of sentences in PyTorch: token ids to one vector. Read beside the Keras one.

Devlin et al. 2019, with the mean over tokens of Reimers and Gurevych 2019, or another pooling. Attention is written
out: torch's fused one does not convert to ONNX with an additive mask.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional

from onnxpress.training.pytorch.models import layers as common

MASKED = -1e9
"""added to the scores of padding: nothing is left of them after the softmax, and no infinity arises"""


class Encoder(nn.Module):
    """input_ids, attention_mask (batch, sequence) int64 → (batch, width) float32, of length 1 where normalised."""

    def __init__(
        self,
        vocabulary: int,
        positions: int,
        width: int,
        layers: int,
        heads: int,
        inner: int,
        epsilon: float,
        pooling: str,
        normalise: bool,
    ) -> None:
        super().__init__()
        self._heads, self._layers = heads, layers
        self._pooling, self._normalise = pooling, normalise
        self.words = common.embedding(vocabulary, width)
        self.positions = common.embedding(positions, width)
        self.embedded_norm = nn.LayerNorm(width, eps=epsilon)
        self.parts = nn.ModuleDict()
        for number in range(layers):
            for name in ("query", "key", "value", "attended"):
                self.parts[f"layer_{number}_{name}"] = common.dense(width, width)
            self.parts[f"layer_{number}_attended_norm"] = nn.LayerNorm(width, eps=epsilon)
            self.parts[f"layer_{number}_inner"] = common.dense(width, inner)
            self.parts[f"layer_{number}_outer"] = common.dense(inner, width)
            self.parts[f"layer_{number}_outer_norm"] = nn.LayerNorm(width, eps=epsilon)

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        mask = attention_mask.to(self.words.weight.dtype)
        bias = ((1 - mask) * MASKED)[:, None, None, :]
        places = torch.cumsum(torch.ones_like(input_ids), dim=1) - 1
        x = self.embedded_norm(self.words(input_ids) + self.positions(places))
        for number in range(self._layers):
            x = self._layer(f"layer_{number}", x, bias)
        vector = _pooled(x, mask, self._pooling)
        return _at_length_1(vector) if self._normalise else vector

    def _layer(self, name: str, x: Tensor, bias: Tensor) -> Tensor:
        """(batch, sequence, width) → the same; `bias` (batch, 1, 1, sequence) is added to the scores."""
        query, key, value = (self._by_head(self.parts[f"{name}_{part}"](x)) for part in ("query", "key", "value"))
        scores = query @ key.transpose(2, 3) / math.sqrt(query.shape[-1]) + bias
        attended = (torch.softmax(scores, dim=-1) @ value).transpose(1, 2).flatten(2)
        x = self.parts[f"{name}_attended_norm"](x + self.parts[f"{name}_attended"](attended))
        inner = functional.gelu(self.parts[f"{name}_inner"](x))
        return self.parts[f"{name}_outer_norm"](x + self.parts[f"{name}_outer"](inner))

    def _by_head(self, x: Tensor) -> Tensor:
        """(batch, sequence, width) → (batch, heads, sequence, width / heads)."""
        return x.unflatten(2, (self._heads, -1)).transpose(1, 2)


def _pooled(x: Tensor, mask: Tensor, pooling: str) -> Tensor:
    """(batch, sequence, width) → (batch, width): the first token's, or mean or largest over those not padding."""
    if pooling == "cls":
        return x[:, 0]
    if pooling == "max":
        return (x + ((1 - mask) * MASKED)[:, :, None]).amax(dim=1)
    return (x * mask[:, :, None]).sum(dim=1) / mask.sum(dim=1, keepdim=True).clamp(min=1e-9)


def _at_length_1(x: Tensor) -> Tensor:
    return x / x.square().sum(dim=1, keepdim=True).sqrt().clamp(min=1e-12)


def build(
    vocabulary: int,
    positions: int,
    width: int,
    layers: int,
    heads: int,
    inner: int,
    epsilon: float,
    pooling: str = "mean",
    normalise: bool = True,
) -> Encoder:
    """A fresh encoder; `positions` is the longest sequence, `inner` the units between the two dense layers.

    `pooling` is mean, cls or max; with `normalise` vectors have length 1.
    """
    return Encoder(vocabulary, positions, width, layers, heads, inner, epsilon, pooling, normalise)
