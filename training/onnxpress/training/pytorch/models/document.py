"""The document classifier in PyTorch. Read beside the Keras one."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional

from onnxpress.training import encoders
from onnxpress.training.encoders import Shape
from onnxpress.training.pytorch import weights
from onnxpress.training.pytorch.layers import dense

_HIDDEN_TOKEN = -1e9  # added to the score of a token that is padding


class Block(nn.Module):
    """Self-attention and two dense layers, each added to what came in and normalised."""

    def __init__(self, number: int, shape: Shape) -> None:
        super().__init__()
        self._name, self._heads = f"block_{number}_", shape.heads
        for name in ("query", "key", "value", "attended"):
            self.add_module(self._name + name, nn.Linear(shape.width, shape.width))
        self.add_module(self._name + "attention_norm", nn.LayerNorm(shape.width, eps=shape.epsilon))
        self.add_module(self._name + "inner", nn.Linear(shape.width, shape.inner))
        self.add_module(self._name + "outer", nn.Linear(shape.inner, shape.width))
        self.add_module(self._name + "norm", nn.LayerNorm(shape.width, eps=shape.epsilon))

    def _layer(self, name: str, x: Tensor) -> Tensor:
        result: Tensor = self.get_submodule(self._name + name)(x)
        return result

    def forward(self, x: Tensor, hidden: Tensor) -> Tensor:
        """(batch, sequence, width), (batch, 1, 1, sequence) added to the scores → (batch, sequence, width)."""
        query, key, value = (
            self._layer(name, x).unflatten(2, (self._heads, -1)).transpose(1, 2) for name in ("query", "key", "value")
        )
        # Written out: the fused operator has no ONNX form for every mask.
        scores = query @ key.transpose(2, 3) / math.sqrt(query.shape[3]) + hidden
        attended = (scores.softmax(dim=3) @ value).transpose(1, 2).flatten(2)
        x = self._layer("attention_norm", x + self._layer("attended", attended))
        inner = functional.gelu(self._layer("inner", x))
        return self._layer("norm", x + self._layer("outer", inner))


class Encoder(nn.Module):
    """BERT, the mean over the tokens that are no padding, and that vector at length 1."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.word_embeddings = nn.Embedding(shape.vocabulary, shape.width)
        self.position_embeddings = nn.Embedding(shape.positions, shape.width)
        self.type_embedding = nn.Embedding(1, shape.width)
        self.embeddings_norm = nn.LayerNorm(shape.width, eps=shape.epsilon)
        self.blocks = nn.ModuleList(Block(number, shape) for number in range(shape.blocks))

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        """(batch, sequence) int64 twice → (batch, width)."""
        positions = torch.arange(input_ids.shape[1], device=input_ids.device)
        x = self.word_embeddings(input_ids) + self.position_embeddings(positions) + self.type_embedding.weight
        x = self.embeddings_norm(x)
        mask = attention_mask.to(x.dtype)
        for block in self.blocks:
            x = block(x, (1 - mask[:, None, None, :]) * _HIDDEN_TOKEN)
        mean = (x * mask[:, :, None]).sum(dim=1) / mask.sum(dim=1, keepdim=True).clamp(min=1e-9)
        return mean / mean.square().sum(dim=1, keepdim=True).sqrt().clamp(min=1e-12)


class Encoded(nn.Module):
    """The encoder, which does not learn, and the head behind it."""

    def __init__(self, encoder: Encoder, head: nn.Sequential) -> None:
        super().__init__()
        self.encoder, self.head = encoder.requires_grad_(False), head

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        """(batch, sequence) int64 twice → logits (batch, classes)."""
        result: Tensor = self.head(self.encoder(input_ids, attention_mask))
        return result


def build(width: int, hidden: int, classes: int, dropout: float, encoder: str | None) -> nn.Module:
    """A fresh head, `vectors` (batch, width) float32 → logits; or behind an encoder with its weights, from token ids.

    See families.Document. Raises MissingExtra without the encoder's package.
    """
    head = nn.Sequential()
    head.add_module("hidden", dense(width, hidden))
    head.add_module("relu", nn.ReLU())
    head.add_module("dropout", nn.Dropout(dropout))
    head.add_module("logits", dense(hidden, classes))
    if encoder is None:
        return head
    embedding = Encoder(encoders.shape(encoder))
    weights.write(embedding, encoders.weights(encoder))
    return Encoded(embedding, head)
