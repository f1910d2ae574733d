"""Torch modules: classifiers trained on rare classes, masks, caches, detection heads, float64, awkward scales."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import nn
from torch.nn import functional

Built = tuple[nn.Module, Any]
MODELS: dict[str, Callable[[], Built]] = {}


def sound(build: Callable[[], Built]) -> Callable[[], Built]:
    """Add a factory of a module and its example."""
    MODELS[build.__name__] = build
    return build


def _fitted(net: nn.Module, rare: float, *, outputs: int = 1, width: int = 12, steps: int = 250) -> nn.Module:
    """Trained until it is sure: on labels of which a share of `rare` are positive."""
    torch.manual_seed(0)
    x = torch.randn(1500, width)
    score = x @ torch.randn(width)
    if outputs == 1:
        y = (score > score.quantile(1 - rare)).float()[:, None]
        loss: Callable[..., torch.Tensor] = functional.binary_cross_entropy_with_logits
    else:
        y = torch.bucketize(score, score.quantile(torch.linspace(0, 1 - rare, outputs)[1:]))
        loss = functional.cross_entropy
    optimizer = torch.optim.Adam(net.parameters(), 0.02)
    for _ in range(steps):
        optimizer.zero_grad()
        loss(net(x), y).backward()
        optimizer.step()
    return net.eval()


class Ending(nn.Module):
    """A network and what is done to its logits."""

    def __init__(self, net: nn.Module, ending: Callable[[torch.Tensor], Any]) -> None:
        super().__init__()
        self.net, self.ending = net, ending

    def forward(self, x: torch.Tensor) -> Any:
        """(batch, width) → as the ending says."""
        return self.ending(self.net(x))


def _mlp(outputs: int = 1, width: int = 12, activation: type[nn.Module] = nn.ReLU) -> nn.Sequential:
    return nn.Sequential(nn.Linear(width, 24), activation(), nn.Linear(24, 24), activation(), nn.Linear(24, outputs))


def _rare(rare: float, ending: Callable[[torch.Tensor], Any], outputs: int = 1) -> Built:
    return Ending(_fitted(_mlp(outputs), rare, outputs=outputs), ending).eval(), (torch.randn(16, 12),)


def _best_two(logits: torch.Tensor) -> dict[str, torch.Tensor]:
    scores, classes = logits.softmax(-1).topk(2)
    return {"scores": scores, "classes": classes}


for _rate in (0.1, 0.02, 0.005):
    MODELS[f"sigmoid_of_{_rate}_positives"] = lambda rate=_rate: _rare(rate, torch.sigmoid)
    MODELS[f"softmax_with_a_class_of_{_rate}"] = lambda rate=_rate: _rare(rate, lambda h: h.softmax(-1), 4)
    MODELS[f"two_columns_of_{_rate}"] = lambda rate=_rate: _rare(
        rate, lambda h: torch.cat([1 - h.sigmoid(), h.sigmoid()], -1)
    )
MODELS["log_probabilities"] = lambda: _rare(0.02, lambda h: h.log_softmax(-1), 4)
MODELS["logits_and_label"] = lambda: _rare(0.02, lambda h: {"logits": h, "label": h.argmax(-1)}, 4)
MODELS["best_two"] = lambda: _rare(
    0.05, lambda h: dict(zip(("scores", "classes"), h.softmax(-1).topk(2), strict=True)), 5
)
MODELS["decided_at_a_half"] = lambda: _rare(0.05, lambda h: {"p": h.sigmoid(), "is": h.sigmoid() > 0.5})
MODELS["temperature_scaled"] = lambda: _rare(0.02, lambda h: (h / 0.3).softmax(-1), 3)


@sound
def dropout_and_batch_norm() -> Built:
    net = nn.Sequential(
        nn.Linear(12, 32), nn.BatchNorm1d(32), nn.SiLU(), nn.Dropout(0.3), nn.Linear(32, 1), nn.Sigmoid()
    )
    return net.eval(), (torch.randn(8, 12),)


class Masked(nn.Module):
    """Attention over a padded sequence."""

    def __init__(self, pooled: str) -> None:
        super().__init__()
        self.pooled = pooled
        self.tokens = nn.Embedding(50, 16)
        self.layer = nn.TransformerEncoderLayer(16, 2, 32, batch_first=True)
        self.head = nn.Linear(16, 3)

    def forward(self, ids: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        """(batch, time) ids and mask → (batch, 3)."""
        h = self.layer(self.tokens(ids), src_key_padding_mask=mask == 0)
        wide = mask[..., None].to(h.dtype)
        if self.pooled == "mean":
            return self.head((h * wide).sum(1) / wide.sum(1).clamp(min=1e-9))
        if self.pooled == "max":
            return self.head(h.masked_fill(wide == 0, -1e4).max(1).values)
        return self.head(h[:, 0])


def _masked(pooled: str) -> Built:
    mask = torch.ones(4, 10, dtype=torch.int64)
    mask[0, 6:] = 0
    return Masked(pooled).eval(), (torch.randint(0, 50, (4, 10)), mask)


for _pooled in ("mean", "max", "first"):
    MODELS[f"attention_with_a_mask_{_pooled}"] = lambda pooled=_pooled: _masked(pooled)


class Cached(nn.Module):
    """One step of a decoder: keys and values of the past are inputs, and come back longer."""

    def __init__(self) -> None:
        super().__init__()
        self.q, self.k, self.v, self.out = (nn.Linear(16, 16) for _ in range(4))

    def forward(self, x: torch.Tensor, keys: torch.Tensor, values: torch.Tensor) -> dict[str, torch.Tensor]:
        """(batch, 1, 16) and the past (batch, 6, 16) twice → the answer, and both with one more."""
        keys, values = torch.cat([keys, self.k(x)], 1), torch.cat([values, self.v(x)], 1)
        weights = (self.q(x) @ keys.transpose(1, 2) / 4.0).softmax(-1)
        return {"y": self.out(weights @ values), "keys_out": keys, "values_out": values}


@sound
def cache_of_a_decoder() -> Built:
    return Cached().eval(), (torch.randn(3, 1, 16), torch.randn(3, 6, 16), torch.randn(3, 6, 16))


class State(nn.Module):
    """A GRU cell whose state is an input and an output."""

    def __init__(self) -> None:
        super().__init__()
        self.cell, self.head = nn.GRUCell(5, 8), nn.Linear(8, 2)

    def forward(self, x: torch.Tensor, state: torch.Tensor) -> dict[str, torch.Tensor]:
        """(batch, 5) and (batch, 8) → (batch, 2) and the next state."""
        state = self.cell(x, state)
        return {"y": self.head(state), "next": state}


@sound
def state_of_a_cell() -> Built:
    return State().eval(), (torch.randn(4, 5), torch.randn(4, 8))


class Detection(nn.Module):
    """Boxes and scores over a small grid of anchors."""

    def __init__(self, decode: str) -> None:
        super().__init__()
        self.decode = decode
        self.body = nn.Sequential(nn.Conv2d(3, 8, 3, 2, 1), nn.ReLU(), nn.Conv2d(8, 8, 3, 2, 1), nn.ReLU())
        self.boxes, self.classes = nn.Conv2d(8, 4, 1), nn.Conv2d(8, 3, 1)
        grid = torch.stack(torch.meshgrid(torch.arange(8.0), torch.arange(8.0), indexing="ij"), -1)
        self.register_buffer("centers", grid.reshape(1, 64, 2) * 4 + 2)

    def forward(self, image: torch.Tensor) -> dict[str, torch.Tensor]:
        """(batch, 3, 32, 32) → boxes (batch, 64, 4) or the best 5 of them, with scores."""
        h = self.body(image)
        boxes = self.boxes(h).flatten(2).transpose(1, 2)
        scores = self.classes(h).flatten(2).transpose(1, 2).sigmoid()
        center, size = self.centers + boxes[..., :2] * 4, boxes[..., 2:].clamp(max=4).exp() * 8
        boxes = torch.cat([center - size / 2, center + size / 2], -1).clamp(0, 32)
        if self.decode == "all":
            return {"boxes": boxes, "scores": scores}
        best, label = scores.max(-1)
        top, place = best.topk(5)
        picked = boxes.gather(1, place[..., None].expand(-1, -1, 4))
        return {"boxes": picked, "scores": top, "labels": label.gather(1, place)}


def _detection(decode: str) -> Built:
    return Detection(decode).eval(), (torch.randn(2, 3, 32, 32),)


for _decode in ("all", "best"):
    MODELS[f"detection_head_{_decode}"] = lambda decode=_decode: (
        Detection(decode).eval(),
        (torch.randn(2, 3, 32, 32),),
    )


@sound
def double_precision() -> Built:
    return _mlp(2, activation=nn.Tanh).double().eval(), (torch.randn(8, 12, dtype=torch.float64),)


class Standardised(nn.Module):
    """Unix seconds and amounts, brought to scale in float64, then a float32 network."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("mean", torch.tensor([1.7e9, 5e4, 0.0], dtype=torch.float64))
        self.register_buffer("scale", torch.tensor([3e6, 2e4, 1.0], dtype=torch.float64))
        self.net = _mlp(2, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(batch, 3) float64 → (batch, 2)."""
        return self.net(((x - self.mean) / self.scale).float()).softmax(-1)


@sound
def seconds_in_float64() -> Built:
    rows = torch.tensor([1.7e9, 5e4, 0.0]) + torch.randn(32, 3) * torch.tensor([3e6, 2e4, 1.0])
    return Standardised().eval(), (rows.double(),)


@sound
def weight_norm() -> Built:
    net = nn.Sequential(nn.utils.parametrizations.weight_norm(nn.Linear(12, 16)), nn.Tanh(), nn.Linear(16, 3))
    return net.eval(), (torch.randn(8, 12),)


@sound
def spectral_norm() -> Built:
    net = nn.Sequential(nn.utils.parametrizations.spectral_norm(nn.Linear(12, 16)), nn.ReLU(), nn.Linear(16, 3))
    return net.eval(), (torch.randn(8, 12),)


class Pruned(nn.Module):
    """Weights behind a fixed mask."""

    def __init__(self) -> None:
        super().__init__()
        self.layer, self.head = nn.Linear(12, 20), nn.Linear(20, 2)
        self.register_buffer("mask", (torch.rand(20, 12) > 0.6).float())

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(batch, 12) → (batch, 2)."""
        return self.head(functional.gelu(functional.linear(x, self.layer.weight * self.mask, self.layer.bias)))


@sound
def pruned_weights() -> Built:
    return Pruned().eval(), (torch.randn(8, 12),)


class Positions(nn.Module):
    """A table of positions of which the first rows are used."""

    def __init__(self) -> None:
        super().__init__()
        self.tokens, self.places = nn.Embedding(60, 16), nn.Embedding(128, 16)
        self.norm, self.head = nn.LayerNorm(16), nn.Linear(16, 4)

    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        """(batch, 12) → (batch, 4)."""
        h = self.norm(self.tokens(ids) + self.places(torch.arange(12) + 2))
        return self.head(h.mean(1))


@sound
def some_rows_of_a_table() -> Built:
    return Positions().eval(), (torch.randint(0, 60, (4, 12)),)


@sound
def residual_blocks() -> Built:
    class Block(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.norm, self.wide, self.narrow = nn.LayerNorm(16), nn.Linear(16, 48), nn.Linear(48, 16)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x + self.narrow(functional.gelu(self.wide(self.norm(x))))

    return nn.Sequential(*(Block() for _ in range(8))).eval(), (torch.randn(4, 16),)


@sound
def image_of_bytes() -> Built:
    class Bytes(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer, self.head = nn.Conv2d(3, 8, 3, 2), nn.Linear(8, 4)

        def forward(self, image: torch.Tensor) -> torch.Tensor:
            h = functional.relu(self.layer((image.float() / 255 - 0.45) / 0.22))
            return self.head(h.mean((2, 3))).softmax(-1)

    return Bytes().eval(), (torch.randint(0, 256, (2, 3, 20, 20), dtype=torch.uint8),)
