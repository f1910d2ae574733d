"""The six models that a GPU is asked with, in PyTorch with random weights: their answers and their time are real.

tiny     32 features, two layers
tabular  40 numbers and 4 categories with embeddings, three layers of 256
cnn14    14 one-dimensional convolutions of 32 channels over 64 steps
minilm   a text encoder of MiniLM-L6's shape, 128 tokens with a mask, one unit vector
resnet   ResNet-50's shape at 224x224
lstm     two recurrent layers of 128 over 64 steps

Every factory returns (model, example inputs), as `onnxpress export` takes them. Only the batch is open.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

_VOCABULARY, _TOKENS, _WIDTH, _HEADS = 30522, 128, 384, 12


def tiny() -> Any:
    """float32 (batch, 32) → (batch, 8)."""
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(32, 64), nn.ReLU(), nn.Linear(64, 8)).eval(), (torch.randn(4, 32),)


class Tabular(nn.Module):
    """Embedded categories beside numbers, then layers."""

    def __init__(self) -> None:
        super().__init__()
        self.tables = nn.ModuleList(nn.Embedding(20, 8) for _ in range(4))
        self.first, self.second, self.third = nn.Linear(72, 256), nn.Linear(256, 256), nn.Linear(256, 256)
        self.norm, self.head = nn.LayerNorm(256), nn.Linear(256, 3)

    def forward(self, numbers: Tensor, categories: Tensor) -> Tensor:
        parts = [table(categories[:, column]) for column, table in enumerate(self.tables)]
        x = torch.cat([numbers, *parts], dim=1)
        for layer in (self.first, self.second, self.third):
            x = functional.relu(layer(x))
        return functional.softmax(self.head(self.norm(x)), dim=1)


def tabular() -> Any:
    """float32 (batch, 40) and int64 (batch, 4) → probabilities (batch, 3)."""
    torch.manual_seed(0)
    return Tabular().eval(), (torch.randn(4, 40), torch.randint(0, 20, (4, 4)))


def cnn14() -> Any:
    """float32 (batch, 1, 64) → (batch, 1)."""
    torch.manual_seed(0)
    layers: list[nn.Module] = []
    for number in range(14):
        layers += [nn.Conv1d(32 if number else 1, 32, 3, padding=1), nn.ReLU()]
    return nn.Sequential(*layers, nn.AdaptiveAvgPool1d(1), nn.Flatten(), nn.Linear(32, 1)).eval(), (
        torch.randn(4, 1, 64),
    )


class Attention(nn.Module):
    """BERT's block: attention and two layers, each with its sum and its normalisation after."""

    def __init__(self) -> None:
        super().__init__()
        self.query, self.key, self.value = (nn.Linear(_WIDTH, _WIDTH) for _ in range(3))
        self.out, self.norm = nn.Linear(_WIDTH, _WIDTH), nn.LayerNorm(_WIDTH, eps=1e-12)
        self.wide, self.narrow = nn.Linear(_WIDTH, 4 * _WIDTH), nn.Linear(4 * _WIDTH, _WIDTH)
        self.last = nn.LayerNorm(_WIDTH, eps=1e-12)

    def forward(self, x: Tensor, bias: Tensor) -> Tensor:
        def heads(tensor: Tensor) -> Tensor:
            return tensor.reshape(-1, _TOKENS, _HEADS, _WIDTH // _HEADS).transpose(1, 2)

        q, k, v = heads(self.query(x)), heads(self.key(x)), heads(self.value(x))
        weights = functional.softmax(q @ k.transpose(2, 3) / (_WIDTH // _HEADS) ** 0.5 + bias, dim=-1)
        mixed = (weights @ v).transpose(1, 2).reshape(-1, _TOKENS, _WIDTH)
        x = self.norm(x + self.out(mixed))
        return self.last(x + self.narrow(functional.gelu(self.wide(x))))


class MiniLM(nn.Module):
    """Six blocks over embedded tokens and places; the masked mean, as a unit vector."""

    def __init__(self) -> None:
        super().__init__()
        self.tokens, self.places = nn.Embedding(_VOCABULARY, _WIDTH), nn.Embedding(_TOKENS, _WIDTH)
        self.norm, self.blocks = nn.LayerNorm(_WIDTH, eps=1e-12), nn.ModuleList(Attention() for _ in range(6))
        self.register_buffer("numbers", torch.arange(_TOKENS))

    def forward(self, ids: Tensor, mask: Tensor) -> Tensor:
        kept = mask.to(torch.float32)
        bias = (1.0 - kept[:, None, None, :]) * -10000.0
        x = self.norm(self.tokens(ids) + self.places(self.numbers))
        for block in self.blocks:
            x = block(x, bias)
        mean = (x * kept[:, :, None]).sum(1) / kept.sum(1, keepdim=True).clamp(min=1.0)
        return functional.normalize(mean, dim=1)


def minilm() -> Any:
    """int64 ids and mask (batch, 128) → float32 (batch, 384)."""
    torch.manual_seed(0)
    mask = (torch.arange(_TOKENS)[None] < torch.tensor([[128], [70], [31], [9]])).to(torch.int64)
    return MiniLM().eval(), (torch.randint(0, _VOCABULARY, (4, _TOKENS)), mask)


class Bottleneck(nn.Module):
    """Three convolutions and the way past them."""

    def __init__(self, channels: int, width: int, stride: int) -> None:
        super().__init__()
        out = 4 * width
        self.convs = nn.Sequential(
            nn.Conv2d(channels, width, 1, bias=False), nn.BatchNorm2d(width), nn.ReLU(),
            nn.Conv2d(width, width, 3, stride, 1, bias=False), nn.BatchNorm2d(width), nn.ReLU(),
            nn.Conv2d(width, out, 1, bias=False), nn.BatchNorm2d(out),
        )  # fmt: skip
        nn.init.constant_(self.convs[7].weight, 0.2)  # a random network's sums would grow from block to block
        plain = stride == 1 and channels == out
        self.past = (
            nn.Identity()
            if plain
            else nn.Sequential(nn.Conv2d(channels, out, 1, stride, bias=False), nn.BatchNorm2d(out))
        )

    def forward(self, x: Tensor) -> Tensor:
        return functional.relu(self.convs(x) + self.past(x))


def resnet(layers: tuple[int, ...] = (3, 4, 6, 3)) -> Any:
    """float32 (batch, 3, 224, 224) → (batch, 1000)."""
    torch.manual_seed(0)
    parts: list[nn.Module] = [nn.Conv2d(3, 64, 7, 2, 3, bias=False), nn.BatchNorm2d(64), nn.ReLU()]
    parts.append(nn.MaxPool2d(3, 2, 1))
    channels = 64
    for stage, count in enumerate(layers):
        for number in range(count):
            parts.append(Bottleneck(channels, 64 << stage, 2 if stage and not number else 1))
            channels = 256 << stage
    parts += [nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(channels, 1000)]
    return nn.Sequential(*parts).eval(), (torch.randn(2, 3, 224, 224),)


class Recurrent(nn.Module):
    """Two layers of LSTM, and a layer on the last state."""

    def __init__(self) -> None:
        super().__init__()
        self.lstm, self.head = nn.LSTM(16, 128, 2, batch_first=True), nn.Linear(128, 4)

    def forward(self, x: Tensor) -> Tensor:
        states, _ = self.lstm(x)
        return self.head(states[:, -1])


def lstm() -> Any:
    """float32 (batch, 64, 16) → (batch, 4)."""
    torch.manual_seed(0)
    return Recurrent().eval(), (torch.randn(4, 64, 16),)
