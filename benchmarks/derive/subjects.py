"""The models that versions are derived from, trained for seconds on made-up classes, and rows that they never saw.

A class is a pattern of its own, and a row is that with noise: so decisions have margins, as those of trained models do.
The sentence encoder and the depthwise network have random weights, which only makes it harder for them.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from torch import nn

from onnxpress.core.arrays import Array
from onnxpress.training.families.cnn_lstm_attention import CnnLstmAttention
from onnxpress.training.pytorch.models import autoencoder as autoencoders
from onnxpress.training.pytorch.models import cnn14, cnn_lstm_attention, document, tabular

ROWS, CALIBRATED = 2400, 300
_CLASSES, _STEPS = 6, 120


@dataclass(frozen=True)
class Subject:
    """A model, an example of what it takes, and rows by input."""

    model: Any
    example: Any
    rows: dict[str, Array]


def _patterns(*shape: int, seed: int = 0, noise: float = 0.6) -> tuple[Array, Array]:
    draw = np.random.default_rng(seed)
    patterns, labels = draw.normal(size=(_CLASSES, *shape)), draw.integers(0, _CLASSES, ROWS + 1500)
    rows = patterns[labels] + noise * draw.normal(size=(len(labels), *shape))
    return rows.astype(np.float32), labels


def _trained(net: nn.Module, *shape: int, steps: int = _STEPS) -> Subject:
    """On the first 1,500 rows; the others are the subject's."""
    torch.manual_seed(0)
    x, y = _patterns(*shape)
    given, wanted = torch.as_tensor(x[:1500]), torch.as_tensor(y[:1500])
    optimizer = torch.optim.Adam(net.parameters(), 2e-3)
    net.train()
    for _ in range(steps):
        some = torch.randint(0, 1500, (64,))
        loss = nn.functional.cross_entropy(net(given[some]), wanted[some])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return Subject(net.eval(), given[:32], {"": x[1500:]})


class _Block(nn.Module):
    def __init__(self, channels: int) -> None:
        super().__init__()
        self.inner = nn.Sequential(
            nn.Conv2d(channels, channels, 3, padding=1, bias=False),
            nn.BatchNorm2d(channels),
            nn.ReLU(),
            nn.Conv2d(channels, channels, 3, padding=1, bias=False),
            nn.BatchNorm2d(channels),
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(batch, channels, height, width) → the same."""
        return torch.relu(x + self.inner(x))


def _head(channels: int) -> list[nn.Module]:
    return [nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(channels, _CLASSES)]


def cnn() -> Subject:
    """Four convolutions of 64 channels over 16x16."""
    layers: list[nn.Module] = [nn.Conv2d(3, 64, 3, padding=1), nn.ReLU()]
    for _ in range(3):
        layers += [nn.Conv2d(64, 64, 3, padding=1), nn.ReLU()]
    return _trained(nn.Sequential(*layers, *_head(64)), 3, 16, 16)


def resnet() -> Subject:
    """Six residual blocks."""
    blocks = [_Block(32), _Block(32), nn.Conv2d(32, 64, 3, 2, 1), _Block(64), _Block(64), _Block(64), _Block(64)]
    return _trained(nn.Sequential(nn.Conv2d(3, 32, 3, padding=1), nn.ReLU(), *blocks, *_head(64)), 3, 16, 16)


def depthwise() -> Subject:
    """Convolutions of one channel each, and 1x1 ones between, as MobileNet has them."""
    layers: list[nn.Module] = [nn.Conv2d(3, 32, 3, padding=1), nn.ReLU()]
    for _ in range(5):
        layers += [nn.Conv2d(32, 32, 3, padding=1, groups=32), nn.ReLU(), nn.Conv2d(32, 32, 1), nn.ReLU()]
    return _trained(nn.Sequential(*layers, *_head(32)), 3, 16, 16)


def cnn14_family() -> Subject:
    """The family `cnn14`: 14 convolutions over windows of three channels."""
    net = cnn14.build(256, 3, [16, *[32] * 11, 64, 64], 5, 5, [64, 64, 32, 16], 0.5, _CLASSES, 1e-3, 0.9)
    return _trained(net, 256, 3, steps=250)


def cnn_lstm_family() -> Subject:
    """The family `cnn_lstm_attention`, over vectors."""
    return _trained(cnn_lstm_attention.build(**CnnLstmAttention().network(width=24, classes=_CLASSES)), 24)


def tabular_family() -> Subject:
    """The family `tabular`: 20 numbers through 64 and 32."""
    return _trained(tabular.build(20, [], [64, 32], 0.1, _CLASSES), 20)


def document_family() -> Subject:
    """The family `document`: an embedding of 384 to classes."""
    return _trained(document.build(384, 128, _CLASSES, 0.1, None), 384)


def autoencoder_family() -> Subject:
    """The family `autoencoder`: 30 columns in and out."""
    return Subject(autoencoders.build(30, [22, 15, 10, 7, 10, 15, 22], 0.2).eval(), torch.randn(32, 30), _plain(30))


def _plain(*shape: int) -> dict[str, Array]:
    return {"": np.random.default_rng(1).normal(size=(ROWS, *shape)).astype(np.float32)}


def mlp() -> Subject:
    """A small multi-layer perceptron."""
    return _trained(nn.Sequential(nn.Linear(30, 64), nn.ReLU(), nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 6)), 30)


def wide_mlp() -> Subject:
    """The same with layers of 2,048."""
    return _trained(
        nn.Sequential(nn.Linear(256, 2048), nn.ReLU(), nn.Linear(2048, 2048), nn.ReLU(), nn.Linear(2048, 6)), 256
    )


class _Recurrent(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.lstm, self.head = nn.LSTM(32, 256, batch_first=True), nn.Linear(256, _CLASSES)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(batch, steps, 32) → (batch, classes)."""
        return self.head(self.lstm(x)[0][:, -1])


def lstm() -> Subject:
    """An LSTM of 256 over 24 steps."""
    return _trained(_Recurrent(), 24, 32)


class _Sentences(nn.Module):
    """MiniLM's size: 6 layers of 384, random weights; words of a sentence → a vector of length 1."""

    def __init__(self) -> None:
        super().__init__()
        from transformers import BertConfig, BertModel

        self.bert = BertModel(
            BertConfig(
                vocab_size=8000,
                hidden_size=384,
                num_hidden_layers=6,
                num_attention_heads=12,
                intermediate_size=1536,
                max_position_embeddings=64,
            ),
            add_pooling_layer=False,
        )
        draw = torch.Generator().manual_seed(1)
        with torch.no_grad():  # with BERT's own start every sentence is the same point
            for name, weight in self.bert.named_parameters():
                if weight.ndim == 2:
                    scale = 0.05 if "embeddings" in name else weight.shape[1] ** -0.5
                    weight.copy_(torch.randn(weight.shape, generator=draw) * scale)

    def forward(self, input_ids: torch.Tensor, attention_mask: torch.Tensor) -> torch.Tensor:
        """(batch, words), (batch, words) → (batch, 384)."""
        hidden = self.bert(input_ids=input_ids, attention_mask=attention_mask).last_hidden_state
        mask = attention_mask.unsqueeze(-1).to(hidden.dtype)
        return nn.functional.normalize((hidden * mask).sum(1) / mask.sum(1).clamp(min=1), dim=-1)


def minilm() -> Subject:
    """The sentence encoder; every second row is the one before with a quarter of its words changed."""
    draw, count = np.random.default_rng(0), 1200
    ids = np.repeat(draw.integers(1, 8000, (count // 2, 32)), 2, axis=0)
    changed = draw.random(ids.shape) < 0.25
    changed[::2] = False
    ids[changed] = draw.integers(1, 8000, int(changed.sum()))
    mask = (np.arange(32) < np.repeat(draw.integers(16, 33, (count // 2, 1)), 2, axis=0)).astype(np.int64)
    rows = {"input_ids": ids * mask, "attention_mask": mask}
    return Subject(_Sentences().eval(), {name: torch.as_tensor(value[:4]) for name, value in rows.items()}, rows)


def _fitted(estimator: Any) -> Subject:
    x, y = _patterns(20, noise=1.2)
    return Subject(estimator.fit(x[:1500], y[:1500]), x[:32], {"": x[1500:]})


def logistic() -> Subject:
    """scikit-learn: a scaler and a logistic regression."""
    return _fitted(make_pipeline(StandardScaler(), LogisticRegression(max_iter=500)))


def forest() -> Subject:
    """scikit-learn: 50 trees, which have no weights to quantize."""
    return _fitted(RandomForestClassifier(50, random_state=0))


def sklearn_mlp() -> Subject:
    """scikit-learn: a multi-layer perceptron of 128."""
    return _fitted(make_pipeline(StandardScaler(), MLPClassifier((128, 128), max_iter=60, random_state=0, tol=1e-2)))


SUBJECTS: dict[str, Callable[[], Subject]] = {
    "cnn": cnn,
    "resnet": resnet,
    "depthwise": depthwise,
    "cnn14": cnn14_family,
    "cnn_lstm_attention": cnn_lstm_family,
    "tabular": tabular_family,
    "document": document_family,
    "autoencoder": autoencoder_family,
    "mlp": mlp,
    "wide_mlp": wide_mlp,
    "lstm": lstm,
    "minilm": minilm,
    "sklearn_logistic": logistic,
    "sklearn_forest": forest,
    "sklearn_mlp": sklearn_mlp,
}
