"""A 14-layer 1-D CNN over windows of a wrist's accelerometer, in torch."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class ConvBlock(nn.Module):
    """Two convolutions, each with batch norm, then half as many samples."""

    def __init__(self, in_channels: int, out_channels: int, kernel_size: int = 3, pool: bool = True) -> None:
        super().__init__()
        self.conv1 = nn.Conv1d(in_channels, out_channels, kernel_size, padding=kernel_size // 2)
        self.bn1 = nn.BatchNorm1d(out_channels)
        self.conv2 = nn.Conv1d(out_channels, out_channels, kernel_size, padding=kernel_size // 2)
        self.bn2 = nn.BatchNorm1d(out_channels)
        self.relu = nn.ReLU(inplace=True)
        self.pool = nn.MaxPool1d(2) if pool else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        x = self.relu(self.bn1(self.conv1(x)))
        x = self.relu(self.bn2(self.conv2(x)))
        return self.pool(x)


class SeizureCNN(nn.Module):
    """(batch, 3, samples) → logits (batch, 2)."""

    def __init__(self, num_classes: int = 2, dropout: float = 0.3) -> None:
        super().__init__()
        widths = [8, 8, 16, 16, 24, 24]
        blocks = []
        in_channels = 3
        for i, width in enumerate(widths):
            blocks.append(ConvBlock(in_channels, width, 5 if i == 0 else 3, pool=i < 4))
            in_channels = width
        self.features = nn.Sequential(*blocks)
        self.avgpool = nn.AdaptiveAvgPool1d(1)
        self.classifier = nn.Sequential(
            nn.Linear(in_channels, 32),
            nn.ReLU(),
            nn.Dropout(dropout),
            nn.Linear(32, num_classes),
        )

    def forward(self, x: Tensor) -> Tensor:
        x = self.features(x)
        x = self.avgpool(x).squeeze(-1)
        return self.classifier(x)


def build() -> tuple[nn.Module, Tensor]:
    """The network, and windows as it takes them."""
    return SeizureCNN(), torch.randn(8, 3, 125)
