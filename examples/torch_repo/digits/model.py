"""A small convolutional network for digits of 8 x 8 grey values."""

import torch
from torch import nn


class Digits(nn.Module):
    """float32 (batch, 8, 8), from 0 to 16 → a score for each digit (batch, 10)."""

    def __init__(self) -> None:
        super().__init__()
        self.features = nn.Sequential(
            nn.Conv2d(1, 16, 3, padding=1), nn.BatchNorm2d(16), nn.ReLU(), nn.MaxPool2d(2),
            nn.Conv2d(16, 32, 3, padding=1), nn.BatchNorm2d(32), nn.ReLU(), nn.MaxPool2d(2),
        )  # fmt: skip
        self.classifier = nn.Linear(32 * 2 * 2, 10)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self.classifier(self.features(images.unsqueeze(1) / 16).flatten(1))


def build() -> Digits:
    """What `onnxpress export digits.model:build` calls."""
    return Digits()
