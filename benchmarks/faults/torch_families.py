"""The five families' shapes as small torch modules, for graphs to plant faults in."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn
from torch.nn import functional

from onnxpress.core.processing import MeanSquaredError, Processing, Scale, Threshold
from onnxpress.core.tensors import Domain, TensorSpec, parse_spec


def unsettle(module: nn.Module) -> nn.Module:
    """Give norms and biases values that training would: at their defaults many faults change nothing."""
    for name, value in [*module.named_parameters(), *module.named_buffers()]:
        with torch.no_grad():
            if name.endswith("running_var"):
                value.uniform_(0.5, 2.0)
            elif name.endswith("running_mean") or (name.endswith("bias") and value.ndim == 1):
                value.normal_(0, 0.3)
            elif value.ndim == 1 and value.is_floating_point() and bool((value == 1).all()):
                value.uniform_(0.5, 1.5)
    return module.eval()


def autoencoder() -> tuple[nn.Module, dict[str, Any]]:
    """30 → 4 → 30 with batch norms, between a scaler and a threshold on the reconstruction error."""
    sizes = [(30, 16), (16, 4), (4, 16)]
    layers: list[nn.Module] = []
    for wide, narrow in sizes:
        layers += [nn.Linear(wide, narrow), nn.BatchNorm1d(narrow), nn.LeakyReLU(0.1)]
    module = nn.Sequential(*layers, nn.Linear(16, 30))
    generator = torch.Generator().manual_seed(1)
    steps = Processing(
        before=[
            Scale(
                input="features",
                output="scaled",
                offset=(torch.randn(30, generator=generator) * 3).tolist(),
                factor=(torch.rand(30, generator=generator) + 0.3).tolist(),
            )
        ],
        after=[
            MeanSquaredError(input="scaled", target="reconstruction", output="score"),
            Threshold(input="score", output="is_anomaly", value=4.0),
        ],
    )
    return module, {
        "network_inputs": [parse_spec("scaled:float32[batch,30]")],
        "network_outputs": [parse_spec("reconstruction:float32[batch,30]")],
        "inputs": [parse_spec("features:float32[batch,30]")],
        "outputs": [parse_spec("score:float32[batch]"), parse_spec("is_anomaly:bool[batch]")],
        "processing": steps,
    }


class SequenceClassifier(nn.Module):
    """Convolutions, a bidirectional LSTM, additive attention over time."""

    def __init__(self) -> None:
        super().__init__()
        self.convolution = nn.Conv1d(6, 12, 3, padding=1)
        self.norm = nn.BatchNorm1d(12)
        self.lstm = nn.LSTM(12, 8, bidirectional=True, batch_first=True)
        self.score = nn.Linear(16, 1)
        self.head = nn.Linear(16, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(batch, time, 6) → (batch, 3)."""
        h = functional.elu(self.norm(self.convolution(x.transpose(1, 2))), alpha=0.7)
        states, _ = self.lstm(functional.max_pool1d(h, 2).transpose(1, 2))
        weights = torch.softmax(self.score(torch.tanh(states)), dim=1)
        return torch.softmax(self.head((weights * states).sum(dim=1)), dim=-1)


class Tabular(nn.Module):
    """Two embedded columns beside numbers."""

    def __init__(self) -> None:
        super().__init__()
        self.town, self.job = nn.Embedding(300, 6), nn.Embedding(9, 3)
        self.norm = nn.BatchNorm1d(7)
        self.hidden, self.second, self.head = nn.Linear(16, 24), nn.Linear(24, 12), nn.Linear(12, 4)

    def forward(self, town: torch.Tensor, job: torch.Tensor, numbers: torch.Tensor) -> dict[str, torch.Tensor]:
        """(batch,), (batch,), (batch, 7) → logits (batch, 4) and their argmax (batch,)."""
        h = torch.cat([self.town(town), self.job(job), self.norm(numbers.clamp(-4, 4))], dim=1)
        h = functional.leaky_relu(self.hidden(h), 0.05)
        logits = self.head(functional.relu6(self.second(h)))
        return {"probabilities": logits.softmax(1), "best": logits.argmax(1)}


class Document(nn.Module):
    """Token ids through a transformer layer and a pooled head."""

    def __init__(self) -> None:
        super().__init__()
        self.tokens, self.places = nn.Embedding(200, 16), nn.Embedding(64, 16)
        self.norm = nn.LayerNorm(16)
        self.layer = nn.TransformerEncoderLayer(16, 2, 32, batch_first=True, activation="gelu")
        self.pool, self.head = nn.Linear(16, 16), nn.Linear(16, 5)

    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        """(batch, time) → (batch, 5) log-probabilities."""
        places = torch.arange(ids.shape[1], device=ids.device)
        h = self.layer(self.norm(self.tokens(ids) + self.places(places)))
        return torch.log_softmax(self.head(torch.tanh(self.pool(h.mean(dim=1)))), dim=-1)


class Deep(nn.Module):
    """Fourteen one-dimensional convolutions with residual links."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv1d(3, 12, 7, stride=2, padding=3)
        self.layers = nn.ModuleList(
            nn.Sequential(
                nn.Conv1d(12, 12, 3, padding=2 if n % 4 == 3 else 1, dilation=2 if n % 4 == 3 else 1),
                nn.BatchNorm1d(12),
                nn.ReLU(),
            )
            for n in range(13)
        )
        self.head = nn.Linear(12, 4)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(batch, 3, 64) → (batch, 4)."""
        h = functional.gelu(self.first(x))
        for layer in self.layers:
            h = h + 0.5 * layer(h)
        return self.head(functional.adaptive_avg_pool1d(h, 1).flatten(1))


class Counts(nn.Module):
    """Whole numbers held against bounds: a class of each, a switch, a limit, an hour of the day."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("bounds", torch.tensor([20, 150, 4000]))
        self.classes, self.head = nn.Embedding(4, 5), nn.Linear(6 * 5 + 18, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(batch, 6) → (batch, 3)."""
        classes = self.classes(torch.bucketize(x, self.bounds)).flatten(1)
        limited = x.clamp(0, 700).float() / 700
        rare = torch.where((x.float() - 50) / 25 > 90, 1.0, limited)
        return self.head(torch.cat([classes, limited, rare, (x % 24).float() / 24], dim=1))


def described(module: nn.Module, *specs: TensorSpec) -> tuple[nn.Module, dict[str, Any]]:
    """A module and what its inputs accept."""
    return module, {"network_inputs": list(specs)}


def ids(name: str, count: int, *shape: int | str) -> TensorSpec:
    """An input of ids below `count`."""
    return TensorSpec(name=name, dtype="int64", shape=("batch", *shape), domain=Domain(low=0, high=count - 1))


FAMILIES = {
    "torch autoencoder": autoencoder,
    "torch CNN-LSTM with attention": lambda: described(SequenceClassifier(), parse_spec("x:float32[batch,time,6]")),
    "torch tabular": lambda: described(
        Tabular(), ids("town", 300), ids("job", 9), parse_spec("numbers:float32[batch,7]")
    ),
    "torch document": lambda: described(Document(), ids("ids", 200, 24)),
    "torch counts": lambda: described(Counts(), parse_spec("x:int64[batch,6]")),
    "torch 14-layer CNN": lambda: described(Deep(), parse_spec("x:float32[batch,3,64]")),
}
